"""Train a network on a dataset: one loop, read from top to bottom.

The loop is deterministic: the order and the sub-sampling of an epoch depend on the seed and its number only, so a
run that was killed and resumes from its checkpoint ends with the same weights as one that was not. Progress goes to
a callback and to logging; nothing is printed.
"""

import contextlib
import fnmatch
import logging
import math
import time
from collections import defaultdict
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch

from pointlaw.data import Dataset, FeatureMap, Scaling, check_units, feature_map
from pointlaw.errors import InputError, NothingLearned
from pointlaw.networks import Network, check_features
from pointlaw.networks.stiff_at_rest import StiffAtRest
from pointlaw.training.balance import Balance
from pointlaw.training.checkpoint import Epoch, Run, hash_of
from pointlaw.training.config import TrainConfig
from pointlaw.training.objective import Samples, objective, path_errors

log = logging.getLogger(__name__)

_STOPPED = "the callback asked to stop after epoch {}"


@dataclass
class FitReport:
    """What a training did.

    Attributes
    ----------
    network : Network
        The network with the weights of the best epoch, on the CPU, ready for ``make_law``.
    scaling : Scaling
        Scales it was trained with.
    history : list of Epoch
        One row an epoch.
    best : Epoch
        The epoch whose weights were kept.
    stopped : str
        Why the training ended, in words.
    training, validation : Dataset
        The paths that were used for each purpose.
    config : TrainConfig
        The settings.
    """

    network: Network
    scaling: Scaling
    history: list[Epoch]
    best: Epoch
    stopped: str
    training: Dataset
    validation: Dataset
    config: TrainConfig
    seconds: float = field(default=0.0)


def fit(
    network: Network,
    dataset: Dataset,
    config: TrainConfig | None = None,
    *,
    validation: Dataset | None = None,
    scaling: Scaling | None = None,
    checkpoint: str | Path | None = None,
    callback: Callable[[Epoch], Any] | None = None,
) -> FitReport:
    """Train ``network`` in place and return a report.

    Parameters
    ----------
    network : Network
        Fresh, or already trained. Then its prior is left as it is, but a network with a stiffness at rest takes over
        that on the card of the dataset, unless ``freeze`` holds it (``"root"``).
    dataset : Dataset
        Training paths; a part is split off for validation unless ``validation`` is given.
    config : TrainConfig, optional
        Settings.
    scaling : Scaling, optional
        Scales; fitted on the training paths unless given.
    checkpoint : path, optional
        File that is written on the way, and read first if it exists. The network must have the same first weights
        then: one that is drawn at random is made after ``torch.manual_seed``.
    callback : callable, optional
        Called after each epoch; returning ``True`` stops the training. A run that goes on from a checkpoint tells the
        last epoch in it once more, because it may have been killed before it was heard of.

    Notes
    -----
    A network that can tell what it stores has ``energy(x[r, f], state[r, h]) -> [r]`` with the state that the step to
    ``x`` led to (one without memory may leave it out): per volume, over the stress scale, up to a constant. It may have
    ``dissipation(x, state) -> [r]`` of one step from the old ``state``; the work that is not stored is taken otherwise.

    Raises ``InputError`` when sizes do not fit, what is wanted is missing in the data or the network, a pattern of
    ``freeze`` matches no parameter, or the checkpoint is of another run. A batch whose gradient is not finite is
    skipped and counted in a warning of the log; an epoch of such batches alone raises ``NothingLearned``, an
    ``InputError``.
    """
    config = config or TrainConfig()
    start = hash_of(network)
    training, validation = (dataset, validation) if validation else _split(dataset, config)
    scaling = scaling or Scaling.fit(training, network.scaling)
    features = feature_map(config.features, scaling)
    check(network, training, features, config)
    if validation.kinematics != training.kinematics:
        raise InputError(f"The training paths are {training.kinematics}, those of validation {validation.kinematics}.")
    check_units(training, validation, "the training paths", "those of validation")
    set_prior(network, training, scaling, features, config.freeze)
    device = config.chosen_device
    network.to(device, config.dtype)
    samples, held = (
        Samples.of(part, features, scaling.stress, device, config.dtype) for part in (training, validation)
    )
    with frozen(network, config.freeze) as learned:
        optimizer = torch.optim.AdamW(learned, lr=config.learning_rate, weight_decay=config.weight_decay)
        balance = Balance(config.weights, config.balance)
        # First weights and scales too: they tell two law files apart that a training may have started from.
        data = f"{training.sha256}{validation.sha256}{training.card.stiffness}"
        parts = (start, data, config.model_dump_json(), scaling.model_dump_json())
        run = Run(network, optimizer, balance, "".join(parts))
        stopped = _epochs(run, samples, held, config, None if checkpoint is None else Path(checkpoint), callback)
    network.load_state_dict(run.weights)
    return FitReport(
        network.cpu().eval(), scaling, run.history, run.best, stopped, training, validation, config, run.seconds
    )


def _epochs(
    run: Run,
    samples: Samples,
    held: Samples,
    config: TrainConfig,
    path: Path | None,
    callback: Callable[[Epoch], Any] | None,
) -> str:
    """Run all epochs that are left; return why they ended, in words."""

    def unwanted(epoch: Epoch) -> bool:
        return callback is not None and callback(epoch) is True

    if path is not None and path.exists():
        run.load(path)
        if run.history and unwanted(run.history[-1]):
            return _STOPPED.format(run.history[-1].number)
    begin, stopped = time.perf_counter() - run.seconds, f"all {config.epochs} epochs were done"
    for number in range(len(run.history), config.epochs):
        if run.without_progress >= config.patience:
            stopped = f"no better epoch in {config.patience} epochs"
            break
        loss, terms, rate = _train(run, samples, config, number)
        error = _evaluate(run.network, held, config.batch)
        epoch = Epoch(number, loss, error, rate, time.perf_counter() - begin, terms)
        run.book(epoch)
        log.info("epoch %d: training %.4g, validation %.4g", number, epoch.training, epoch.validation)
        if path is not None and (number + 1) % config.checkpoint_every == 0:
            run.save(path)
        if unwanted(epoch):
            stopped = _STOPPED.format(number)
            break
    if path is not None:
        run.save(path)
    return stopped


def _train(run: Run, samples: Samples, config: TrainConfig, number: int) -> tuple[float, dict[str, float], float]:
    """Run one epoch; return the means of its objective and of the terms of it, and its learning rate."""
    rate = config.learning_rate * schedule(number / config.epochs)
    for group in run.optimizer.param_groups:
        group["lr"] = rate
    learned = run.optimizer.param_groups[0]["params"]
    rng = torch.Generator().manual_seed(epoch_seed(config.seed, number))
    losses, seen, skipped = [], defaultdict(list), 0
    run.network.train()
    batches = torch.randperm(len(samples.time), generator=rng).split(config.batch)
    for rows in batches:
        terms = objective(run.network, samples, rows.to(samples.time.device), config, rng)
        loss = run.balance(terms)
        run.optimizer.zero_grad(set_to_none=True)
        loss.backward()
        norm = torch.nn.utils.clip_grad_norm_(learned, config.clip)
        if torch.isfinite(norm):  # one exploding batch must not end the run
            run.optimizer.step()
        else:
            skipped += 1
        losses.append(loss.detach())
        for name, term in terms.items():
            seen[name].append(term.detach())
    _report_skipped(skipped, len(batches), number, config)
    means = {name: float(torch.stack(values).nanmean()) for name, values in seen.items()}
    return float(torch.stack(losses).nanmean()), means, rate


def _report_skipped(skipped: int, batches: int, number: int, config: TrainConfig) -> None:
    """Log how many batches of an epoch taught nothing; raise ``NothingLearned`` when it was all of them."""
    if skipped == batches:
        wider = "" if config.precision == "float64" else " or precision='float64'"
        raise NothingLearned(
            f"All {batches} batches of epoch {number} have a gradient that is not finite, so nothing was learned; try "
            f"a learning_rate below {config.learning_rate}{wider}.",
            number,
        )
    if skipped:
        log.warning("epoch %d: %d of %d batches were skipped, their gradient is not finite", number, skipped, batches)


def schedule(progress: float) -> float:
    """Return the learning rate over its peak: linear warm-up over 5 %, then a cosine down to 1 %."""
    if progress < 0.05:
        return (progress + 0.0025) / 0.0525
    return 0.01 + 0.99 * 0.5 * (1.0 + math.cos(math.pi * (progress - 0.05) / 0.95))


def epoch_seed(seed: int, epoch: int) -> int:
    """Return a seed for one epoch, so that an epoch is the same whether or not the run was interrupted."""
    return int(np.random.SeedSequence([seed, epoch]).generate_state(1, np.uint64)[0] >> np.uint64(1))


def set_prior(
    network: Network, dataset: Dataset, scaling: Scaling, features: FeatureMap, freeze: tuple[str, ...] = ()
) -> None:
    """Start a fresh network as the least-squares fit of stress by strain: linear part set, the rest of the head zero.

    For an elastoplastic teacher this is its large-strain stiffness (the elastic volume change), which the network
    would otherwise have to find among the much smaller deviator. A network with a stiffness at rest, fresh or not, gets
    that on the card of the data; one that it has learned and that is frozen stays.
    """
    stays = isinstance(network, StiffAtRest) and not network.is_fresh() and _matches("root", freeze)
    known = None if stays else dataset.card.stiffness
    unit = np.array(scaling.stress)[:, None]
    network.prepare(
        torch.as_tensor(features.of(dataset)),
        torch.as_tensor(scaling.apply(dataset.stress[:, 1:])),
        None if known is None else torch.as_tensor(np.array(known) @ np.linalg.pinv(features.A) / unit),
    )
    prior = getattr(getattr(network, "head", None), "prior", None)
    if prior is None or not prior.requires_grad or prior.detach().any():
        return
    size = prior.shape[1]  # the first features, which are all of them or the strain
    x = features.of(dataset)[..., :size].reshape(-1, size)
    y = scaling.apply(dataset.stress[:, 1:]).reshape(len(x), -1)
    linear = (features.A.any(axis=1) & ~features.B.any(axis=1))[:size]  # the strain, not its increment
    if not linear.any():
        return
    matrix = np.zeros((y.shape[1], size))
    matrix[:, linear] = np.linalg.lstsq(x[:, linear], y, rcond=None)[0].T
    with torch.no_grad():
        prior.copy_(torch.as_tensor(matrix, dtype=prior.dtype))
        network.head.weight.zero_()  # type: ignore[operator, union-attr]


def _evaluate(network: Network, samples: Samples, batch: int) -> float:
    """Return the mean relative error over all paths; infinite when one is not finite."""
    network.eval()
    with torch.no_grad():
        rows = torch.arange(len(samples.time), device=samples.time.device).split(4 * batch)
        error = float(torch.cat([path_errors(network, samples, part) for part in rows]).mean())
    return error if math.isfinite(error) else math.inf


def _split(dataset: Dataset, config: TrainConfig) -> tuple[Dataset, Dataset]:
    training, validation = dataset.split(1 - config.validation, config.validation, seed=config.seed)
    return training, validation


def _matches(name: str, patterns: tuple[str, ...]) -> bool:
    return any(fnmatch.fnmatchcase(name, pattern) for pattern in patterns)


@contextlib.contextmanager
def frozen(network: Network, patterns: tuple[str, ...]) -> Iterator[list[torch.nn.Parameter]]:
    """Hold the parameters whose names match a pattern; yield the others, which training may change.

    Raises ``InputError`` when a pattern matches nothing, or everything is held.
    """
    named = {name: value for name, value in network.named_parameters() if value.requires_grad}
    for pattern in patterns:
        if not fnmatch.filter(named, pattern):
            raise InputError(f"freeze: '{pattern}' matches no parameter to be trained; there are {', '.join(named)}.")
    held = [value for name, value in named.items() if _matches(name, patterns)]
    learned = [value for value in named.values() if not any(value is other for other in held)]
    if not named:
        raise InputError(f"A {type(network).__name__} has no parameter that gradient descent could train.")
    if not learned:
        raise InputError(f"freeze = {list(patterns)} leaves no parameter of {type(network).__name__} to train.")
    for value in held:
        value.requires_grad_(False)
    try:
        yield learned
    finally:
        for value in held:
            value.requires_grad_(True)


def check(network: Network, dataset: Dataset, features: FeatureMap, config: TrainConfig) -> None:
    """Raise ``InputError`` unless the network fits the data, and both have what the objective needs."""
    if (network.features, network.outputs) != (features.size, dataset.kinematics.size):
        raise InputError(
            f"The features {config.features} of {dataset.kinematics} need a network with features={features.size}, "
            f"outputs={dataset.kinematics.size}; this one has {network.features} and {network.outputs}."
        )
    check_features(network, config.features, dataset.kinematics.size)
    check_moving(dataset)
    for name in ("tangent", "energy", "dissipation"):
        weight = config.weights[name]
        if weight > 0 and getattr(dataset, name) is None:
            raise InputError(f"{name}_weight = {weight} needs a dataset with '{name}'; this one has none.")
        if weight > 0 and name != "tangent" and (network.scaling != "physical" or not hasattr(network, "energy")):
            raise InputError(
                f"{name}_weight = {weight} needs a network that knows an energy; a {type(network).__name__} does not."
            )


def check_moving(dataset: Dataset) -> None:
    """Raise ``InputError`` when no path of ``dataset`` leaves the undeformed body: there is nothing to be learned."""
    if (dataset.strain == dataset.kinematics.reference).all():
        raise InputError(
            f"None of the {dataset.paths} training paths leaves the undeformed body (all strains are zero); "
            "look for the mistake in how they were made, or give others."
        )

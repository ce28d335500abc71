"""Train a network on a dataset: one loop, read from top to bottom.

The loop is deterministic: the order and the sub-sampling of an epoch depend on the seed and its number only, so a
run that was killed and resumes from its checkpoint ends with the same weights as one that was not. Progress goes to
a callback and to logging; nothing is printed.
"""

import copy
import logging
import math
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch

from pointlaw.data import Dataset, FeatureMap, Scaling, feature_map, replacing
from pointlaw.errors import InputError
from pointlaw.networks import Network
from pointlaw.training.config import TrainConfig
from pointlaw.training.objective import Samples, objective, path_errors

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Epoch:
    """Losses of one epoch: objective on the training paths, mean relative error on the validation paths."""

    number: int
    training: float
    validation: float
    learning_rate: float
    seconds: float


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
        Fresh, or already trained (then its prior is left as it is).
    dataset : Dataset
        Training paths; a part is split off for validation unless ``validation`` is given.
    config : TrainConfig, optional
        Settings.
    scaling : Scaling, optional
        Scales; fitted on the training paths unless given.
    checkpoint : path, optional
        File that is written on the way, and read first if it exists.
    callback : callable, optional
        Called after each epoch; returning ``True`` stops the training.

    Raises ``InputError`` when sizes do not fit, tangents are wanted but missing, or the checkpoint is of another run.
    """
    config = config or TrainConfig()
    training, validation = (dataset, validation) if validation else _split(dataset, config)
    scaling = scaling or Scaling.fit(training)
    features = feature_map(config.features, scaling)
    _check(network, training, features, config)
    device = torch.device("cuda" if config.device == "auto" and torch.cuda.is_available() else
                          config.device if config.device != "auto" else "cpu")  # fmt: skip
    set_prior(network, training, scaling, features)
    network.float().to(device).train()
    samples, held = (Samples.of(part, features, scaling.stress, device) for part in (training, validation))
    optimizer = torch.optim.AdamW(network.parameters(), lr=config.learning_rate, weight_decay=config.weight_decay)
    run = _Run(network, optimizer, f"{training.sha256}{validation.sha256}{config.model_dump_json()}")
    if checkpoint is not None and Path(checkpoint).exists():
        run.load(Path(checkpoint))
    begin, stopped = time.perf_counter() - run.seconds, f"all {config.epochs} epochs were done"
    for number in range(len(run.history), config.epochs):
        rate = config.learning_rate * schedule(number / config.epochs)
        for group in optimizer.param_groups:
            group["lr"] = rate
        rng = torch.Generator().manual_seed(hash_seed(config.seed, number))
        losses = []
        for rows in torch.randperm(training.paths, generator=rng).split(config.batch):
            loss = objective(network, samples, rows.to(device), config, rng)
            optimizer.zero_grad(set_to_none=True)
            loss.backward()
            norm = torch.nn.utils.clip_grad_norm_(network.parameters(), config.clip)
            if torch.isfinite(norm):  # one exploding batch must not end the run
                optimizer.step()
            losses.append(loss.detach())
        epoch = Epoch(number, float(torch.stack(losses).nanmean()), _evaluate(network, held, config.batch), rate,
                      time.perf_counter() - begin)  # fmt: skip
        run.book(epoch)
        log.info("epoch %d: training %.4g, validation %.4g", number, epoch.training, epoch.validation)
        if checkpoint is not None and (number + 1) % config.checkpoint_every == 0:
            run.save(Path(checkpoint))
        if callback is not None and callback(epoch) is True:
            stopped = f"the callback asked to stop after epoch {number}"
            break
        if number - run.best.number >= config.patience:
            stopped = f"no better epoch in {config.patience} epochs"
            break
    if checkpoint is not None:
        run.save(Path(checkpoint))
    network.load_state_dict(run.weights)
    return FitReport(network.cpu().eval(), scaling, run.history, run.best, stopped, training, validation, config,
                     time.perf_counter() - begin)  # fmt: skip


def schedule(progress: float) -> float:
    """Return the learning rate over its peak: linear warm-up over 5 %, then a cosine down to 1 %."""
    if progress < 0.05:
        return (progress + 0.0025) / 0.0525
    return 0.01 + 0.99 * 0.5 * (1.0 + math.cos(math.pi * (progress - 0.05) / 0.95))


def hash_seed(seed: int, epoch: int) -> int:
    """Return a seed for one epoch, so that an epoch is the same whether or not the run was interrupted."""
    return int(np.random.SeedSequence([seed, epoch]).generate_state(1, np.uint64)[0] >> np.uint64(1))


def set_prior(network: Network, dataset: Dataset, scaling: Scaling, features: FeatureMap) -> None:
    """Start a fresh network as the least-squares fit of stress by strain: linear part set, the rest of the head zero.

    For an elastoplastic teacher this is its large-strain stiffness (the elastic volume change), which the network
    would otherwise have to find among the much smaller deviator.
    """
    prior = getattr(getattr(network, "head", None), "prior", None)
    if prior is None or not prior.requires_grad or prior.detach().any():
        return
    x = features.of(dataset).reshape(-1, features.size)
    y = scaling.apply(dataset.stress[:, 1:]).reshape(len(x), -1)
    linear = np.abs(features.A).sum(axis=1) > 0
    if features.needs_old_strain and not np.array_equal(np.unique(features.B), np.zeros(1)):
        linear &= np.abs(features.B).sum(axis=1) == 0  # the strain, not its increment
    if not linear.any():
        return
    matrix = np.zeros((y.shape[1], features.size))
    matrix[:, linear] = np.linalg.lstsq(x[:, linear], y, rcond=None)[0].T
    with torch.no_grad():
        prior.copy_(torch.as_tensor(matrix, dtype=prior.dtype))
        network.head.weight.zero_()  # type: ignore[operator, union-attr]


class _Run:
    """Everything that a checkpoint holds: weights, optimizer, best weights and history."""

    def __init__(self, network: Network, optimizer: torch.optim.Optimizer, identity: str):
        self.network, self.optimizer = network, optimizer
        self.identity = f"{type(network).__name__}{network.config}{identity}"
        self.history: list[Epoch] = []
        self.weights: dict[str, torch.Tensor] = copy.deepcopy(network.state_dict())
        self.best = Epoch(-1, math.inf, math.inf, 0.0, 0.0)

    @property
    def seconds(self) -> float:
        return self.history[-1].seconds if self.history else 0.0

    def book(self, epoch: Epoch) -> None:
        self.history.append(epoch)
        if epoch.validation < self.best.validation or self.best.number < 0:
            self.best, self.weights = epoch, copy.deepcopy(self.network.state_dict())

    def save(self, path: Path) -> None:
        content = {
            "identity": self.identity,
            "network": self.network.state_dict(),
            "optimizer": self.optimizer.state_dict(),
            "weights": self.weights,
            "history": [asdict(epoch) for epoch in self.history],
            "best": asdict(self.best),
        }
        with replacing(path) as temporary:
            torch.save(content, temporary)

    def load(self, path: Path) -> None:
        try:
            content = torch.load(path, weights_only=True)  # tensors and plain values; nothing is unpickled
        except (RuntimeError, OSError, ValueError, EOFError, Exception) as error:
            raise InputError(f"The checkpoint {path} cannot be read ({error}); delete it to start again.") from error
        if content.get("identity") != self.identity:
            raise InputError(f"The checkpoint {path} is of another network, dataset or configuration; delete it.")
        self.network.load_state_dict(content["network"])
        self.optimizer.load_state_dict(content["optimizer"])
        self.weights = content["weights"]
        self.history, self.best = [Epoch(**row) for row in content["history"]], Epoch(**content["best"])


def _evaluate(network: Network, samples: Samples, batch: int) -> float:
    network.eval()
    with torch.no_grad():
        rows = torch.arange(len(samples.time), device=samples.time.device).split(4 * batch)
        errors = torch.cat([path_errors(network, samples, part) for part in rows])
    network.train()
    return float(errors.mean())


def _split(dataset: Dataset, config: TrainConfig) -> tuple[Dataset, Dataset]:
    training, validation = dataset.split(1 - config.validation, config.validation, seed=config.seed)
    return training, validation


def _check(network: Network, dataset: Dataset, features: FeatureMap, config: TrainConfig) -> None:
    if (network.features, network.outputs) != (features.size, dataset.kinematics.size):
        raise InputError(
            f"The features {config.features} of {dataset.kinematics} need a network with features={features.size}, "
            f"outputs={dataset.kinematics.size}; this one has {network.features} and {network.outputs}."
        )
    if config.tangent_weight > 0 and dataset.tangent is None:
        raise InputError(f"tangent_weight = {config.tangent_weight} needs a dataset with tangents; this one has none.")

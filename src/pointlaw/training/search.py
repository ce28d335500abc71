"""Search for hyper-parameters with Optuna (extra ``search``): what to vary is said in plain data.

Every trial is a whole :func:`fit` with the same split and the same seed; one that is worse after some epochs than the
median of the trials before it is stopped there. The sampler is a tree of Parzen estimators (Bergstra et al. 2011; Akiba
et al. 2019, doi:10.1145/3292500.3330701) with a fixed seed, so that a search gives the same table again. A killed
search is told again from the checkpoints of its trials: the sampler sees the same errors and makes the same choices.
"""

import logging
import math
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import pydantic
import torch

from pointlaw.data import Dataset, Settings, first_fault
from pointlaw.errors import EnvironmentProblem, InputError, NothingLearned
from pointlaw.networks import Network, build, network_class
from pointlaw.networks.arguments import has_setting
from pointlaw.training.checkpoint import Epoch, claim, epochs_of
from pointlaw.training.config import TrainConfig
from pointlaw.training.fit import FitReport, fit

log = logging.getLogger(__name__)

_LARGEST = 1e300  # of a range: its width is a number too


class Range(Settings):
    """Numbers from ``low`` to ``high``, whole ones if both are; with ``log`` each decade counts the same."""

    low: int | float
    high: int | float
    log: bool = False

    @pydantic.model_validator(mode="after")
    def _ordered(self) -> "Range":
        if not -_LARGEST < self.low < self.high < _LARGEST or (self.log and self.low <= 0):
            raise ValueError(f"low must be below high, both within ±{_LARGEST:g}, and above zero with log")
        return self


Space = dict[str, list[Any] | Range]


@dataclass(frozen=True)
class TrialRow:
    """One trial: what was chosen, best validation error, and how it ended.

    ``outcome`` is ``"complete"``, ``"pruned"`` or ``"diverged"``.
    """

    number: int
    values: dict[str, Any]
    error: float
    epochs: int
    seconds: float
    outcome: Literal["complete", "pruned", "diverged"]


@dataclass(frozen=True)
class SearchReport:
    """What a search found.

    Attributes
    ----------
    architecture : str
        Best architecture.
    network : dict
        Its configuration, sizes left out.
    train : TrainConfig
        Best settings.
    best : FitReport
        The training that won; its network is ready for ``make_law``.
    table : list of TrialRow
        All trials in their order.
    """

    architecture: str
    network: dict[str, Any]
    train: TrainConfig
    best: FitReport
    table: list[TrialRow]


def search(
    space: dict[str, Any],
    dataset: Dataset,
    *,
    architecture: str = "gru",
    network: dict[str, Any] | None = None,
    train: TrainConfig | None = None,
    validation: Dataset | None = None,
    trials: int = 20,
    warm_up: int = 10,
    seed: int = 0,
    checkpoint: str | Path | None = None,
    callback: Callable[[TrialRow], Any] | None = None,
) -> SearchReport:
    """Return the best of ``trials`` trainings.

    Parameters
    ----------
    space : dict
        What to vary: ``"architecture"``, ``"network.NAME"`` or ``"train.NAME"`` with a list of choices or a
        :class:`Range` (or a dict of its entries). A trial varies the settings that its architecture has.
    dataset : Dataset
        Training paths; the same part is kept for validation in every trial unless ``validation`` is given.
    architecture, network, train
        Whatever is not varied: entry of ``NETWORKS``, its configuration without sizes, settings of training. If the
        architecture is varied, settings of the network that the one of a trial does not have are left out.
    trials : int
        Number of trainings.
    warm_up : int
        Epochs before a trial may be stopped as hopeless.
    seed : int
        Of the sampler, from 0 to 2³² − 1; first weights and split follow the seed of ``train``.
    checkpoint : path, optional
        Folder with the checkpoint of every trial, as in :func:`fit`; a killed search goes on from it.
    callback : callable, optional
        Called after each trial, also after one that a checkpoint knew; returning ``True`` ends the search.

    Examples
    --------
    >>> space = {"network.hidden": [16, 32], "train.learning_rate": Range(low=1e-3, high=3e-2, log=True)}
    >>> found = search(space, dataset, trials=30)

    Notes
    -----
    Raises ``InputError`` when the space names something unknown or nothing, every trial fails, or the checkpoint is of
    another search, and ``EnvironmentProblem`` without Optuna.
    """
    optuna = _optuna()
    ranges = _space(space)
    if trials < 1:
        raise InputError(f"A search needs at least one trial; got trials = {trials}.")
    if not 0 <= seed < 2**32:
        raise InputError(f"The seed of a search is a whole number from 0 to 2³² - 1; got seed = {seed}.")
    folder = None if checkpoint is None else Path(checkpoint)
    base = _Base(architecture, network or {}, train or TrainConfig(), dataset, validation, folder)
    _check_network(ranges, base)
    if folder is not None:
        claim(folder, f"search {ranges} {trials} {warm_up} {seed} {base.identity}")
    best: SearchReport | None = None
    table: list[TrialRow] = []
    sampler = optuna.samplers.TPESampler(seed=seed, n_startup_trials=min(10, max(3, trials // 3)))
    pruner = optuna.pruners.MedianPruner(n_startup_trials=3, n_warmup_steps=warm_up)
    study = optuna.create_study(direction="minimize", sampler=sampler, pruner=pruner)
    for _ in range(trials):
        trial = study.ask()
        values = _values(trial, ranges, architecture)
        found = None
        try:
            found = base.run(values, trial, table)
            row = _tell(optuna, study, trial, values, found.best)
        except NothingLearned as problem:
            row = _give_up(study, trial, values, problem)
        table.append(row)
        log.info("trial %d: %s, error %.4g, %s", row.number, row.values, row.error, row.outcome)
        if found and math.isfinite(row.error) and (best is None or row.error < best.best.best.validation):
            best = found
        if callback is not None and callback(row) is True:
            break
    if best is None:
        raise InputError(f"All {len(table)} trials of the search diverged; give smaller learning rates.")
    return best


def _tell(optuna: Any, study: Any, trial: Any, values: dict[str, Any], report: FitReport) -> TrialRow:
    """Tell Optuna how a trial ended; return its row."""
    error, pruned = report.best.validation, report.stopped.startswith("the callback")
    state = optuna.trial.TrialState.PRUNED if pruned else optuna.trial.TrialState.COMPLETE
    study.tell(trial, None if pruned else _finite(error), state=state)
    outcome: Literal["pruned", "complete"] = "pruned" if pruned else "complete"
    return TrialRow(trial.number, values, error, len(report.history), report.seconds, outcome)


def _give_up(study: Any, trial: Any, values: dict[str, Any], problem: NothingLearned) -> TrialRow:
    """Tell Optuna that a trial diverged; return its row."""
    study.tell(trial, _finite(math.inf))
    log.warning("trial %d: %s", trial.number, problem)
    return TrialRow(trial.number, values, math.inf, problem.number, 0.0, "diverged")


@dataclass(frozen=True)
class _Base:
    """Whatever is not varied."""

    architecture: str
    network: dict[str, Any]
    train: TrainConfig
    dataset: Dataset
    validation: Dataset | None
    checkpoint: Path | None

    @property
    def identity(self) -> str:
        """What tells one search from another, as far as it is not varied."""
        data = [part.sha256 for part in (self.dataset, self.validation) if part is not None]
        return f"{self.architecture} {self.network} {self.train.model_dump_json()} {data}"

    def run(self, values: dict[str, Any], trial: Any, table: list[TrialRow]) -> SearchReport:
        """Return the training with these ``values``; first weights follow the seed of its settings."""
        kind = values.get("architecture", self.architecture)
        config = {name: value for name, value in self.network.items() if has_setting(network_class(kind), name)}
        config |= {name[8:]: value for name, value in values.items() if name.startswith("network.")}
        chosen = {name[6:]: value for name, value in values.items() if name.startswith("train.")}
        settings = _settings(self.train, chosen)

        def watch(epoch: Epoch) -> bool:
            trial.report(_finite(epoch.validation), epoch.number)
            return bool(trial.should_prune())

        path = None if self.checkpoint is None else self.checkpoint / f"trial_{trial.number}.pt"
        for epoch in epochs_of(path)[:-1]:  # fit tells the last of them
            trial.report(_finite(epoch.validation), epoch.number)
        network = fresh(kind, config, self.dataset, settings)
        report = fit(network, self.dataset, settings, validation=self.validation, checkpoint=path, callback=watch)
        return SearchReport(kind, config, settings, report, table)


def fresh(architecture: str, config: dict[str, Any], dataset: Dataset, settings: TrainConfig) -> Network:
    """Return a network for ``dataset``, its sizes filled in; its first weights follow the seed of ``settings``.

    Raises ``InputError`` when ``config`` has sizes too, or does not fit the architecture.
    """
    _without_sizes(config)
    m = dataset.kinematics.size
    features = sum(1 if name == "dt" else m for name in settings.features)
    torch.manual_seed(settings.seed)
    return build(architecture, {**config, "features": features, "outputs": m})


def _without_sizes(names: Iterable[str]) -> None:
    for name in names:
        if name in ("features", "outputs"):
            raise InputError(f"'network.{name}' follows from the dataset and 'train.features'; leave it out.")


def _check_network(ranges: Space, base: _Base) -> None:
    """Raise ``InputError`` for an architecture that is unknown, or a setting that none of the architectures has."""
    kinds: Any = ranges.get("architecture", [base.architecture])
    classes = [network_class(kind) for kind in kinds]
    settings = [*base.network, *(name[8:] for name in ranges if name.startswith("network."))]
    _without_sizes(settings)
    for name in settings:
        if not any(has_setting(kind, name) for kind in classes):
            raise InputError(f"The search cannot set 'network.{name}': it is no setting of {', '.join(kinds)}.")


def _finite(error: float) -> float:
    """Return ``error``, or a large number that Optuna can rank."""
    return error if math.isfinite(error) else 1e9


def _space(space: dict[str, Any]) -> Space:
    """Return the space with its ranges checked."""
    if not space:
        raise InputError("The space of a search is empty; name what to vary, such as 'train.learning_rate'.")
    checked: Space = {}
    for name, choice in space.items():
        part, _, rest = name.partition(".")
        if not (name == "architecture" or (part == "network" and rest) or (part == "train" and rest in _TRAIN)):
            raise InputError(
                f"The search cannot vary '{name}'; it knows 'architecture', 'network.…' and 'train.…' with one of "
                f"{', '.join(_TRAIN)}."
            )
        if isinstance(choice, dict):
            try:
                choice = Range.model_validate(choice)
            except pydantic.ValidationError as error:
                raise InputError(f"The range of '{name}' cannot be used: {first_fault(error)}") from error
        if not (isinstance(choice, list) and choice) and (name == "architecture" or not isinstance(choice, Range)):
            wanted = "a list of choices" + ("" if name == "architecture" else " or a range with low and high")
            raise InputError(f"'{name}' needs {wanted}; got {choice!r}.")
        checked[name] = choice
    return checked


_TRAIN = tuple(name for name in TrainConfig.model_fields if name not in ("seed", "validation", "device"))


def _settings(train: TrainConfig, values: dict[str, Any]) -> TrainConfig:
    try:
        return TrainConfig.model_validate({**train.model_dump(), **values})
    except pydantic.ValidationError as error:
        first = error.errors()[0]
        raise InputError(f"The search tries 'train.{first['loc'][0]}' = {first['input']!r}: {first['msg']}.") from error


def _values(trial: Any, ranges: Space, architecture: str) -> dict[str, Any]:
    """Let Optuna choose the architecture, if it is varied, and then whatever else this one has."""
    values: dict[str, Any] = {}
    for name in sorted(ranges, key=lambda name: name != "architecture"):  # it comes first, the others stay in order
        kind = network_class(values.get("architecture", architecture))
        if not name.startswith("network.") or has_setting(kind, name[8:]):
            values[name] = _suggest(trial, name, ranges[name])
    return values


def _suggest(trial: Any, name: str, choice: list[Any] | Range) -> Any:
    """Let Optuna choose; lists are chosen from by position, because their items may be lists themselves."""
    if isinstance(choice, list):
        return choice[trial.suggest_categorical(name, list(range(len(choice))))]
    whole = isinstance(choice.low, int) and isinstance(choice.high, int)
    suggest = trial.suggest_int if whole else trial.suggest_float
    return suggest(name, choice.low, choice.high, log=choice.log)


def _optuna() -> Any:
    try:
        import optuna
    except ImportError as error:
        raise EnvironmentProblem("A search needs Optuna; try: pip install pointlaw[search]") from error
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    return optuna

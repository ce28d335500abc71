"""The file ``pointlaw train`` reads, and what it does: from a dataset to a law file, through a search if there is one.

The schema is strict: an entry that is not known is an error with a sentence. The paths that are kept back for the
card's figures are dealt first, by the seed of the training, so that no training and no trial ever sees them.
"""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import pydantic

from pointlaw.data import (
    Dataset,
    Feature,
    Scaling,
    Settings,
    check_units,
    check_writable,
    load_dataset,
    read_settings,
)
from pointlaw.errors import InputError, PointlawError
from pointlaw.laws import LearnedMaterial, check_apart, make_law, save_law, with_density
from pointlaw.networks import NETWORKS, Network
from pointlaw.training.checkpoint import Epoch, forget
from pointlaw.training.config import TrainConfig
from pointlaw.training.fit import fit
from pointlaw.training.gaussian_process import fit_gaussian_process
from pointlaw.training.search import TrialRow, fresh, search
from pointlaw.training.transfer import Start, start_from


class SearchPart(Settings):
    """The table ``[search]``: see :func:`~pointlaw.training.search`."""

    space: dict[str, Any]
    trials: int = pydantic.Field(default=20, ge=1)
    warm_up: int = pydantic.Field(default=10, ge=0)
    seed: int = 0


class TrainFile(Settings):
    """The whole file.

    Attributes
    ----------
    dataset : str
        Dataset to learn from, relative to the configuration, as ``start_from`` and ``output`` are.
    output : str
        Law file to write.
    name : str
        What people will call the law; the name of the output unless given.
    architecture : str
        Entry of ``NETWORKS``; ``"gaussian_process"`` for laws without memory.
    network : dict
        Its configuration, sizes left out.
    start_from : str, optional
        Law file whose network, scales and features the training begins with, in place of an architecture.
    kept_back : float
        Fraction of the paths that training never sees; they give the figures of the card.
    paths : int, optional
        Learn from so many of the remaining paths only.
    precision : str
        Arithmetic of the law.
    density : bool
        Whether the law carries a density of its training points, for the card and for ``Guarded``.
    train : TrainConfig
        Settings of the training.
    search : SearchPart, optional
        A search for some of them.
    """

    dataset: str
    output: str
    name: str = ""
    architecture: str = ""
    network: dict[str, Any] = pydantic.Field(default={})
    start_from: str | None = None
    kept_back: float = pydantic.Field(default=0.2, gt=0, lt=1)
    paths: int | None = pydantic.Field(default=None, ge=2)
    precision: Literal["float64", "float32"] = "float64"
    density: bool = True
    train: TrainConfig = TrainConfig()
    search: SearchPart | None = None

    @pydantic.model_validator(mode="after")
    def _one_start(self) -> "TrainFile":
        if bool(self.architecture) == bool(self.start_from):
            raise ValueError("give either an architecture or a law file to start_from")
        if self.architecture and self.architecture not in NETWORKS:
            raise ValueError(f"architecture = '{self.architecture}' is unknown; known are {', '.join(NETWORKS)}")
        if self.start_from and (self.network or self.search):
            raise ValueError("start_from takes the network as it is: leave out 'network' and 'search'")
        if self.architecture == "gaussian_process" and (set(self.network) - {"points"} or self.search):
            raise ValueError("a gaussian_process has 'points' in [network], and nothing to search for")
        return self


def read_train_file(path: str | Path) -> TrainFile:
    """Return the contents of a configuration.

    Raises ``InputError`` with a sentence that names the file and the first entry that is wrong.
    """
    return read_settings(path, TrainFile)


@dataclass(frozen=True)
class Trained:
    """What a run of ``pointlaw train`` made: the law, its file, why the training ended, and the trials of a search."""

    law: LearnedMaterial
    path: Path
    stopped: str
    table: list[TrialRow]


def train_law(
    file: TrainFile,
    folder: str | Path,
    *,
    on_epoch: Callable[[Epoch], Any] | None = None,
    on_trial: Callable[[TrialRow], Any] | None = None,
) -> Trained:
    """Train as ``file`` says, write the law, and return it; paths in the file are relative to ``folder``.

    A run that was killed goes on from the checkpoint beside the output (a folder for a search), which is deleted when
    the law is written. Raises ``InputError`` or ``LawFileError`` when a file or a setting cannot be used, or the law
    has no finite answers; the checkpoint is kept then.
    """
    folder = Path(folder)
    output = folder / file.output
    if not file.output or output.is_dir() or output.resolve() == (folder / file.dataset).resolve():
        raise InputError(f"output = '{file.output}' is the dataset or a folder; name a law file of its own.")
    check_writable(output)
    dataset = load_dataset(folder / file.dataset)
    kept_back, rest = dataset.split(file.kept_back, 1.0 - file.kept_back, seed=file.train.seed)
    if file.paths is not None:
        if file.paths > rest.paths:
            raise InputError(f"paths = {file.paths}, but only {rest.paths} of {dataset.paths} are left to learn from.")
        rest = rest.subset(slice(file.paths))
    start = None if file.start_from is None else start_from(folder / file.start_from)
    check_apart(rest, kept_back, start.features if start else file.train.features)
    checkpoint = output.with_name(output.name + ".checkpoint")
    learned = _learn(file, start, rest, checkpoint, on_epoch, on_trial)
    try:
        law = _write(file, output, learned, kept_back)
    except PointlawError as error:
        if not checkpoint.exists():
            raise
        raise type(error)(f"{error} What was trained is kept in {checkpoint}.") from error
    forget(checkpoint)
    return Trained(law, output, learned.stopped, learned.table)


@dataclass(frozen=True)
class _Learned:
    network: Network
    scaling: Scaling
    training: Dataset
    features: tuple[Feature, ...]
    settings: dict[str, Any]
    stopped: str
    table: list[TrialRow]


def _write(file: TrainFile, output: Path, learned: _Learned, kept_back: Dataset) -> LearnedMaterial:
    """Measure what was learned on ``kept_back``, write it to ``output`` and return it."""
    law = make_law(
        learned.network,
        learned.scaling,
        name=file.name or output.stem,
        training=learned.training,
        kept_back=kept_back,
        features=learned.features,
        precision=file.precision,
        seed=file.train.seed,
        settings=learned.settings,
    )
    if file.density:
        law = with_density(law, learned.training, kept_back)
    save_law(output, law)
    return law


def _learn(
    file: TrainFile,
    start: Start | None,
    data: Dataset,
    checkpoint: Path,
    on_epoch: Callable[[Epoch], Any] | None,
    on_trial: Callable[[TrialRow], Any] | None,
) -> _Learned:
    train = file.train
    if file.architecture == "gaussian_process":
        process = fit_gaussian_process(data, **file.network)
        settings = {"evidence": process.evidence, "noise": process.noise}
        return _Learned(process.network, process.scaling, data, ("strain",), settings, "the evidence is greatest", [])
    if file.search is not None:
        part = file.search
        found = search(
            part.space, data, architecture=file.architecture, network=file.network, train=train,
            trials=part.trials, warm_up=part.warm_up, seed=part.seed, checkpoint=checkpoint,
            callback=on_trial,
        )  # fmt: skip
        report, train, table = found.best, found.train, found.table
    elif start is not None:
        check_units(start.card, data, f"the law {file.start_from}", "the dataset")  # the old scales stay
        train, table = train.model_copy(update={"features": start.features}), []
        report = fit(start.network, data, train, scaling=start.scaling, checkpoint=checkpoint, callback=on_epoch)
    else:
        network, table = fresh(file.architecture, file.network, data, train), []
        report = fit(network, data, train, checkpoint=checkpoint, callback=on_epoch)
    settings = train.record() | ({"start_from": file.start_from} if file.start_from else {})
    return _Learned(report.network, report.scaling, report.training, train.features, settings, report.stopped, table)

"""The file ``pointlaw refine`` reads, and what it does: the closed loop of :mod:`pointlaw.training.active` from files.

Law, data and teacher are files; the problem is a function of the user's, for only its author knows mesh and loads. The
schema is strict: an entry that is not known is an error with a sentence.
"""

import hashlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pydantic

from pointlaw.data import Dataset, Settings, check_writable, load_dataset, read_settings, sample
from pointlaw.errors import InputError
from pointlaw.laws import Guarded, LearnedMaterial, load_law
from pointlaw.materials import Material
from pointlaw.training.active import refine_until_inside
from pointlaw.training.checkpoint import forget
from pointlaw.training.config import TrainConfig
from pointlaw.training.rounds import Refinement, Round, Run, on_root


class RefineFile(Settings):
    """The whole file; all paths in it are relative to it.

    Attributes
    ----------
    law : str
        Law file to begin with.
    dataset : str
        What it was trained on.
    kept_back : float or str
        The fraction of these paths that its training kept back, or a dataset of its own.
    teacher : str
        Who answers where the law may not, and along the new paths: a sampling file (``.toml``), the name of a formula,
        or a law file.
    problem : str
        ``"plate.py:solve"``: a function that runs the problem with the law it is given and returns problem and
        solution, or a :class:`~pointlaw.training.Run`.
    output : str
        Folder for the law and the new paths of every round.
    rounds, paths, stretch
        See :func:`~pointlaw.training.active.refine_until_inside`.
    limit : float
        Grade above which a point is outside.
    train : TrainConfig
        Settings of the training in a round; the features are those of the law.
    """

    law: str
    dataset: str
    kept_back: float | str = 0.2
    teacher: str
    problem: str
    output: str
    rounds: int = pydantic.Field(default=5, ge=1)
    paths: int = pydantic.Field(default=48, ge=1)
    stretch: tuple[pydantic.PositiveFloat, ...] = pydantic.Field(default=(1.0, 1.1), min_length=1)
    limit: float = pydantic.Field(default=1.0, gt=0)
    train: TrainConfig = TrainConfig()

    @pydantic.model_validator(mode="after")
    def _usable(self) -> "RefineFile":
        if isinstance(self.kept_back, float) and not 0.0 < self.kept_back < 1.0:
            raise ValueError(f"kept_back = {self.kept_back} must lie between 0 and 1, or name a dataset")
        return self


def read_refine_file(path: str | Path) -> RefineFile:
    """Return the contents of a configuration.

    Raises ``InputError`` with a sentence that names the file and the first entry that is wrong.
    """
    return read_settings(path, RefineFile)


def refine_law(
    file: RefineFile,
    folder: str | Path,
    *,
    teacher: Material,
    solve: Callable[[Guarded], Run],
    comm: Any = None,
    callback: Callable[[Round], Any] | None = None,
) -> Refinement:
    """Run the closed loop as ``file`` says, its paths relative to ``folder``; collective on ``comm``.

    A loop that was killed goes on from the folder ``checkpoint`` in its output, which is deleted at the end. Raises
    ``InputError`` or ``LawFileError`` when a file or a setting cannot be used, or the checkpoint is of another loop.
    """
    folder = Path(folder)
    on_root(comm, lambda: check_writable(folder / file.output / "round_1.safetensors"))
    law = load_law(folder / file.law)
    training, kept_back = _data(file, folder, law)

    def guard(law: LearnedMaterial) -> Guarded:
        return Guarded(law, policy="fall back", fallback=teacher, limit=file.limit, history=training.times)

    checkpoint = folder / file.output / "checkpoint"
    outcome = refine_until_inside(
        law,
        training,
        kept_back,
        guard=guard,
        solve=solve,
        teacher=lambda path: sample(
            teacher, path, tangent=training.tangent is not None, teacher=training.card.teacher, units=law.card.units
        ),
        folder=folder / file.output,
        config=file.train.model_copy(update={"features": law.card.features}),
        rounds=file.rounds,
        paths=file.paths,
        stretch=file.stretch,
        comm=comm,
        checkpoint=checkpoint,
        identity=_identity(file, folder),
        callback=callback,
    )
    on_root(comm, lambda: forget(checkpoint))
    return outcome


def _identity(file: RefineFile, folder: Path) -> str:
    """Return what tells one loop from another: the settings, and what the problem's and the teacher's files say."""
    said = [folder / file.problem.rpartition(":")[0], folder / file.teacher]
    digests = [hashlib.sha256(path.read_bytes()).hexdigest() for path in said if path.is_file()]
    return f"{file.model_dump_json(exclude={'rounds'})} {digests}"


def _data(file: RefineFile, folder: Path, law: LearnedMaterial) -> tuple[Dataset, Dataset]:
    """Return training and kept-back paths, with stress and tangent only, as the new paths will have."""
    dataset = load_dataset(folder / file.dataset)
    if isinstance(file.kept_back, str):
        training, kept_back = dataset, load_dataset(folder / file.kept_back)
    else:
        kept_back, training = dataset.split(file.kept_back, 1.0 - file.kept_back, seed=file.train.seed)
        if kept_back.sha256 != law.card.provenance.kept_back_sha256:
            raise InputError(
                f"The law '{law.card.name}' kept other paths back than kept_back = {file.kept_back} of {file.dataset} "
                "with this seed; give what it was trained with, or the file of its kept-back paths."
            )
    with_tangent = training.tangent is not None and kept_back.tangent is not None
    bare = (
        Dataset(part.time, part.strain, part.stress, part.card, tangent=part.tangent if with_tangent else None)
        for part in (training, kept_back)
    )
    first, second = bare
    return first, second

"""The closed loop: solve, record, sample, train on, solve again, until no point is outside.

A macroscopic problem knows best which strain paths it needs. The loop runs it with a guarded law, takes the strain
histories of the points that were outside, asks the teacher along some of them, trains on from the present weights, and
solves again. The run itself is a callable, so nothing here knows finite elements; with several ranks each samples its
share of the paths, rank 0 trains, and all go on with the law file that it wrote.
"""

import logging
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from pointlaw.data import Dataset, check_units, load_dataset, merge, save_dataset
from pointlaw.errors import InputError, NoPathLeft
from pointlaw.laws import LearnedMaterial, load_law, make_law, save_law
from pointlaw.laws.covered import with_density
from pointlaw.laws.guard import Guarded, OutsidePaths, outside_paths
from pointlaw.networks import Network, build
from pointlaw.paths import StrainPath
from pointlaw.training.config import TrainConfig
from pointlaw.training.fit import fit
from pointlaw.training.rounds import Memory, Refinement, Round, Run, on_root

log = logging.getLogger(__name__)


def refine_until_inside(
    law: LearnedMaterial,
    training: Dataset,
    kept_back: Dataset,
    *,
    guard: Callable[[LearnedMaterial], Guarded],
    solve: Callable[[Guarded], Run],
    teacher: Callable[[StrainPath], Dataset],
    folder: str | Path,
    config: TrainConfig | None = None,
    rounds: int = 5,
    paths: int = 48,
    margin: float = 0.8,
    stretch: tuple[float, ...] = (1.0, 1.1),
    keep: int = 4,
    density: dict[str, Any] | None = None,
    comm: Any = None,
    checkpoint: str | Path | None = None,
    identity: str = "",
    callback: Callable[[Round], Any] | None = None,
) -> Refinement:
    """Solve, record, sample and train on until a run has no point outside; collective.

    Parameters
    ----------
    law : LearnedMaterial
        Where to start; a law without a density gets one.
    training, kept_back : Dataset
        What it was trained on, and what its figures are measured on. New paths join both.
    guard : callable
        Wraps a law; its ``history`` must not be longer than the paths of ``training``.
    solve : callable
        Runs the problem with the guarded law, whether or not it gets to the end.
    teacher : callable
        Samples strain paths: ``lambda path: sample(rve, path)``. It leaves out those on which it fails, and raises
        ``NoPathLeft`` if that is all of them.
    folder : path
        Gets the law of every round (``round_1.safetensors``) and the paths that were added (``round_1.h5``).
    config : TrainConfig, optional
        Settings of each training. Its features must be those of the law; its scaling is kept.
    rounds : int
        Trainings at most.
    paths : int
        Histories that are chosen in a round: the worst one, then always the farthest from those chosen.
    margin : float
        Histories with a grade above this share of the limit may be chosen too: the next law will send points there.
    stretch : tuple of float
        Each is sampled at these multiples of its strain; beyond 1 they cover what a better law will ask next.
    keep : int
        Every ``keep``-th chosen history goes to the kept-back paths.
    density : dict, optional
        Options of :meth:`~pointlaw.laws.density.Density.fit`.
    comm : MPI communicator, optional
        If several ranks do this together, all with the same law and data.
    checkpoint : path, optional
        Folder from which a killed loop goes on: the training at hand as in :func:`fit`, otherwise with the part of the
        round that was cut off (solve or sampling). More ``rounds`` may be allowed then.
    identity : str
        What the functions depend on, such as the limit of the guard or the load: functions cannot be compared, so a
        checkpoint is of another loop when this text differs.
    callback : callable, optional
        Called after each round, also after one that the checkpoint knew.

    Notes
    -----
    Raises ``InputError`` when the units of law and data differ, the history is too long, a round finds no path that is
    new, the teacher fails on all of its paths, or the checkpoint is of another network, dataset or configuration.
    """
    check_units(law, training, "the law", "the training paths")
    config = config or TrainConfig()
    place = None if checkpoint is None else Path(checkpoint)
    loop = _Loop(law, training, kept_back, config, density or {}, Path(folder), comm, place)
    run = f"loop {loop.identity} {paths} {margin} {stretch} {keep} {identity}"
    memory = Memory(None if place is None else place / "loop.pt", run, comm)
    outcome = Refinement()
    for number in range(rounds + 1):
        # The last round is solved in any case: its result is wanted.
        known = memory.of(number) if number < rounds else None
        loop.make_law(number, known=known is not None)
        row, chosen = known or loop.solve(number, guard, solve, margin, paths)
        if row.outside and number < rounds:
            if known is None:
                memory.keep(row, chosen)
            with _Clock() as sampling:
                added = loop.extend(number + 1, chosen, teacher, stretch, keep, known=row.added > 0)
            if row.added == 0:
                row = replace(row, added=added, seconds=row.seconds | {"sample": sampling.seconds})
                memory.keep(row, chosen)
        outcome.rounds.append(row)
        log.info("round %d: %d points outside", number, row.outside)
        if callback is not None:
            callback(row)
        if not row.outside:
            break
    last = outcome.rounds[-1]
    outcome.law, outcome.inside = loop.law, last.outside == 0 and last.finished
    outcome.reason = _reason(outcome)
    return outcome


class _Clock:
    """Seconds of a block."""

    def __enter__(self) -> "_Clock":
        self.seconds, self._begin = 0.0, time.perf_counter()
        return self

    def __exit__(self, *_: object) -> None:
        self.seconds = time.perf_counter() - self._begin


@dataclass
class _Loop:
    """The law and the data that it has come to, the same on all ranks."""

    law: LearnedMaterial
    training: Dataset
    kept_back: Dataset
    config: TrainConfig
    density: dict[str, Any]
    folder: Path
    comm: Any
    checkpoint: Path | None
    seconds: float = 0.0

    @property
    def identity(self) -> str:
        """What tells one loop from another; the probe on the card tells the weights apart."""
        data = f"{self.training.sha256} {self.kept_back.sha256}"
        return f"{self.law.card.model_dump_json()} {data} {self.config.model_dump_json()} {self.density}"

    def make_law(self, number: int, *, known: bool) -> None:
        """Make the law of a round on rank 0; round 0 only adds the density that is missing. All ranks read its file."""
        path = self.folder / f"round_{number}.safetensors"
        with _Clock() as clock:
            if number or self.law.density is None:
                if not known:
                    on_root(self.comm, lambda: self._save(path, number))
                self.law = load_law(path)
                if number and self.law.card.provenance.training_sha256 != self.training.sha256:
                    raise _not_of_this_loop(path)
        self.seconds = clock.seconds

    def solve(
        self, number: int, guard: Callable[[LearnedMaterial], Guarded], solve: Callable[[Guarded], Run], margin: float,
        paths: int,
    ) -> tuple[Round, OutsidePaths]:  # fmt: skip
        """Run the problem; return the round and the histories to sample."""
        guarded = guard(self.law)
        if guarded.history.length > self.training.times:
            raise InputError(
                f"The guard remembers {guarded.history.length} strains, but a training path has {self.training.times} "
                f"times; use Guarded(…, history={self.training.times}) or longer paths."
            )
        with _Clock() as solving:
            run = solve(guarded)
        near = [outside_paths(guarded, state, share=margin) for state in run.states]
        found = OutsidePaths.join(_gathered(near, self.comm))
        row = Round(
            number=number,
            outside=int(np.count_nonzero(found.grade > guarded.limit)),
            points=sum(_gathered([len(state) for state in run.states], self.comm)),
            worst=float(found.grade.max(initial=0.0)),
            paths=self.training.paths,
            added=0,
            error=self.law.card.figures.error_mean,
            finished=bool(run.finished),
            result=run.result,
            seconds={"train": self.seconds, "solve": solving.seconds, "sample": 0.0},
        )
        return row, found.take(found.spread(paths))

    def extend(
        self,
        number: int,
        chosen: OutsidePaths,
        teacher: Callable[[StrainPath], Dataset],
        stretch: tuple[float, ...],
        keep: int,
        *,
        known: bool,
    ) -> int:
        """Add the teacher's answers along the chosen histories to the data, and return how many paths that were.

        Answers that are ``known`` are read from the file of the round.
        """
        duration = float(np.mean(self.training.time[:, -1] - self.training.time[:, 0]))
        path = chosen.to_path(self.law, self.training.times - 1, duration)
        reference = self.law.kinematics.reference
        copies = np.stack([reference + factor * (path.strain - reference) for factor in stretch], axis=1)
        strain = copies.reshape(-1, *path.strain.shape[1:])
        kept = np.repeat(np.arange(len(chosen)) % keep == keep - 1, len(stretch))
        seen = {row.tobytes() for data in (self.training, self.kept_back) for row in data.strain}
        purpose = {r.tobytes(): bool(k) for r, k in zip(strain, kept, strict=True) if r.tobytes() not in seen}
        strain = np.array([row for row in strain if row.tobytes() in purpose]).reshape(-1, *strain.shape[1:])
        if len(strain) == 0:
            raise InputError("All histories of points outside were sampled before; raise limit, or stretch them more.")
        file = self.folder / f"round_{number}.h5"
        if known:
            new = load_dataset(file)
            if {row.tobytes() for row in new.strain} - purpose.keys():
                raise _not_of_this_loop(file)
        else:
            new = _taught(teacher, StrainPath(path.times, strain, path.kinematics), self.comm)
            on_root(self.comm, lambda: save_dataset(file, new))
        test = np.array([purpose[row.tobytes()] for row in new.strain], dtype=bool)
        self.training = _joined(self.training, new.subset(np.flatnonzero(~test)))
        if test.any():
            self.kept_back = _joined(self.kept_back, new.subset(np.flatnonzero(test)))
        return new.paths

    def _save(self, path: Path, number: int) -> None:
        law = self._trained_on(number) if number else self.law
        save_law(path, with_density(law, self.training, self.kept_back, **self.density))

    def _trained_on(self, number: int) -> LearnedMaterial:
        """Return the law after more training from its present weights, audited anew."""
        law, config = self.law, self.config
        if not isinstance(law.network, Network) or config.features != law.card.features:
            raise InputError(
                f"The law '{law.card.name}' cannot be trained on: it is a foreign script, or its features "
                f"{law.card.features} are not those of the configuration, {config.features}."
            )
        network = build(law.card.architecture, law.card.config)
        network.load_state_dict(law.network.state_dict())
        # The old scales are kept because the weights belong to them.
        memory = None if self.checkpoint is None else self.checkpoint / f"round_{number}.pt"
        report = fit(network, self.training, config, scaling=law.card.scaling, checkpoint=memory)
        return make_law(
            report.network,
            report.scaling,
            name=law.card.name,
            training=self.training,
            kept_back=self.kept_back,
            features=config.features,
            precision=law.card.precision,
            seed=config.seed,
            settings=config.record(),
        )


def _taught(teacher: Callable[[StrainPath], Dataset], path: StrainPath, comm: Any) -> Dataset:
    """Return the answers along all paths on which the teacher does not fail, in their order, whatever the ranks are.

    Each rank asks for its share; collective. Raises ``NoPathLeft`` on all ranks when no rank has an answer.
    """
    size, rank = (1, 0) if comm is None else (comm.size, comm.rank)
    mine = path.strain[rank::size]
    try:
        share = [teacher(StrainPath(path.times, mine, path.kinematics))] if len(mine) else []
    except NoPathLeft:  # the others may have some, and wait
        share = []
    parts = _gathered(share, comm)
    if not parts:
        error = NoPathLeft(
            f"The teacher fails on all {len(path)} paths of the round; take a smaller stretch or smaller steps."
        )
        error.collective = True
        raise error
    new = merge(parts)
    place = {row.tobytes(): number for number, row in enumerate(path.strain)}
    return new.subset(np.argsort([place[row.tobytes()] for row in new.strain], kind="stable"))


def _joined(old: Dataset, new: Dataset) -> Dataset:
    """Return ``old`` with ``new`` behind it, on the card of the old one."""
    return merge([old, Dataset(**new.arrays, card=old.card)])


def _not_of_this_loop(path: Path) -> InputError:
    return InputError(f"{path} was not written by the loop of this checkpoint; delete the checkpoint to start again.")


def _gathered(parts: list[Any], comm: Any) -> list[Any]:
    """Return the parts of all ranks, in the order of the ranks."""
    return parts if comm is None else [part for share in comm.allgather(parts) for part in share]


def _reason(outcome: Refinement) -> str:
    last = outcome.rounds[-1]
    if outcome.inside:
        return f"No point was outside after {last.number} rounds of training."
    if last.outside:
        return (
            f"{last.outside} of {last.points} points are still outside after {last.number} rounds (worst grade "
            f"{last.worst:.2f}); allow more rounds or paths, or stretch them further."
        )
    return f"No point is outside, but the run did not finish after {last.number} rounds; look at its law and its load."

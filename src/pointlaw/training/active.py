"""The closed loop: solve, record, sample, train on, solve again, until no point is outside.

A macroscopic problem knows best which strain paths it needs. The loop runs it with a guarded law, takes the strain
histories of the points that were outside, asks the teacher along some of them, trains on from the present weights, and
solves again. The run itself is a callable, so nothing here knows finite elements; with several ranks each samples its
share of the paths, rank 0 trains, and all go on with the law file that it wrote.
"""

import logging
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from pointlaw.data import Dataset, merge, save_dataset
from pointlaw.errors import InputError
from pointlaw.laws import LearnedMaterial, load_law, make_law, save_law
from pointlaw.laws.covered import with_density
from pointlaw.laws.guard import Guarded, OutsidePaths, outside_paths
from pointlaw.networks import Network, build
from pointlaw.paths import StrainPath
from pointlaw.tensors import Array
from pointlaw.training.config import TrainConfig
from pointlaw.training.fit import fit

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Run:
    """What a solve hands back.

    Attributes
    ----------
    states : list of [p, s]
        Committed state of every region with the guarded law, the points of this rank.
    finished : bool
        Whether the run reached its end; the same on all ranks.
    result : any
        What the caller wants to see of the run (forces, fields).
    """

    states: list[Array]
    finished: bool
    result: Any = None


@dataclass(frozen=True)
class Round:
    """One round of the loop, the same on all ranks (``result`` may differ).

    ``outside`` of ``points`` points were outside at some time; ``worst`` is the largest grade of those near the edge or
    beyond it. The law was trained on ``paths`` paths, ``added`` were sampled after the run; ``error`` is its mean error
    on the kept-back paths (which grow as well). ``seconds`` of the parts: ``solve``, ``sample``, ``train``.
    """

    number: int
    outside: int
    points: int
    worst: float
    paths: int
    added: int
    error: float | None
    finished: bool
    result: Any
    seconds: dict[str, float]


@dataclass
class Refinement:
    """The outcome of :func:`refine_until_inside`: the rounds, the last law, and in ``reason`` how it ended."""

    rounds: list[Round] = field(default_factory=list)
    law: LearnedMaterial | None = None
    inside: bool = False
    reason: str = ""

    def __str__(self) -> str:
        head = f"{'round':>5}{'paths':>7}{'error':>8}{'points':>8}{'outside':>9}{'worst grade':>13}"
        lines = [head + f"{'added':>7}{'solve':>9}{'sample':>9}{'train':>9}"]
        for r in self.rounds:
            cost = "".join(f"{r.seconds[part]:>7.1f} s" for part in ("solve", "sample", "train"))
            grade = f"{r.worst:>13.2f}"
            error = f"{'–':>8}" if r.error is None else f"{100 * r.error:>6.1f} %"
            lines.append(f"{r.number:>5}{r.paths:>7}{error}{r.points:>8}{r.outside:>9}{grade}{r.added:>7}{cost}")
        return "\n".join([*lines, self.reason])


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
        Samples strain paths: ``lambda path: sample(rve, path)``.
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
    callback : callable, optional
        Called after each round.

    Notes
    -----
    Raises ``InputError`` when the history is too long, or a round finds no path that is new.
    """
    config = config or TrainConfig()
    loop = _Loop(law, training, kept_back, config, density or {}, Path(folder), comm)
    outcome = Refinement()
    for number in range(rounds + 1):
        with _Clock() as train:
            if number or law.density is None:
                loop.train(number)
        guarded = guard(loop.law)
        loop.check(guarded)
        with _Clock() as solving:
            run = solve(guarded)
        near = [outside_paths(guarded, state, share=margin) for state in run.states]
        found = OutsidePaths.join(_gathered(near, comm))
        outside = int(np.count_nonzero(found.grade > guarded.limit))
        trained, added = loop.training.paths, 0
        outcome.inside = outside == 0 and run.finished
        with _Clock() as sampling:
            if outside and number < rounds:
                added = loop.extend(number + 1, found.take(found.spread(paths)), teacher, stretch, keep)
        outcome.rounds.append(
            Round(
                number=number,
                outside=outside,
                points=sum(_gathered([len(state) for state in run.states], comm)),
                worst=float(found.grade.max(initial=0.0)),
                paths=trained,
                added=added,
                error=loop.law.card.figures.error_mean,
                finished=run.finished,
                result=run.result,
                seconds={"train": train.seconds, "solve": solving.seconds, "sample": sampling.seconds},
            )
        )
        log.info("round %d: %d points outside", number, outside)
        if callback is not None:
            callback(outcome.rounds[-1])
        if not outside:
            break
    outcome.law, outcome.reason = loop.law, _reason(outcome)
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

    def check(self, guarded: Guarded) -> None:
        """Raise ``InputError`` if the histories of the guard would not fit the training paths."""
        if guarded.history.length > self.training.times:
            raise InputError(
                f"The guard remembers {guarded.history.length} strains, but a training path has {self.training.times} "
                f"times; use Guarded(…, history={self.training.times}) or longer paths."
            )

    def train(self, number: int) -> None:
        """Make the law of a round on rank 0; round 0 only adds the density that is missing. All ranks read its file."""
        path = self.folder / f"round_{number}.safetensors"
        if self.comm is None or self.comm.rank == 0:
            law = self._trained_on() if number else self.law
            save_law(path, with_density(law, self.training, self.kept_back, **self.density))
        if self.comm is not None:
            self.comm.barrier()
        self.law = load_law(path)

    def extend(
        self,
        number: int,
        chosen: OutsidePaths,
        teacher: Callable[[StrainPath], Dataset],
        stretch: tuple[float, ...],
        keep: int,
    ) -> int:
        """Add the teacher's answers along the chosen histories to the data, and return how many paths that were."""
        size, rank = (1, 0) if self.comm is None else (self.comm.size, self.comm.rank)
        duration = float(np.mean(self.training.time[:, -1] - self.training.time[:, 0]))
        path = chosen.to_path(self.law, self.training.times - 1, duration)
        reference = self.law.kinematics.reference
        copies = np.stack([reference + factor * (path.strain - reference) for factor in stretch], axis=1)
        strain = copies.reshape(-1, *path.strain.shape[1:])
        kept = np.repeat(np.arange(len(chosen)) % keep == keep - 1, len(stretch))
        known = {row.tobytes() for data in (self.training, self.kept_back) for row in data.strain}
        purpose = {r.tobytes(): bool(k) for r, k in zip(strain, kept, strict=True) if r.tobytes() not in known}
        strain = np.array([row for row in strain if row.tobytes() in purpose]).reshape(-1, *strain.shape[1:])
        mine = strain[rank::size]
        parts = _gathered([teacher(StrainPath(path.times, mine, path.kinematics))] if len(mine) else [], self.comm)
        if not parts:
            raise InputError("All histories of points outside were sampled before; raise limit, or stretch them more.")
        new = merge(parts)
        test = np.array([purpose[row.tobytes()] for row in new.strain], dtype=bool)
        self.training = _joined(self.training, new.subset(np.flatnonzero(~test)))
        if test.any():
            self.kept_back = _joined(self.kept_back, new.subset(np.flatnonzero(test)))
        if rank == 0:
            save_dataset(self.folder / f"round_{number}.h5", new)
        return new.paths

    def _trained_on(self) -> LearnedMaterial:
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
        report = fit(network, self.training, config, scaling=law.card.scaling)
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


def _joined(old: Dataset, new: Dataset) -> Dataset:
    """Return ``old`` with ``new`` behind it, on the card of the old one."""
    return merge([old, Dataset(**new.arrays, card=old.card)])


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

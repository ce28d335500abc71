"""What the closed loop hands back and remembers: runs, rounds, their table, and the file a killed loop goes on from.

The file holds every round that was solved and the strain histories it chose. Laws and new paths of the rounds are files
already, and a training has its own checkpoint, so a kill costs at most the solve or the sampling at hand. Rank 0 reads
and writes; what it finds, an error too, all ranks learn together.
"""

from collections.abc import Callable
from dataclasses import asdict, dataclass, field, fields, replace
from pathlib import Path
from typing import Any

import torch

from pointlaw.errors import EnvironmentProblem, InputError, LawFileError, PointlawError
from pointlaw.laws import LearnedMaterial
from pointlaw.laws.guard import OutsidePaths
from pointlaw.tensors import Array
from pointlaw.training.checkpoint import load_state, save_state


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
    on the kept-back paths (which grow as well). ``seconds`` of the parts: ``solve``, ``sample``, ``train``. ``result``
    is the caller's and not in a checkpoint: it is ``None`` for the rounds before a kill, never for the last one.
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
    """The outcome of a closed loop: the rounds, the last law, and in ``reason`` how it ended."""

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


class Memory:
    """The rounds of a loop with the histories that each chose, in memory and in the file ``path``; collective.

    Raises ``InputError`` on all ranks when the file cannot be read or is of another loop.
    """

    def __init__(self, path: Path | None, identity: str, comm: Any):
        self.path, self.identity, self.comm = path, identity, comm
        self.steps = on_root(comm, self._read)

    def of(self, number: int) -> tuple[Round, OutsidePaths] | None:
        """Return a round that is known, or ``None``."""
        return self.steps[number] if number < len(self.steps) else None

    def keep(self, row: Round, chosen: OutsidePaths) -> None:
        """Remember a round in place of what was known of it and of all later ones."""
        self.steps[row.number :] = [(replace(row, result=None), chosen)]
        on_root(self.comm, self._write)

    def _write(self) -> None:
        if self.path is not None:
            rounds = [{"row": asdict(row), "chosen": _tensors(chosen)} for row, chosen in self.steps]
            save_state(self.path, self.identity, {"rounds": rounds})

    def _read(self) -> list[tuple[Round, OutsidePaths]]:
        if self.path is None or not self.path.exists():
            return []
        rounds = load_state(self.path, self.identity)["rounds"]
        arrays = [{name: tensor.numpy() for name, tensor in step["chosen"].items()} for step in rounds]
        return [(Round(**step["row"]), OutsidePaths(**part)) for step, part in zip(rounds, arrays, strict=True)]


def on_root[T](comm: Any, make: Callable[[], T]) -> T:
    """Return on all ranks what ``make`` returns on rank 0; if it raises there, all ranks raise. Collective."""
    if comm is None:
        return make()
    answer: Any = None
    failure: Exception | None = None
    if comm.rank == 0:
        try:
            answer = make()
        except Exception as error:  # the others wait for an answer, whatever it is
            failure = error
    answer, told = comm.bcast((answer, _travelling(failure)))
    if told is not None:
        together: PointlawError = told[0](told[1])
        together.collective = True
        raise together from failure
    return answer


def _travelling(error: Exception | None) -> tuple[type[PointlawError], str] | None:
    """Return a class and a sentence that every rank can make an error of."""
    if error is None:
        return None
    known = next((kind for kind in (InputError, LawFileError, EnvironmentProblem) if isinstance(error, kind)), None)
    return (known, str(error)) if known else (PointlawError, f"{type(error).__name__}: {error}")


def _tensors(chosen: OutsidePaths) -> dict[str, torch.Tensor]:
    return {part.name: torch.tensor(getattr(chosen, part.name)) for part in fields(chosen)}

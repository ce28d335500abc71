"""How a run went: its status as a sentence, its accepted times and reports, and what it cost."""

from dataclasses import dataclass, field
from enum import Enum

from pointlaw.fem.problem import StepReport


class Status(Enum):
    """How a run ended; the value is the sentence for the user."""

    FINISHED = "The run reached the last requested time."
    STEP_TOO_SMALL = "The step was cut below min_dt; check the load and the law, or lower StepController.min_dt."
    TOO_MANY_CUTS = "The step was cut too often in a row; check the load and the law, or raise StepController.max_cuts."
    STOPPED = "An observer stopped the run."


@dataclass
class Stats:
    """What a run cost: accepted steps, cuts, Newton and linear iterations, evaluations of the laws, wall seconds."""

    steps: int = 0
    cuts: int = 0
    iterations: int = 0
    linear_iterations: int = 0
    evaluations: int = 0
    out_of_range_points: int = 0
    seconds: float = 0.0


@dataclass
class Solution:
    """The outcome of :func:`~pointlaw.fem.march.march`.

    ``times[k]`` are the accepted times and ``reports`` their reports; ``cause`` names the last failure, if any.
    """

    status: Status
    times: list[float] = field(default_factory=list)
    reports: list[StepReport] = field(default_factory=list)
    stats: Stats = field(default_factory=Stats)
    cause: str = ""

    @property
    def finished(self) -> bool:
        """Whether the last requested time was reached."""
        return self.status is Status.FINISHED

    @property
    def message(self) -> str:
        """A sentence on how the run ended, with the cause of a failure."""
        where = f" Last converged time: {self.times[-1]:g}." if self.times else " No step converged."
        return self.status.value if self.finished else f"{self.status.value} Cause: {self.cause}.{where}"

"""How long the next step is: cut after a failure, grow after an easy step.

The controller sees reports and lengths only; it neither solves nor commits.
"""

import math
from dataclasses import dataclass
from typing import Protocol

from pointlaw.errors import InputError
from pointlaw.fem.problem import StepReport


@dataclass(frozen=True)
class Decision:
    """Whether the step is kept, and how long the next attempt is; ``reason`` says why it was cut."""

    accept: bool
    next_dt: float
    reason: str = ""


class Controller(Protocol):
    """What :func:`~pointlaw.fem.march.march` asks of a step controller."""

    @property
    def dt(self) -> float:
        """First step."""
        ...

    @property
    def min_dt(self) -> float:
        """Shortest step."""
        ...

    @property
    def max_cuts(self) -> int:
        """Cuts in a row before the run ends."""
        ...

    def decide(self, report: StepReport, dt: float) -> Decision:
        """Judge the attempt of length ``dt``."""
        ...


@dataclass(frozen=True)
class StepController:
    """Cut failed steps, let easy ones grow.

    Parameters
    ----------
    dt : float
        First step, unit of time; ``inf`` goes straight to the first requested time.
    min_dt : float
        Shortest step; a cut below it ends the run.
    max_dt : float
        Longest step.
    cut : float
        Factor after a failure, in (0, 1).
    grow : float
        Factor after a step of at most ``easy_iterations`` Newton iterations, ≥ 1.
    easy_iterations : int
        Newton iterations of an easy step.
    max_cuts : int
        Cuts in a row before the run ends.
    """

    dt: float = math.inf
    min_dt: float = 0.0
    max_dt: float = math.inf
    cut: float = 0.5
    grow: float = 1.5
    easy_iterations: int = 8
    max_cuts: int = 12

    def __post_init__(self) -> None:
        if not self.dt > 0:
            raise InputError(f"StepController: dt = {self.dt} must be > 0.")
        if not self.max_dt > 0:
            raise InputError(f"StepController: max_dt = {self.max_dt} must be > 0.")
        if not 0 <= self.min_dt <= self.max_dt:
            raise InputError(f"StepController: 0 <= min_dt <= max_dt is needed; got {self.min_dt} and {self.max_dt}.")
        if not 0 < self.cut < 1:
            raise InputError(f"StepController: cut = {self.cut} must lie between 0 and 1.")
        if not self.grow >= 1:
            raise InputError(f"StepController: grow = {self.grow} must be at least 1.")
        if self.max_cuts < 0 or self.easy_iterations < 0:
            raise InputError("StepController: max_cuts and easy_iterations must be 0 or more.")
        object.__setattr__(self, "dt", min(self.dt, self.max_dt))

    def decide(self, report: StepReport, dt: float) -> Decision:
        """Keep a converged step unless a law asks for a shorter one; a cut takes the smaller of both factors."""
        if report.converged and report.dt_factor >= 1.0:
            factor = self.grow if report.iterations <= self.easy_iterations else 1.0
            return Decision(True, min(dt * min(factor, report.dt_factor), self.max_dt))
        asked = report.dt_factor if 0 < report.dt_factor < 1 else math.inf
        if report.converged:
            factor = asked if asked < 1.0 else self.cut
            return Decision(False, dt * factor, f"a law asked for {report.dt_factor:g} of the step")
        return Decision(False, dt * min(self.cut, asked), report.detail or report.reason)


@dataclass(frozen=True)
class FixedStep:
    """Steps of one length ``dt`` (unit of time), whatever the laws would allow; the first failure ends the run."""

    dt: float = math.inf
    min_dt: float = 0.0
    max_cuts: int = 0

    def __post_init__(self) -> None:
        if not self.dt > 0:
            raise InputError(f"FixedStep: dt = {self.dt} must be > 0.")

    def decide(self, report: StepReport, dt: float) -> Decision:
        """Keep a converged step, refuse any other."""
        return Decision(report.converged, self.dt, "" if report.converged else report.detail or report.reason)

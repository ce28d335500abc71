"""The load history: try a step, ask the controller, book it.

``march`` hits every requested time exactly, cuts and regrows in between, and ends with a :class:`Solution` that says
in a sentence how it went. A step is either accepted on all ranks or leaves no trace.
"""

from pointlaw.fem.mpi import MPI, everyone_arrives  # isort: skip

import logging
import math
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol, cast

import numpy as np

from pointlaw.errors import InputError, NotConverged
from pointlaw.fem.controller import Controller, StepController
from pointlaw.fem.observe import Observer
from pointlaw.fem.problem import MechanicsProblem, StepReport
from pointlaw.fem.solution import Solution, Status

log = logging.getLogger(__name__)


class Marchable(Protocol):
    """What :func:`march` asks of a problem; :class:`MechanicsProblem` and :class:`ArcLength` have it."""

    time: float

    @property
    def comm(self) -> Any:
        """MPI communicator."""
        ...

    def solve(self, t: float, dt: float) -> StepReport:
        """Try an increment."""
        ...

    def accept(self, report: StepReport) -> None:
        """Make it history."""
        ...

    def reject(self) -> None:
        """Forget it."""
        ...


def march(
    problem: MechanicsProblem | Marchable,
    times: Sequence[float],
    controller: Controller | None = None,
    *,
    observers: Sequence[Observer] = (),
    strict: bool = True,
) -> Solution:
    """Run a problem through its load history; collective.

    Parameters
    ----------
    problem
        Where to start is ``problem.time``.
    times : [n]
        Increasing times that are hit exactly, after ``problem.time``; unit of time.
    controller
        Step control; by default one step a requested time, cut when it fails.
    observers
        Told of each accepted and rejected step, in this order.
    strict
        Raise ``NotConverged`` (with the solution) if the last time is not reached; otherwise look at the status.

    Raises
    ------
    InputError
        If the times do not increase or lie before ``problem.time``.
    NotConverged
        On all ranks, when ``strict``.
    """
    targets = _checked(times, problem.time)
    run = _Run(problem, StepController() if controller is None else controller, observers)
    solution = run.solution
    begun = time.perf_counter()
    for observer in observers:
        observer.start(cast(MechanicsProblem, problem))
    try:
        for target in targets:
            if not run.reach(target):
                break
    except BaseException as error:
        # Ranks that do not have this error would not join in what is collective; those that have it come soon.
        if getattr(error, "collective", False) or everyone_arrives(problem.comm, seconds=2.0):
            run.finish(begun)
        else:
            for observer in observers:
                observer.abandon()
        raise
    run.finish(begun)
    log.info(solution.message)
    if strict and not solution.finished:
        raise NotConverged(solution.message, solution)
    return solution


@dataclass
class _Run:
    """The loop of :func:`march` with the length of step it has come to."""

    problem: Any
    controller: Controller
    observers: Sequence[Observer]
    solution: Solution = field(default_factory=lambda: Solution(Status.FINISHED))
    dt: float = math.inf

    def __post_init__(self) -> None:
        self.dt = self.controller.dt

    def reach(self, target: float) -> bool:
        """Step until ``target``; return whether the run goes on."""
        cuts = 0
        while self.problem.time < target:
            start = self.problem.time
            t, dt = _next(start, target, self.dt)
            report = self.problem.solve(t, dt)
            decision = self.controller.decide(report, dt)
            self._count(report, accepted=decision.accept)
            if decision.accept:
                cuts = 0
                # A step shortened to hit a requested time says nothing against the longer one that was wanted, unless
                # a law limits the next step by the length of this one.
                self.dt = max(decision.next_dt, min(self.dt, report.dt_factor * dt) if dt < self.dt else 0.0)
                if self._book(report):
                    continue
                self.solution.status, self.solution.cause = Status.STOPPED, "an observer asked for it"
                return False
            cuts += 1
            self.problem.reject()
            self.dt = decision.next_dt
            self.solution.cause = decision.reason.rstrip(".")
            log.info("Step to t = %g rejected (%s); next dt = %g.", t, decision.reason, self.dt)
            for observer in self.observers:
                observer.rejected(self.problem, report, self.dt)
            if cuts > self.controller.max_cuts:
                self.solution.status = Status.TOO_MANY_CUTS
                return False
            if self.dt < self.controller.min_dt or start + self.dt == start:
                self.solution.status = Status.STEP_TOO_SMALL
                return False
        return True

    def finish(self, begun: float) -> None:
        """Tell the observers of the end; collective."""
        self.solution.stats.seconds = time.perf_counter() - begun
        for observer in self.observers:
            observer.finish(self.problem, self.solution)

    def _book(self, report: StepReport) -> bool:
        self.problem.accept(report)
        if report.out_of_range_points and self.problem.comm.rank == 0:
            log.warning(
                "t = %g: %d points are outside the range of their law.", report.time, report.out_of_range_points
            )
        self.solution.times.append(report.time)
        self.solution.reports.append(report)
        answers = [observer.accepted(self.problem, report) for observer in self.observers]
        # One rank's wish to stop is everybody's.
        return not self.problem.comm.allreduce(any(answer is False for answer in answers), op=MPI.LOR)

    def _count(self, report: StepReport, *, accepted: bool) -> None:
        stats = self.solution.stats
        stats.steps += accepted
        stats.cuts += not accepted
        stats.iterations += report.iterations
        stats.linear_iterations += report.linear_iterations
        stats.evaluations += report.evaluations
        if accepted:
            stats.out_of_range_points = max(stats.out_of_range_points, report.out_of_range_points)


def _next(start: float, target: float, dt: float) -> tuple[float, float]:
    """Return end and length of the next step: ``target`` is hit exactly, and no sliver is left before it."""
    remaining = target - start
    if dt >= remaining * (1.0 - 1e-9):
        return target, remaining
    dt = min(dt, remaining / math.ceil(remaining / dt - 1e-9))
    return start + dt, dt


def _checked(times: Sequence[float], start: float) -> list[float]:
    try:
        targets = np.asarray(times, dtype=float)
    except (TypeError, ValueError):
        raise InputError(f"times must be a list of finite numbers; got {times!r}.") from None
    if targets.ndim != 1 or not len(targets) or not np.all(np.isfinite(targets)):
        raise InputError(f"times must be a list of finite numbers; got {times!r}.")
    if targets[0] <= start or np.any(np.diff(targets) <= 0):
        raise InputError(f"times must increase and begin after the problem's time {start:g}; got {targets.tolist()}.")
    return [float(t) for t in targets]

"""Equilibrium paths beyond limit points: the load is an unknown, the length of the path is given.

``march(ArcLength(problem), …)`` traces what a load control cannot pass: snap-through, snap-back, softening. The time of
the wrapped problem becomes its load factor, free to fall; what marches is the arc length (Crisfield 1981,
doi 10.1016/0045-7949(81)90108-5), or the displacement of a chosen place.
"""

from pointlaw.fem.mpi import MPI  # isort: skip  # noqa: F401 - MPI first

import math
import time
from typing import Any

from petsc4py import PETSc

import numpy as np

from pointlaw.errors import SetupError
from pointlaw.fem.boundary import AXES, locate_dofs
from pointlaw.fem.problem import MechanicsProblem, StepReport
from pointlaw.fem.region import Verdict
from pointlaw.tensors import Array


class ArcLength:
    """A problem whose increments are measured along its equilibrium path.

    Parameters
    ----------
    problem
        The problem; its loads and prescribed displacements are functions of ``t``, usually proportional to it. Laws
        that depend on the rate are given the increment of arc length as the time step, which means nothing for them.
    control
        ``None`` for the cylindrical arc length: root mean square of the nodal displacement increments; or a place
        and a direction such as ``("top", "y")`` (``"-y"`` counts downwards), whose mean displacement is the path
        variable.
    max_iterations
        Newton iterations before an increment is given up.

    Notes
    -----
    ``time`` is the arc length (unit of length) travelled so far, ``load`` the time ``t`` of the wrapped problem; all
    else is that problem's. Needs a linear solver for indefinite matrices: direct, or GMRES.

    Raises
    ------
    SetupError
        If ``control`` names another direction than the mesh has.
    """

    def __init__(self, problem: MechanicsProblem, *, control: tuple[Any, str] | None = None, max_iterations: int = 20):
        self.problem, self.max_iterations = problem, max_iterations
        self.time = 0.0
        self._newton = problem.newton
        self._x = self._newton.forces.duplicate()
        self._b, self._rhs, self._correction, self._tangent, self._increment, self._previous = (
            self._x.duplicate() for _ in range(6)
        )
        for vector in (self._b, self._increment, self._previous, self._tangent, self._correction):
            vector.set(0.0)
        self._metric = self._displacement_metric()
        self._direction = None if control is None else self._control_direction(*control)
        self._moved = False
        self._load = problem.time

    def __getattr__(self, name: str) -> Any:
        return getattr(self.problem, name)

    @property
    def load(self) -> float:
        """The time ``t`` of the wrapped problem: its load factor."""
        return self._load

    def solve(self, s: float, ds: float) -> StepReport:
        """Try the increment of arc length ``ds`` that ends at ``s``; collective; see :meth:`MechanicsProblem.solve`."""
        begun = time.perf_counter()
        newton, t = self._newton, self.problem.time
        newton.begin()
        self.problem.set_step(t, ds)
        self._increment.set(0.0)
        self._set_iterate()
        norms: list[float] = []
        reason, verdict, iteration = "DIVERGED_MAX_IT", Verdict(), 0
        while iteration <= self.max_iterations:
            verdict = newton.iterate(self._x, self._b)
            if verdict.failed:
                reason = "MATERIAL_FAILED"
                break
            norm: Any = self._b.norm()
            norms.append(float(norm))
            if not math.isfinite(norms[-1]):
                reason = "DIVERGED_FUNCTION_NANORINF"
                break
            if iteration > 0 and norms[-1] <= newton.tolerance():
                reason = "CONVERGED_FNORM_RELATIVE"
                break
            change = self._corrector(t, ds)
            if change is None:
                reason = "NO_POINT_AT_THIS_ARC_LENGTH"
                break
            if iteration == 0:
                per_time: Any = self._b.norm()
                newton.imbalance = float(per_time) * abs(change)
            t += change
            self.problem.set_step(t, ds)
            self._set_iterate()
            iteration += 1
        self.problem.formulation.extract()
        converged = reason.startswith("CONVERGED")
        self._load = t
        report = StepReport(
            time=s,
            dt=ds,
            converged=converged,
            reason=reason,
            iterations=iteration,
            linear_iterations=2 * iteration,
            evaluations=iteration + 1,
            norms=norms,
            failed_points=verdict.failed,
            out_of_range_points=verdict.out_of_range,
            dt_factor=verdict.dt_factor,
            seconds=time.perf_counter() - begun,
            detail=self.problem.describe_failure() if verdict.failed else "",
        )
        self.problem.tried = report
        return report

    def accept(self, report: StepReport) -> None:
        """Make the last increment history; see :meth:`MechanicsProblem.accept`."""
        self.problem.accept(report)
        self.problem.time, self.time = self._load, report.time
        self._increment.copy(self._previous)
        self._moved = True

    @property
    def moved(self) -> bool:
        """Whether any increment was accepted: before the first, the path goes on with rising load."""
        return self._moved

    @property
    def direction(self) -> Array:
        """Displacements ``[n, gdim]`` of the last accepted increment at the nodes of this rank, ghosts included."""
        self._previous.ghostUpdate(PETSc.InsertMode.INSERT, PETSc.ScatterMode.FORWARD)
        dofs = self.problem.formulation.displacement_dofs()
        with self._previous.localForm() as local:
            values = local.array_r if dofs is None else local.array_r[dofs]
            return np.array(values).reshape(-1, self.problem.body.mesh.geometry.dim)

    def resume(self, s: float, direction: Array | None) -> None:
        """Go on from the committed state of the problem at arc length ``s`` in a ``direction[n, gdim]``, if any."""
        self.time, self._load, self._moved = s, self.problem.time, direction is not None
        if direction is not None:
            dofs = self.problem.formulation.displacement_dofs()
            values = np.zeros(len(self.problem.committed_unknowns))
            values[slice(None) if dofs is None else dofs] = direction.ravel()
            self._previous.array_w[:] = values[: self._previous.getLocalSize()]

    def reject(self) -> None:
        """Forget the last increment; see :meth:`MechanicsProblem.reject`."""
        self.problem.reject()
        self._load = self.problem.time

    def _corrector(self, t: float, ds: float) -> float | None:
        """Correct the increment by one Newton step on equilibrium and arc length; return the change of ``t``.

        Leaves what a unit of time adds to the load in ``_b``.
        """
        # What a unit of time does to the residual, at frozen stress: the loads and the boundary values.
        step = 1e-3 * max(1.0, abs(t))
        self._b.copy(self._rhs)
        self.problem.set_step(t + step, ds)
        self._newton.assemble(self._x, self._b)
        self.problem.set_step(t, ds)
        self._b.axpy(-1.0, self._rhs)
        self._b.scale(-1.0 / step)
        if not self._newton.linear_solve(self._b, self._tangent):
            return None
        self._rhs.scale(-1.0)
        if not self._newton.linear_solve(self._rhs, self._correction):
            return None
        self._correction.axpy(1.0, self._increment)
        change = self._constraint(ds)
        if change is None:
            return None
        self._correction.axpy(change, self._tangent)
        self._correction.copy(self._increment)
        return change

    def _constraint(self, ds: float) -> float | None:
        """Return the change of ``t`` that brings the increment to arc length ``ds``, or ``None`` if none does."""
        if self._direction is not None:
            slope = self._direction.dot(self._tangent)
            return None if slope == 0.0 else (ds - self._direction.dot(self._correction)) / slope
        a = self._product(self._tangent, self._tangent)
        b = self._product(self._correction, self._tangent)
        c = self._product(self._correction, self._correction) - ds**2
        root = b**2 - a * c
        if root < 0 or a == 0:
            return None
        roots = [(-b + sign * math.sqrt(root)) / a for sign in (1.0, -1.0)]
        # Go on in the direction of this increment, at its beginning in that of the last one, at first with rising load.
        ahead = self._increment if self._product(self._increment, self._increment) > 0 else self._previous
        if not self._moved and ahead is self._previous:
            return max(roots)
        gain = self._product(self._tangent, ahead)
        return max(roots, key=lambda change: change * gain)

    def _product(self, u: PETSc.Vec, v: PETSc.Vec) -> float:
        self._metric.pointwiseMult(u, self._weights)
        return float(self._metric.dot(v))

    def _set_iterate(self) -> None:
        owned = self._x.getLocalSize()
        self._x.array_w[:] = self.problem.committed_unknowns[:owned]
        self._x.axpy(1.0, self._increment)

    def _displacement_metric(self) -> PETSc.Vec:
        """Set the weight of each unknown in the arc length: 1 / (number of nodes) for displacements, else 0."""
        self._weights = self._x.duplicate()
        self._weights.set(0.0)
        V = self.problem.V
        dofs = self.problem.formulation.displacement_dofs()
        nodes = V.dofmap.index_map.size_global
        values = self._weights.array_w
        values[:] = 1.0 / nodes if dofs is None else 0.0
        if dofs is not None:
            values[dofs[dofs < len(values)]] = 1.0 / nodes
        return self._x.duplicate()

    def _control_direction(self, where: Any, direction: str) -> PETSc.Vec:
        """Return the vector whose product with the unknowns is the mean displacement of a place."""
        axis = AXES.find(direction.lstrip("+-"))
        if not 0 <= axis < self.problem.body.mesh.geometry.dim or not direction.lstrip("+-"):
            raise SetupError(f"ArcLength: the direction {direction!r} is none of the mesh; use 'x', '-y', …")
        dofs = np.unique(locate_dofs(self.problem.formulation.space(axis), self.problem.body, where))
        vector = self._x.duplicate()
        vector.set(0.0)
        owned = dofs[dofs < vector.getLocalSize()]
        count = self.problem.comm.allreduce(len(owned))
        vector.array_w[owned] = (-1.0 if direction.startswith("-") else 1.0) / count
        return vector

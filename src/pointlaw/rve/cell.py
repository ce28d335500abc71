"""The general engine: any mesh, law and constraint, one volume element after the other.

Newton's method with backtracking on the fluctuation, assembled by DOLFINx from regions that call their law once for all
their points. A step that does not converge at once is crept up on in smaller steps of the macroscopic strain, always
from the old state, so that the answer is that of one step and the tangent its exact derivative.
"""

from pointlaw.fem.mpi import MPI  # isort: skip  # noqa: F401 - MPI before DOLFINx

import logging
import math
from dataclasses import dataclass

import numpy as np
import ufl
from dolfinx import fem

from pointlaw.errors import SetupError
from pointlaw.fem.jit import jit_options
from pointlaw.fem.region import QuadratureFields, Region, Verdict
from pointlaw.materials import PointStatus, Response
from pointlaw.rve.element import VolumeElement
from pointlaw.rve.engine import FLUCTUATION, STRAIN, phase_variable
from pointlaw.rve.reduced import ReducedStiffness
from pointlaw.tensors import Array

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class CellReport:
    """How one volume element fared in one step.

    Attributes
    ----------
    iterations : int
        Newton iterations, of all partial steps.
    residual : float
        Norm of the last residual relative to the nodal forces.
    hill_mandel : float
        ``|⟨σ:Δε⟩ − Σ:ΔE|`` of the step, relative to ``⟨σ:Δε⟩`` or ``‖Σ‖‖ΔE‖``, whichever is larger.
    reason : str
        Why there is no answer; empty if there is one.
    """

    iterations: int
    residual: float
    hill_mandel: float
    reason: str = ""


@dataclass(slots=True)
class CellResponse(Response):
    """A :class:`Response` with a :class:`CellReport` for each row."""

    reports: tuple[CellReport, ...] = ()


class GeneralEngine:
    """Solves volume elements with DOLFINx; see :class:`~pointlaw.rve.engine.Engine`.

    Parameters
    ----------
    element
        The volume element.
    tolerance
        A residual is small below ``tolerance`` times the norm of the nodal forces.
    iterations
        Largest number of Newton iterations of one (partial) step.
    max_cuts
        How often a step that does not converge is halved on the way.
    solver
        Of the linear systems: ``"auto"``, ``"direct"`` or ``"iterative"``.

    Raises
    ------
    SetupError
        If a phase has no stiffness, or the cell can move without stress.
    """

    def __init__(
        self,
        element: VolumeElement,
        *,
        tolerance: float = 1e-8,
        iterations: int = 25,
        max_cuts: int = 4,
        solver: str = "auto",
    ):
        self.element, self.tolerance, self.iterations, self.max_cuts = element, tolerance, iterations, max_cuts
        self.kinematics, self.state_layout = element.kinematics, element.state_layout
        self.u = fem.Function(element.V, name="displacement")
        self.fields = QuadratureFields(element.body.mesh, element.kinematics, element.quadrature_degree)
        self.regions = {
            tag: Region(law, self.u, cells=element.cells[tag], fields=self.fields, name=str(tag))
            for tag, law in element.phases.items()
        }
        v, du = ufl.TestFunction(element.V), ufl.TrialFunction(element.V)
        region = next(iter(self.regions.values()))
        dx = ufl.Measure("dx", domain=element.body.mesh, metadata=self.fields.metadata)
        F = ufl.inner(self.fields.stress, region.virtual_strain(v)) * dx
        self._residual_form = fem.form(F, jit_options=jit_options())
        self._f: Array = np.zeros(len(self.u.x.array))
        jacobian = fem.form(region.derivative(F, self.u, du), jit_options=jit_options())
        self.stiffness = ReducedStiffness(element, jacobian, solver, tolerance)
        self._floor = self._probe()
        self.effort: Array = np.zeros(0)

    def initial_state(self, points: int) -> Array:
        """Return the virgin state ``[points, S]``."""
        return self.element.initial_state(points)

    def solve(self, strain: Array, state: Array, dt: float, *, tangent: bool) -> CellResponse:
        """Answer for ``n`` volume elements; see :meth:`Engine.solve`."""
        n, m = len(strain), self.kinematics.size
        stress = np.full((n, m), np.nan)
        moduli = np.zeros((n, m, m)) if tangent else None
        new = np.array(state, dtype=float, order="C")
        status = np.full(n, np.int8(PointStatus.FAILED))
        reports, factor = [], math.inf
        with np.errstate(over="ignore", invalid="ignore", divide="ignore", under="ignore"):
            for row in range(n):
                step = _Step(self, np.ascontiguousarray(strain[row]), np.ascontiguousarray(state[row]), dt)
                reports.append(step.run())
                factor = min(factor, step.verdict.dt_factor)
                if reports[-1].reason:
                    log.debug("row %d: %s", row, reports[-1].reason)
                    continue
                stress[row] = step.stress
                step.write(new[row])
                status[row] = PointStatus.OUT_OF_RANGE if step.verdict.out_of_range else PointStatus.FINE
                if moduli is not None:
                    moduli[row] = step.tangent()
        self.effort = 1.0 + np.array([report.iterations for report in reports], dtype=float)
        return CellResponse(stress, moduli, new, status, factor, tuple(reports))

    def evaluate(self, strain: Array, w: Array, state: Array, dt: float, *, tangent: bool) -> Verdict:
        """Evaluate all laws at a strain ``[m]`` and a fluctuation ``[free]``, from the old ``state[S]``."""
        element, verdict = self.element, Verdict()
        self.u.x.array[:] = element.D @ (strain - self.kinematics.reference) + element.P @ w
        for tag, region in self.regions.items():
            region.history.committed = element.phase_state(tag, state)
            verdict += region.evaluate_local(dt, tangent=tangent)
        return verdict

    def forces(self) -> Array:
        """Return the nodal forces ``[n·d]`` of the stress as it is; unit of force."""
        self._f[:] = 0.0
        fem.assemble_vector(self._f, self._residual_form)
        return self._f

    def _probe(self) -> float:
        """Look at the virgin cell; return the force below which a residual is round-off."""
        element = self.element
        state = element.initial_state(1)[0]
        verdict = self.evaluate(self.kinematics.reference, np.zeros(element.free), state, 1.0, tangent=True)
        if verdict.failed:
            raise SetupError(f"{verdict.failed} points of {element.body.source} fail before anything is loaded.")
        _, moduli = self.fields.arrays()
        for tag, cells in element.cells.items():
            if len(cells) and not np.abs(moduli[cells]).max() > 0.0:
                raise SetupError(
                    f"Phase '{tag}' has no stiffness: leave its cells out of the mesh (a void), or give it a soft law; "
                    "a contrast of 1e6 is fine."
                )
        self.stiffness.assemble()
        if zero := self.stiffness.factorise():
            raise SetupError(
                f"{element.body.source} can move without stress under {element.constraint!r} ({zero} zero pivots): a "
                "law has no stiffness against some strains, or the cells have too few points (leave quadrature_degree "
                "out)."
            )
        unit = np.linalg.norm(self.stiffness.unit_forces(), axis=0).max()
        return float(unit) * (1e-14 if self.kinematics.finite else 1e-16)


class _Step:
    """One volume element from ``state`` to ``strain``: Newton, and creeping up where it fails."""

    def __init__(self, engine: GeneralEngine, strain: Array, state: Array, dt: float):
        self.engine, self.strain, self.state, self.dt = engine, strain, state, dt
        layout = engine.state_layout
        self.w: Array = state[layout[FLUCTUATION]].copy()
        self.verdict = Verdict()
        self.iterations, self.residual, self.reason = 0, math.inf, ""
        self._factored = False
        self._rate: Array | None = None  # of the fluctuation with the strain, where it is known

    def run(self) -> CellReport:
        """Find equilibrium; the report says why if there is none."""
        engine, layout = self.engine, self.engine.state_layout
        before, w_before = self.state[layout[STRAIN]], self.w.copy()
        if not (np.isfinite(self.strain).all() and np.isfinite(self.state).all()):
            return CellReport(0, math.nan, math.nan, "the strain or the state is not finite")
        if not self._reach(before, self.strain, 0):
            return CellReport(self.iterations, self.residual, math.nan, self.reason)
        element, f = engine.element, engine.forces()
        self.stress = element.D.T @ f / element.volume
        change = self.strain - before
        work = float(f @ (element.D @ change + element.P @ (self.w - w_before))) / element.volume
        macro = float(self.stress @ change)
        scale = max(abs(work), float(np.linalg.norm(self.stress) * np.linalg.norm(change)))
        return CellReport(self.iterations, self.residual, abs(work - macro) / scale if scale > 0.0 else 0.0)

    def write(self, state: Array) -> None:
        """Write the new state into ``state[S]``."""
        engine = self.engine
        state[engine.state_layout[FLUCTUATION]] = self.w
        state[engine.state_layout[STRAIN]] = self.strain
        for tag, region in engine.regions.items():
            state[engine.state_layout[phase_variable(tag)]] = region.history.trial.reshape(-1)

    def tangent(self) -> Array:
        """Return the homogenised tangent ``[m, m]`` at the solution."""
        if not self._with_tangent:
            self._evaluate(self.strain, self.w, tangent=True)
        self.engine.stiffness.assemble()
        return self.engine.stiffness.tangent(usable=self._factored)

    def _reach(self, begin: Array, end: Array, cuts: int) -> bool:
        """Lead the fluctuation from equilibrium at ``begin`` to equilibrium at ``end``."""
        start, rate = self.w, self._rate
        if rate is not None:
            self.w = start + rate @ (end - begin)
        if self._newton(end):
            return True
        self.w = start
        if cuts == self.engine.max_cuts or np.array_equal(begin, end):
            return False
        middle = 0.5 * (begin + end)
        if not self._reach(begin, middle, cuts + 1):
            return False
        self._rate = self._fluctuation_rate()
        return self._reach(middle, end, cuts + 1)

    def _fluctuation_rate(self) -> Array | None:
        """Return how the fluctuation follows the strain at the equilibrium just found, ``[free, m]``."""
        if not self._factored:
            return None
        self.engine.stiffness.assemble()
        return self.engine.stiffness.fluctuation_rate()

    def _newton(self, strain: Array) -> bool:
        engine, P = self.engine, self.engine.element.P
        residual, force = self._try(strain, self.w, tangent=True)
        largest = force
        for iteration in range(engine.iterations + 1):
            if not np.isfinite(residual):
                self.reason = self.reason or "the residual is not finite"
                return False
            largest = max(largest, force)
            self.residual = residual / largest if largest > 0.0 else 0.0
            if residual <= max(engine.tolerance * largest, engine._floor):
                self.reason = ""
                return True
            if iteration == engine.iterations:
                break
            if not self._with_tangent:
                self._evaluate(strain, self.w, tangent=True)
            engine.stiffness.assemble()
            engine.stiffness.factorise()
            self._factored = True
            step = engine.stiffness.solve(P.T @ self._force)
            self.iterations += 1
            residual, force = self._search(strain, step, residual)
        self.reason = f"no equilibrium after {engine.iterations} iterations"
        return False

    def _search(self, strain: Array, step: Array, residual: float) -> tuple[float, float]:
        """Go along ``−step`` until the residual falls; return it and the norm of the nodal forces."""
        start, share = self.w, 1.0
        for trial in range(7):
            self.w = start - share * step
            new, force = self._try(strain, self.w, tangent=trial == 0)
            if new < residual:
                return new, force
            share *= 0.5
        # Nowhere down the line: take the whole step once more, a kink may lie between.
        self.w = start - step
        return self._try(strain, self.w, tangent=True)

    def _try(self, strain: Array, w: Array, *, tangent: bool) -> tuple[float, float]:
        """Evaluate at ``w``; return the norms of the residual and of the nodal forces, infinite where a law fails."""
        self._evaluate(strain, w, tangent=tangent)
        if self.verdict.failed:
            self.reason = f"the law fails at {self.verdict.failed} points"
            return math.inf, math.inf
        self._force = self.engine.forces().copy()
        residual = float(np.linalg.norm(self.engine.element.P.T @ self._force))
        return (residual if math.isfinite(residual) else math.inf), float(np.linalg.norm(self._force))

    def _evaluate(self, strain: Array, w: Array, *, tangent: bool) -> None:
        self.verdict = self.engine.evaluate(strain, w, self.state, self.dt, tangent=tangent)
        self._with_tangent = tangent

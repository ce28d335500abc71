"""One Newton solve by PETSc SNES, with the law evaluated inside its callbacks.

DOLFINx' ``NonlinearProblem`` owns forms, matrix and solver; its Jacobian callback is wrapped through SNES' own door,
its residual callback replaced by one that keeps the nodal forces. The law runs once a Newton iteration, with its
tangent; further trials of a line search ask for the stress alone. A point that failed anywhere makes the residual NaN
on every rank, so that SNES stops everywhere alike.
"""

from pointlaw.fem.mpi import MPI  # isort: skip

import itertools
import logging
import math
import weakref
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from petsc4py import PETSc

import numpy as np
import ufl
from dolfinx import fem
from dolfinx.fem.petsc import NonlinearProblem

from pointlaw.fem.jit import jit_options
from pointlaw.fem.region import Verdict
from pointlaw.tensors import Array

log = logging.getLogger(__name__)

_prefixes = itertools.count()


def weakly(method: Callable[..., Any]) -> Callable[..., Any]:
    """Return a bound method as a callback that does not keep its object alive.

    What PETSc holds is invisible to Python's garbage collector: an object that is held by its own solver stays for
    ever, and with it MPI communicators, of which there are about two thousand.
    """
    reference = weakref.WeakMethod(method)

    def call(*args: Any, **kwargs: Any) -> Any:
        bound = reference()
        if bound is None:
            raise ReferenceError("a solver outlived the object whose method it calls")
        return bound(*args, **kwargs)

    return call


_REASONS = {
    value: name
    for name, value in vars(PETSc.SNES.ConvergedReason).items()
    if isinstance(value, int) and not name.startswith("_")
}

EASY = 6  # iterations of an increment that needs no line search

SNES_DEFAULTS = {
    "snes_type": "newtonls",
    "snes_linesearch_type": "basic",
    "snes_linesearch_atol": 0.0,  # PETSc's own would end the search, and Newton with it, at a work of 1e-15 in any unit
    "snes_max_it": 20,
}

# An unknown is known to this part of itself. (Rigid shifts, which should leave no force, leave a fifth to a third of
# what it allows, in 2D and 3D, for all elements, degrees and slendernesses that were tried.)
ROUND_OFF = 1e-15


class _UnhurriedProblem(NonlinearProblem):
    """DOLFINx' problem without its destructor, which destroys PETSc objects the moment Python collects the problem.

    Destroying them takes all ranks together, but Python's collector of cycles (an exception keeps the frames it came
    through) runs at another moment on each rank: the job would hang. petsc4py sets aside what is collected, and the
    next problem on the communicator destroys what all ranks have set aside.
    """

    def __del__(self) -> None:
        """Leave everything to petsc4py."""


@dataclass
class NewtonReport:
    """How one Newton solve went: reason by PETSc's name, residual norms, number of evaluations, last verdict."""

    converged: bool
    reason: str
    iterations: int
    norms: list[float]
    linear_iterations: int
    evaluations: int
    verdict: Verdict

    def after(self, first: "NewtonReport") -> "NewtonReport":
        """Return this report with the cost of a first attempt added."""
        return replace(
            self,
            iterations=self.iterations + first.iterations,
            linear_iterations=self.linear_iterations + first.linear_iterations,
            evaluations=self.evaluations + first.evaluations,
        )


@dataclass
class Newton:
    """SNES on the residual ``F(u; v)`` whose law is evaluated by ``evaluate(tangent=...)``.

    Parameters
    ----------
    F, J
        Residual and Jacobian forms.
    u
        Unknown; holds the last iterate after :meth:`solve`.
    bcs
        Dirichlet conditions.
    evaluate
        Called with the iterate in ``u`` and its ghosts up to date; collective; returns the verdict of all ranks.
    options
        PETSc options of SNES and its linear solver.
    rtol
        Converged when the norm of the residual falls below ``rtol`` times the norm of the nodal forces.
    atol
        … or below this force; ``None`` takes what round-off leaves.
    grain
        Change ``[dofs]`` of each unknown that is a strain of about one: the size of a cell.
    """

    F: ufl.Form
    J: ufl.Form
    u: fem.Function
    bcs: Sequence[fem.DirichletBC]
    evaluate: Callable[..., Verdict]
    options: dict[str, Any]
    rtol: float
    atol: float | None = None
    grain: Array | float = 0.0
    near_nullspace: PETSc.NullSpace | None = None

    forces: PETSc.Vec = field(init=False)
    """Nodal forces (internal minus external) of the last evaluation, reactions included; unit of force."""
    imbalance: float = field(init=False)
    """Norm of the forces that this increment has to balance, prescribed displacements included; unit of force."""

    def __post_init__(self) -> None:
        PETSc.garbage_cleanup(self.u.function_space.mesh.comm)  # what earlier problems have left, on all ranks
        self._problem = _UnhurriedProblem(
            self.F,
            self.u,
            J=self.J,
            bcs=list(self.bcs),
            petsc_options_prefix=f"pointlaw_{next(_prefixes)}_",
            petsc_options=SNES_DEFAULTS | self.options,
            jit_options=jit_options(),
        )
        self.snes = self._problem.solver
        if self.near_nullspace is not None:
            self._problem.A.setNearNullSpace(self.near_nullspace)
        self.forces = self._problem.b.duplicate()
        self.snes.setFunction(weakly(self._residual), self._problem.b)
        _, _, (self._stock_jacobian, args, context) = self.snes.getJacobian()
        self._jacobian_context = (args or (), context or {})
        self.snes.setJacobian(weakly(self._jacobian), self._problem.A)
        self.snes.setConvergenceTest(weakly(self._test))
        self._form = self._problem.F
        self._mumps = self._watch_pivots()
        self._scale = 0.0
        self._searching = False
        self._noise, self._echo = self.forces.duplicate(), self.forces.duplicate()
        self._signs = np.random.default_rng(0).choice([-1.0, 1.0], self.forces.getLocalSize())
        self._has_matrix = False
        self.begin()

    def solve(self) -> NewtonReport:
        """Solve from the value of ``u``; on failure ``u`` holds the last iterate and nothing is raised.

        Full Newton steps come first, because they are quadratic where they converge, also through the rise of the
        residual that a stiff volume change brings. Where they do not converge (a plastic front, say) the same increment
        is tried again with a line search on the work of the residual, and the next ones begin with it, until an
        increment is easy. An exception of a law comes out as it is.
        """
        if "snes_linesearch_type" in self.options:
            return self._attempt()
        start = self.u.x.array.copy()
        report = self._attempt(search=self._searching)
        if not report.converged and not self._searching and not report.verdict.failed:
            self.u.x.array[:] = start
            log.debug("Full Newton steps ended with %s; trying again with a line search.", report.reason)
            report = self._attempt(search=True).after(report)
            self._searching = report.converged
        elif report.iterations <= EASY:
            self._searching = False
        return report

    def _attempt(self, *, search: bool | None = None) -> NewtonReport:
        if search is not None:
            self.snes.getLineSearch().setType("cp" if search else "basic")
        self.begin()
        try:
            self._problem.solve()
        except PETSc.Error as error:  # petsc4py wraps what a callback raised into "error code 101"
            if error.__cause__ is None:
                raise
            raise error.__cause__ from None
        reason = self.snes.getConvergedReason()
        zero_pivots = self._zero_pivots()
        name = _REASONS.get(reason, str(reason))
        if reason > 0 and zero_pivots:
            name = f"SINGULAR_MATRIX ({zero_pivots} zero pivots)"
        elif reason > 0 and not self._balanced:  # PETSc has further reasons to end happily: no progress, no work
            name = f"NO_EQUILIBRIUM ({name})"
        converged = reason > 0 and self._balanced and self._verdict.failed == 0 and zero_pivots == 0
        if converged:
            # The forces at the start of a step count too: balanced loads leave none at its end.
            self._scale = max(self._scale, self._first_force, self._force_norm)
        return NewtonReport(
            converged=converged,
            reason=name,
            iterations=self.snes.getIterationNumber(),
            norms=self._norms,
            linear_iterations=self.snes.getLinearSolveIterations(),
            evaluations=self._evaluations,
            verdict=self._verdict,
        )

    def refresh_forces(self) -> None:
        """Assemble the nodal forces of the stress that is in the coefficients now; collective."""
        self._evaluations = 0
        self._assemble_forces()

    def iterate(self, x: PETSc.Vec, b: PETSc.Vec) -> Verdict:
        """Evaluate the law at ``x`` with its tangent, assemble residual ``b`` and matrix; for continuation methods."""
        self._load(x)
        self._run_law(tangent=True)
        if not self._verdict.failed:
            self.assemble(x, b)
            self._jacobian(self.snes, x, self._problem.A, self._problem.A)
        return self._verdict

    def linear_solve(self, rhs: PETSc.Vec, solution: PETSc.Vec) -> bool:
        """Solve with the matrix of the last :meth:`iterate`; return whether the linear solver converged."""
        ksp = self.snes.getKSP()
        ksp.setOperators(self._problem.A)
        ksp.solve(rhs, solution)
        return bool(ksp.getConvergedReason() > 0)

    def tolerance(self) -> float:
        """Norm of the residual, unit of force, below which the last evaluation counts as equilibrium; collective."""
        relative = self.rtol * self._largest_force()
        if self.atol is not None or not self._has_matrix:
            return max(relative, self.atol or 0.0)
        # Where forces cancel (a rigid shift, balanced loads), the residual stays at what rounding the unknown causes.
        # At least half of the digits are left to the forces of the step: a displacement so large that its round-off
        # would hide them is that of a body that floats away, not an equilibrium.
        most = math.sqrt(self.rtol) * max(self._largest_force(), self.imbalance)
        return max(relative, min(self._forces_of_rounding(np.abs(self.u.x.array)), most))

    def _largest_force(self) -> float:
        # That of this step, or the largest of all steps (unloading ends near zero force).
        return max(self._scale, self._first_force, self._force_norm)

    def _is_noise(self, residual: float) -> bool:
        """Whether the residual has stopped falling at the round-off of the laws, who answer for 1 + ∇u at best."""
        stuck = len(self._norms) > 1 and residual > 0.1 * self._norms[-2]
        return stuck and self.atol is None and residual <= self._forces_of_rounding(self.grain)

    def _forces_of_rounding(self, size: Array | float) -> float:
        """Return the norm of the forces that random errors of ``size[dofs]`` · ``ROUND_OFF`` in the unknown cause."""
        owned = len(self._signs)
        self._noise.array_w[:] = ROUND_OFF * self._signs * np.broadcast_to(size, self.u.x.array.shape)[:owned]
        fem.petsc.set_bc(self._noise, self.bcs, alpha=0.0)
        self._problem.A.mult(self._noise, self._echo)
        norm: Any = self._echo.norm()
        return float(norm)

    def begin(self) -> None:
        """Forget the increment before."""
        self._norms: list[float] = []
        self._evaluations = 0
        self._verdict = Verdict()
        self._trials = 0  # residuals since the last Jacobian
        self._tangent_at: Array | None = None  # iterate whose tangent is in the coefficients
        self._first_force = 0.0
        self._force_norm = 0.0
        self._balanced = False  # whether the last test found equilibrium
        self._gap = 0.0  # norm of what the last iterate lacks of the prescribed displacements; unit of length
        self._boundary_moves = False  # whether that is more than the tolerance
        self.imbalance = 0.0

    def _residual(self, snes: PETSc.SNES, x: PETSc.Vec, b: PETSc.Vec) -> None:
        self._load(x)
        # A full step is nearly always kept, and then its tangent is needed; a search tries several points for one.
        searching = self.snes.getLineSearch().getType() not in ("basic", "bt")
        self._run_law(tangent=self._evaluations == 0 or (self._trials == 0 and not searching))
        self._trials += 1
        if self._verdict.failed:
            b.set(np.nan)
        else:
            self.assemble(x, b)

    def assemble(self, x: PETSc.Vec, b: PETSc.Vec) -> None:
        """Assemble the residual ``b`` at ``x`` from the stress that is in the coefficients, boundary values lifted."""
        self._assemble_forces()
        with b.localForm() as local:
            local.set(0.0)
        fem.petsc.set_bc(b, self.bcs, x0=x, alpha=-1.0)
        # Lifting packs the tangent of all cells; it has something to do at the first iterate of a step only.
        gap: Any = b.norm()
        size: Any = x.norm()
        self._gap, self._boundary_moves = gap, gap > self.rtol * size
        if gap > 1e-12 * size:
            fem.petsc.apply_lifting(b, [self._problem.J], bcs=[self.bcs], x0=[x], alpha=-1.0)
            b.ghostUpdate(PETSc.InsertMode.ADD, PETSc.ScatterMode.REVERSE)
        b.axpy(1.0, self.forces)
        fem.petsc.set_bc(b, self.bcs, x0=x, alpha=-1.0)

    def _jacobian(self, snes: PETSc.SNES, x: PETSc.Vec, A: PETSc.Mat, P: PETSc.Mat) -> None:
        self._load(x)
        here = self._tangent_at is not None and np.array_equal(self._tangent_at, self.u.x.array)
        if not self.u.function_space.mesh.comm.allreduce(here, op=MPI.LAND):
            self._run_law(tangent=True)
        self._trials = 0
        args, context = self._jacobian_context
        self._stock_jacobian(snes, x, A, P, *args, **context)
        self._has_matrix = True

    def _load(self, x: PETSc.Vec) -> None:
        owned = x.getLocalSize()
        self.u.x.array[:owned] = x.array_r
        self.u.x.scatter_forward()

    def _run_law(self, *, tangent: bool) -> None:
        self._verdict = self.evaluate(tangent=tangent)
        self._evaluations += 1
        self._tangent_at = self.u.x.array.copy() if tangent else None

    def _assemble_forces(self) -> None:
        with self.forces.localForm() as local:
            local.set(0.0)
        fem.petsc.assemble_vector(self.forces, self._form)
        self.forces.ghostUpdate(PETSc.InsertMode.ADD, PETSc.ScatterMode.REVERSE)
        norm: Any = self.forces.norm()
        self._force_norm = float(norm)
        if self._evaluations == 1:
            self._first_force = self._force_norm

    def _test(self, snes: PETSc.SNES, iteration: int, norms: tuple[float, float, float]) -> int:
        reason = PETSc.SNES.ConvergedReason
        residual = norms[2]
        self._norms.append(residual)
        if not np.isfinite(residual):
            return reason.DIVERGED_FUNCTION_NANORINF
        if iteration == 0:
            self.imbalance = math.sqrt(max(residual**2 - self._gap**2, 0.0))
        # A gap at the boundary is a length among the forces of the residual: whatever its number, it has to be closed.
        waits = iteration == 0 and self._boundary_moves
        self._balanced = not waits and (residual <= self.tolerance() or self._is_noise(residual))
        if not self._balanced:
            return reason.ITERATING
        relative = residual <= self.rtol * self._largest_force()
        return reason.CONVERGED_FNORM_RELATIVE if relative else reason.CONVERGED_FNORM_ABS

    def _watch_pivots(self) -> bool:
        """Ask MUMPS to report zero pivots instead of dividing by them; return whether MUMPS is in use."""
        pc = self.snes.getKSP().getPC()
        if pc.getType() not in ("lu", "cholesky") or pc.getFactorSolverType() != "mumps":
            return False
        pc.setOperators(self._problem.A)
        pc.setFactorSetUpSolverType()
        pc.getFactorMatrix().setMumpsIcntl(24, 1)
        return True

    def _zero_pivots(self) -> int:
        if not self._mumps or self.snes.getIterationNumber() == 0:
            return 0
        return int(self.snes.getKSP().getPC().getFactorMatrix().getMumpsInfog(28))

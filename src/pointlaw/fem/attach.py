"""Regions inside a user's own DOLFINx problem: the law runs before every residual.

The residual callback of the problem's SNES is wrapped through SNES' own doors; form, solver and time loop stay the
user's.
"""

from pointlaw.fem.mpi import MPI  # isort: skip  # noqa: F401 - MPI first

from collections.abc import Callable

from petsc4py import PETSc

import numpy as np
from dolfinx import fem
from dolfinx.fem.petsc import NonlinearProblem

from pointlaw.fem.region import Region, Verdict


def attach(problem: NonlinearProblem, *regions: Region, dt: float | Callable[[], float] = 1.0) -> None:
    """Let ``problem`` evaluate ``regions`` before each of its residuals; collective.

    Parameters
    ----------
    problem
        A DOLFINx problem whose form contains the coefficients of the regions.
    regions
        Their strain depends on the unknown of the problem.
    dt
        Step length, or a function that returns it; unit of time.

    Notes
    -----
    A point that fails makes the residual NaN on all ranks, so that ``problem.solver.getConvergedReason()`` is negative.
    After a solve that converged call ``commit`` of each region, after another one ``rollback``.
    """
    vector, (assemble, args, kwargs) = problem.solver.getFunction()
    comm = regions[0].u.function_space.mesh.comm
    u = problem.u  # the callback must not hold the problem, whose solver holds the callback: neither would ever go

    def residual(snes: PETSc.SNES, x: PETSc.Vec, b: PETSc.Vec) -> None:
        x.ghostUpdate(PETSc.InsertMode.INSERT, PETSc.ScatterMode.FORWARD)
        fem.petsc.assign(x, u)
        step = dt() if callable(dt) else dt
        verdicts = [region.evaluate_local(step) for region in regions]
        if sum(verdicts, Verdict()).reduce(comm).failed:
            b.set(np.nan)
        else:
            assemble(snes, x, b, *(args or ()), **(kwargs or {}))

    problem.solver.setFunction(residual, vector)

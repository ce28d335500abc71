"""Linear solvers, chosen by size and symmetry, as PETSc options that a user can override one by one."""

from collections.abc import Mapping
from typing import Any

from pointlaw.errors import InputError

# Above these numbers of unknowns the fill of a direct factorisation costs more than multigrid (measured, 1 to 2 cores).
DIRECT_LIMIT = {1: 10_000_000, 2: 150_000, 3: 30_000}

DIRECT = {
    "ksp_type": "preonly",
    "pc_type": "lu",
    "pc_factor_mat_solver_type": "mumps",
}

MULTIGRID = {
    "ksp_rtol": 1e-8,
    "ksp_max_it": 500,
    "pc_type": "gamg",
    "pc_gamg_threshold": 0.01,
    "mg_levels_ksp_type": "chebyshev",
    "mg_levels_pc_type": "jacobi",
}


def linear_options(
    unknowns: int, dim: int, symmetric: bool, solver: str = "auto", overrides: Mapping[str, Any] | None = None
) -> dict[str, Any]:
    """Return PETSc options of the linear solver, with the user's ``overrides``.

    ``solver`` is ``"direct"`` (MUMPS), ``"iterative"`` (CG, or GMRES for unsymmetric tangents, with GAMG), or
    ``"auto"``, which takes the direct one up to ``DIRECT_LIMIT`` unknowns. Who overrides the preconditioner gets none
    of the defaults that were meant for ours. Raises ``InputError`` for another word.
    """
    if solver not in ("auto", "direct", "iterative"):
        raise InputError(f"solver = {solver!r} must be 'auto', 'direct' or 'iterative'.")
    if solver == "direct" or (solver == "auto" and unknowns <= DIRECT_LIMIT[dim]):
        defaults: dict[str, Any] = dict(DIRECT)
    else:
        krylov = {"ksp_type": "cg"} if symmetric else {"ksp_type": "gmres", "ksp_gmres_restart": 100}
        defaults = krylov | MULTIGRID
    overrides = dict(overrides or {})
    if overrides.get("pc_type", defaults["pc_type"]) != defaults["pc_type"]:
        defaults = {}
    return defaults | overrides

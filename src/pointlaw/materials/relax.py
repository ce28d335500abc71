"""Find the strain of some components so that their stress takes given values: Newton with a mask a row.

Plane stress is this with zero stress; a tensile test at the material point is this with a given one. Every row has its
own iteration, its own halved step where the stress did not come closer, and its own verdict.
"""

import math
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from pointlaw.materials.base import Material, PointStatus, Response, finite_rows
from pointlaw.materials.rows import row_norm, solve_rows
from pointlaw.tensors import Array

SMALLEST_STRAIN = 1e-6  # below it the stress tolerance no longer shrinks with the strain
SINGULAR = 1e-12  # a direction whose stiffness is below this share of the largest has none
RUNAWAY = 1e3  # times the first strain, or as a strain: no solution is looked for beyond
_FAILED = np.int8(PointStatus.FAILED)


def relax(
    law: Material,
    strain: Array,
    state: Array,
    dt: float,
    free: Sequence[int] | NDArray[np.intp],
    target: Array,
    *,
    tolerance: float = 1e-12,
    iterations: int = 40,
) -> tuple[Array, Response]:
    """Change the ``free`` components of the strain until their stress is ``target``.

    Parameters
    ----------
    law : Material
        Any law; it is asked for unfinished rows only.
    strain : [p, m]
        First guess in the free components, given in the others; not changed.
    state, dt
        As in :meth:`Material.update`.
    free : sequence of f ints
        Positions whose strain is sought.
    target : [p, f]
        Their stress, unit of stress.
    tolerance : float
        A row is finished when the stress misses by at most ``tolerance`` times (stiffness times first strain plus
        target).
    iterations : int
        Largest number of evaluations of the law.

    Returns
    -------
    strain : [p, m]
        The strain found.
    response : Response
        The law's answer to it, with tangent; rows that did not get there are ``FAILED``. Its ``dt_factor`` is what the
        law wants where it is answered: strains that were tried on the way count for rows that failed only.
    """
    columns = np.asarray(free, dtype=int)
    here = _as_slice(columns)
    strain = strain.copy()
    part = law.update(strain, state, dt, tangent=True)
    stress, moduli, new_state = part.stress.copy(), tangent_of(part, law).copy(), part.state.copy()
    status, factor, asked = np.full(len(strain), _FAILED), math.inf, np.full(len(strain), math.inf)
    base, step = strain[:, columns].copy(), np.zeros((len(strain), len(columns)))
    lowest, share = np.full(len(strain), np.inf), np.ones(len(strain))
    # Of the first guess, not of the strain as it goes: one that runs away would forgive itself any stress.
    stiffness = np.abs(moduli[:, here][..., here]).max(axis=(1, 2), initial=0.0)
    limit = tolerance * (stiffness * np.maximum(row_norm(strain), SMALLEST_STRAIN) + row_norm(target))
    reach = RUNAWAY * np.maximum(row_norm(strain), 1.0)
    rows: NDArray[np.intp] = np.arange(len(strain))
    for _ in range(iterations):
        block = tangent_of(part, law)[:, here][..., here]
        length = row_norm(strain[rows])
        miss = part.stress[:, here] - target[rows]
        size, usable = row_norm(miss), (np.asarray(part.status) != _FAILED) & (length <= reach[rows])
        done = usable & (size <= limit[rows])
        if done.any():
            finished = rows[done]
            status[finished] = np.asarray(part.status)[done]
            stress[finished], new_state[finished] = part.stress[done], part.state[done]
            moduli[finished] = tangent_of(part, law)[done]
            factor = min(factor, _factor_of(law, strain[finished], state[finished], dt, part))
        asked[rows[~usable]] = np.minimum(asked[rows[~usable]], part.dt_factor)
        better = usable & ~done & (size < lowest[rows])
        near = rows[better]
        base[near], lowest[near], share[near] = strain[near[:, None], columns], size[better], 1.0
        step[near] = _newton_step(block[better], miss[better])
        worse = ~better & ~done & np.isfinite(lowest[rows])
        share[rows[worse]] *= 0.5
        rows = rows[better | worse]  # a row that was unusable at its first guess has nowhere to go back to
        if len(rows) == 0:
            break
        strain[rows[:, None], columns] = base[rows] + share[rows, None] * step[rows]
        part = law.update(strain[rows], state[rows], dt, tangent=True)
    factor = min(factor, asked[status == _FAILED].min(initial=math.inf))
    return strain, Response(stress=stress, tangent=moduli, state=new_state, status=status, dt_factor=factor)


def _newton_step(block: Array, miss: Array) -> Array:
    """Return ``−block⁻¹ miss`` ``[p, f]``, and where a block is singular the shortest step that comes closest.

    A guess may lie where the law has no stiffness in some direction, as on the apex of a cone; the solution need not.
    """
    step = -solve_rows(block, miss)
    for row in np.flatnonzero(~finite_rows(step) & finite_rows(block)):
        step[row] = -np.linalg.lstsq(block[row], miss[row], rcond=SINGULAR)[0]
    return step


def _factor_of(law: Material, strain: Array, state: Array, dt: float, part: Response) -> float:
    """Return what the law wants of the step at finished rows, ``part`` being its answer to these and maybe others."""
    if part.dt_factor == math.inf or len(strain) == len(part.stress):
        return part.dt_factor
    return law.update(strain, state, dt, tangent=False).dt_factor  # the factor is the batch's


def tangent_of(response: Response, law: Material) -> Array:
    """Return the tangent of an answer that was asked for one; ``TypeError`` names the law that gave none."""
    if response.tangent is None:
        raise TypeError(f"{type(law).__name__}.update gave no tangent though it was asked for one.")
    return response.tangent


def _as_slice(columns: NDArray[np.intp]) -> slice | NDArray[np.intp]:
    """Return neighbouring ``columns`` as a slice, which NumPy reads without a copy."""
    if len(columns) and np.array_equal(columns, np.arange(columns[0], columns[0] + len(columns))):
        return slice(int(columns[0]), int(columns[0]) + len(columns))
    return columns

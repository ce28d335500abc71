"""A law that takes a step in several smaller ones at the points where one is too much for it.

Only the points that fail are bisected; the others keep their one step. The tangent of a bisected point is the
derivative of the whole chain of substeps. It needs how the state of a substep follows the strain, which the contract
of a law does not include: a law that knows it says so by :meth:`Differentiable.derivatives`, and the chain rule is then
exact; for any other law the chain is differenced centrally, at the failing points only.
"""

import math
from typing import Protocol, runtime_checkable

import numpy as np
from numpy.typing import NDArray

from pointlaw.errors import InputError
from pointlaw.materials import checks
from pointlaw.materials.base import Material, PointStatus, Response, StatusArray, extended
from pointlaw.materials.rows import row_norm
from pointlaw.tensors import Array

DIFFERENCE = 1e-5  # step of the central differences, relative to the strain increment of the point
SMALLEST_DIFFERENCE = 1e-10


@runtime_checkable
class Differentiable(Protocol):
    """A law that also gives the derivatives of its state."""

    def derivatives(self, strain: Array, state: Array, dt: float) -> tuple[Array, Array, Array, Array]:
        """Return ∂σ/∂ε [p, m, m], ∂σ/∂s [p, m, s], ∂s′/∂ε [p, s, m] and ∂s′/∂s [p, s, s] of one step."""


class Substepped(Material):
    """A law whose failing points are bisected: 2, 4, 8 … equal parts of strain and time, until the law accepts them.

    Parameters
    ----------
    law : Material
        The law that may fail; it is fine if it never does.
    halvings : int
        At most ``2**halvings`` substeps; a point that still fails answers ``FAILED``.

    Notes
    -----
    State: ``strain`` (m, at the beginning of the step; ``outer_strain`` if the law has a ``strain`` itself), then the
    state of the law. Strain goes along a straight line;
    at finite strain a line of deformation gradients. The tangent of bisected points is not symmetric in general.
    Pérez-Foguet, Rodríguez-Ferran & Huerta 2001, Comput. Methods Appl. Mech. Eng. 190, 4627 (tangent of substeps).
    """

    def __init__(self, law: Material, *, halvings: int = 6):
        if not 1 <= halvings <= 20:
            raise InputError(f"Substepped: halvings = {halvings} must lie between 1 and 20.")
        checks.not_collective("Substepped", law)
        self.law, self.halvings, self.kinematics = law, halvings, law.kinematics
        self.state_layout = extended({"strain": law.kinematics.size}, law.state_layout)

    def initial_state(self, points: int) -> Array:
        """Return the undeformed strain and the initial state of the law."""
        reference = np.tile(self.kinematics.reference, (points, 1))
        return np.concatenate([reference, self.law.initial_state(points)], axis=1)

    def reason(self, state: Array, status: StatusArray) -> str:
        """Return what the law says; see :meth:`Material.reason`."""
        return self.law.reason(state[:, self.kinematics.size :], status)

    def update(self, strain: Array, state: Array, dt: float, *, tangent: bool = True) -> Response:
        """Answer in one step where the law can, in more where it must; see :meth:`Material.update`."""
        with np.errstate(over="ignore", invalid="ignore"):  # absurd input fails, it does not warn
            return self._answer(strain, state, dt, tangent)

    def _answer(self, strain: Array, state: Array, dt: float, tangent: bool) -> Response:
        m = strain.shape[1]
        start, inner = state[:, :m], state[:, m:]
        answer = self.law.update(strain, inner, dt, tangent=tangent)
        stress, new_state = answer.stress.copy(), np.concatenate([strain, answer.state], axis=1)
        moduli = None if answer.tangent is None else answer.tangent.copy()
        status = _status(answer).copy()
        rows = np.flatnonzero(status == PointStatus.FAILED)
        # What the law wants of the step where some points failed concerns those; it is asked again below.
        factor = answer.dt_factor if len(rows) == 0 else math.inf
        for level in range(1, self.halvings + 1):
            if len(rows) == 0:
                break
            part = self._chain(start[rows], strain[rows], inner[rows], dt, 2**level, tangent)
            good = _status(part) != PointStatus.FAILED
            done = rows[good]
            stress[done], new_state[done, m:], status[done] = part.stress[good], part.state[good], _status(part)[good]
            if moduli is not None and part.tangent is not None:
                moduli[done] = part.tangent[good]
            factor = min(factor, part.dt_factor)
            rows = rows[~good]
        if len(rows):
            factor = min(factor, answer.dt_factor)
            stress[rows] = np.nan
        return Response(stress, moduli, new_state, status, factor)

    def _chain(self, start: Array, end: Array, state: Array, dt: float, parts: int, tangent: bool) -> Response:
        """Answer for all rows in ``parts`` equal substeps."""
        if not tangent:
            return self._walk(start, end, state, dt, parts)
        if isinstance(self.law, Differentiable):
            return self._walk_with_derivatives(self.law, start, end, state, dt, parts)
        rows, m = end.shape
        h = np.maximum(DIFFERENCE * row_norm(end - start), SMALLEST_DIFFERENCE)
        shift = np.concatenate([np.zeros((1, m)), np.eye(m), -np.eye(m)])  # one unperturbed chain, then 2 m others
        ends = (end[:, None] + h[:, None, None] * shift).reshape(-1, m)
        many = self._walk(np.repeat(start, len(shift), axis=0), ends, np.repeat(state, len(shift), axis=0), dt, parts)
        stress = many.stress.reshape(rows, len(shift), m)
        matrix = (stress[:, 1 : m + 1] - stress[:, m + 1 :]).swapaxes(1, 2) / (2.0 * h)[:, None, None]
        given = _status(many).reshape(rows, len(shift))
        return Response(
            stress[:, 0], matrix, many.state.reshape(rows, len(shift), -1)[:, 0], given.min(axis=1), many.dt_factor
        )

    def _walk(self, start: Array, end: Array, state: Array, dt: float, parts: int) -> Response:
        """Answer for all rows in ``parts`` equal substeps, without tangent; a row that fails goes no further."""
        stress, new_state = np.full_like(end, np.nan), state.copy()
        status = np.full(len(end), np.int8(PointStatus.FINE))
        rows: NDArray[np.intp] = np.arange(len(end))
        factor = math.inf
        for i in range(1, parts + 1):
            target = start[rows] + (i / parts) * (end[rows] - start[rows]) if i < parts else end[rows]
            answer = self.law.update(target, new_state[rows], dt / parts, tangent=False)
            status[rows] = np.minimum(status[rows], _status(answer))
            good = _status(answer) != PointStatus.FAILED
            if good.all():
                factor = min(factor, answer.dt_factor)
            stress[rows] = answer.stress
            new_state[rows[good]] = answer.state[good]
            rows = rows[good]
        return Response(stress, None, new_state, status, factor)

    def _walk_with_derivatives(
        self, law: Differentiable, start: Array, end: Array, state: Array, dt: float, parts: int
    ) -> Response:
        """Answer in ``parts`` substeps with the chain rule: ds_i/dε = ∂s′/∂ε·(i/parts) + ∂s′/∂s·ds_(i−1)/dε."""
        by_strain = np.zeros((*state.shape, end.shape[1]))
        walked = self._walk(start, end, state, dt, parts)
        matrix = np.full((len(end), end.shape[1], end.shape[1]), np.nan)
        good = np.flatnonzero(_status(walked) != PointStatus.FAILED)
        start, end, now, by_strain = start[good], end[good], state[good], by_strain[good]
        for i in range(1, parts + 1 if len(good) else 1):
            target = start + (i / parts) * (end - start) if i < parts else end
            stress_e, stress_s, state_e, state_s = law.derivatives(target, now, dt / parts)
            if i == parts:
                matrix[good] = stress_e + stress_s @ by_strain
            else:
                by_strain = state_e * (i / parts) + state_s @ by_strain
                now = self.law.update(target, now, dt / parts, tangent=False).state
        return Response(walked.stress, matrix, walked.state, walked.status, walked.dt_factor)


def _status(answer: Response) -> StatusArray:
    """Return the status of an answer, which every ``Response`` has by the time it is handed out."""
    return np.asarray(answer.status, dtype=np.int8)

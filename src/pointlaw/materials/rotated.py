"""A law whose axes are turned against the axes of the body, as a whole or differently at every point."""

import numpy as np
from numpy.typing import ArrayLike

from pointlaw.errors import InputError
from pointlaw.materials import checks
from pointlaw.materials.base import Material, Response, StatusArray, extended
from pointlaw.materials.blocks import BlockedMaterial
from pointlaw.materials.fields import spread
from pointlaw.tensors import (
    AXISYMMETRIC,
    FINITE_PLANE_STRAIN,
    FINITE_STRAIN_3D,
    PLANE_STRAIN,
    PLANE_STRESS,
    SMALL_STRAIN_3D,
    Array,
    Kinematics,
)
from pointlaw.tensors import rotation as mandel_rotation

_SOLID = (SMALL_STRAIN_3D, FINITE_STRAIN_3D)
_PLANE = (AXISYMMETRIC, PLANE_STRAIN, PLANE_STRESS, FINITE_PLANE_STRAIN)
_PLANE_OF_SIX = {3: [0, 1, 5], 4: [0, 1, 2, 5]}


class Rotated(BlockedMaterial):
    """A law seen from axes in which its own axes are turned by ``R``.

    A vector ``a`` of the law's axes is ``R·a`` in the body: strain is turned back, the law answers in its own axes, and
    stress and tangent are turned forth. At finite strain ``F`` becomes ``Rᵀ·F·R``.

    Parameters
    ----------
    law : Material
        Three-dimensional, or plane when ``R`` turns about the third axis.
    rotation : [3, 3] or [n, 3, 3]
        One rotation for all points, or one for each point or each cell as in :func:`~pointlaw.materials.fields.spread`;
        the latter are kept in the state under ``orientation`` (9, R row by row).

    Raises
    ------
    InputError
        If a matrix is not a rotation, or turns a plane law out of its plane.

    Notes
    -----
    State variables that are tensors, such as a plastic strain, stay in the axes of the law.
    """

    def __init__(self, law: Material, rotation: ArrayLike):
        checks.not_collective("Rotated", law)
        R = checks.array("Rotated", "rotation", rotation)
        if R.ndim not in (2, 3) or R.shape[-2:] != (3, 3):
            raise InputError(f"Rotated: a rotation has shape [3, 3] or [n, 3, 3]; got {R.shape}.")
        try:
            mandel_rotation(R)
        except ValueError as reason:
            raise InputError(f"Rotated: {reason}") from None
        if law.kinematics not in _SOLID + _PLANE:
            raise InputError(
                f"Rotated: {law.kinematics} has no axes that turn as a whole; turn the law inside {type(law).__name__}."
            )
        if law.kinematics in _PLANE and np.abs(R[..., 2, 2] - 1.0).max(initial=0.0) > 1e-8:
            raise InputError(
                f"Rotated: {law.kinematics} allows rotations about the third axis only; turn the three-dimensional law "
                "inside the reduction instead."
            )
        self.law = law
        self.kinematics, self.symmetric = law.kinematics, law.symmetric
        self.rotation = R
        self._fixed = rotation_of_strain(R, law.kinematics) if R.ndim == 2 else None
        self._own = 0 if R.ndim == 2 else 9
        self.state_layout = extended({"orientation": 9} if self._own else {}, law.state_layout)

    def initial_state(self, points: int) -> Array:
        """Return the initial state of the law, after the orientation of every point where they differ."""
        inner = self.law.initial_state(points)
        if not self._own:
            return inner
        return np.concatenate([spread("Rotated", self.rotation.reshape(-1, 9), points), inner], axis=1)

    def reason(self, state: Array, status: StatusArray) -> str:
        """Return what the law says; see :meth:`Material.reason`."""
        return self.law.reason(state[:, self._own :], status)

    def update_block(self, strain: Array, state: Array, dt: float, out: Response) -> StatusArray | None:
        """Write one block; see :meth:`BlockedMaterial.update_block`."""
        if self._fixed is not None:
            Q, own = self._fixed, strain @ self._fixed
        else:
            Q = rotation_of_strain(state[:, :9].reshape(-1, 3, 3), self.kinematics)
            own = np.matmul(strain[:, None], Q)[:, 0]
        answer = self.law.update(own, state[:, self._own :], dt, tangent=out.tangent is not None)
        if Q.ndim == 2:
            np.matmul(answer.stress, Q.T, out=out.stress)
        else:
            out.stress[...] = np.matmul(Q, answer.stress[:, :, None])[:, :, 0]
        out.state[:, : self._own] = state[:, : self._own]
        out.state[:, self._own :] = answer.state
        if out.tangent is not None and answer.tangent is not None:
            out.tangent[...] = Q @ answer.tangent @ np.swapaxes(Q, -1, -2)
        out.dt_factor = answer.dt_factor
        return answer.status


def rotation_of_strain(R: Array, kinematics: Kinematics) -> Array:
    """Return the orthogonal ``Q[..., m, m]`` that turns strain and stress of these kinematics as ``R·A·Rᵀ``."""
    if kinematics.finite:
        small = R if kinematics.size == 9 else R[..., :2, :2]
        d = small.shape[-1]
        product = small[..., :, None, :, None] * small[..., None, :, None, :]
        return product.reshape(*R.shape[:-2], d * d, d * d)
    Q = mandel_rotation(R)
    if kinematics.size == 6:
        return Q
    part = np.array(_PLANE_OF_SIX[kinematics.size])
    return Q[..., part[:, None], part]

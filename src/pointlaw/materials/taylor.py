"""A polycrystal after Taylor: many oriented crystals that share one strain and answer with their mean."""

import numpy as np
from numpy.typing import ArrayLike

from pointlaw.errors import InputError
from pointlaw.materials import checks
from pointlaw.materials.base import Material, PointStatus, Response, StateLayout, StatusArray
from pointlaw.materials.blocks import BlockedMaterial
from pointlaw.materials.rotated import Rotated, rotation_of_strain
from pointlaw.tensors import FINITE_STRAIN_3D, SMALL_STRAIN_3D, Array


class TaylorPolycrystal(BlockedMaterial):
    """``N`` orientations of one law under the same strain (at finite strain: the same F); stress and tangent are means.

    Taylor 1938, J. Inst. Metals 62, 307; it is the upper bound among homogenisations. With 100 or more crystals it
    serves as the teacher of learned laws for textured metals.

    Parameters
    ----------
    law : Material
        The crystal in its own axes, three-dimensional.
    rotations : [N, 3, 3]
        Crystal-to-sample rotations, see :func:`~pointlaw.materials.orientations.random_rotations`.
    weights : [N], optional
        Volume fractions; equal by default, normalised here.

    Notes
    -----
    State: ``grains`` (N·s), the states of the crystals one after another; :meth:`grain_states` unpacks them.
    """

    def __init__(self, law: Material, rotations: ArrayLike, *, weights: ArrayLike | None = None):
        checks.not_collective("TaylorPolycrystal", law)
        R = checks.array("TaylorPolycrystal", "rotations", rotations)
        if R.ndim != 3 or len(R) == 0:
            raise InputError(f"TaylorPolycrystal: rotations have shape [N, 3, 3] with N ≥ 1; got {R.shape}.")
        if law.kinematics not in (SMALL_STRAIN_3D, FINITE_STRAIN_3D):
            raise InputError(f"TaylorPolycrystal: the crystal must be three-dimensional; got {law.kinematics}.")
        Rotated(law, R)  # says which matrix is not a rotation
        volume = np.ones(len(R)) if weights is None else checks.array("TaylorPolycrystal", "weights", weights)
        checks.same_length("TaylorPolycrystal", rotations=R.tolist(), weights=volume.tolist())
        checks.positive("TaylorPolycrystal", **{f"weights[{i}]": float(value) for i, value in enumerate(volume)})
        self.law, self.kinematics, self.symmetric = law, law.kinematics, law.symmetric
        self.weights = volume / volume.sum()
        self.state_layout = StateLayout(grains=len(R) * law.state_layout.size)
        self.rotations = R
        self._Q = rotation_of_strain(R, law.kinematics)
        self.block = max(1, 1024 // len(R))

    def grain_states(self, state: Array) -> Array:
        """Return the states of the crystals, a view ``[p, N, s]`` of ``state[p, N·s]``."""
        return state.reshape(len(state), len(self.weights), -1)

    def initial_state(self, points: int) -> Array:
        """Return the initial states of all crystals, ``[points, N·s]``."""
        return self.law.initial_state(points * len(self.weights)).reshape(points, self.state_layout.size)

    def update_block(self, strain: Array, state: Array, dt: float, out: Response) -> StatusArray | None:
        """Write one block: every crystal of every point is a row for the law inside."""
        points, m = strain.shape
        grains = len(self.weights)
        own = np.matmul(strain[:, None, None], self._Q).reshape(points * grains, m)
        answer = self.law.update(own, state.reshape(points * grains, -1), dt, tangent=out.tangent is not None)
        turned = np.matmul(self._Q, answer.stress.reshape(points, grains, m, 1))[..., 0]
        out.stress[...] = np.matmul(self.weights, turned)
        out.state[...] = answer.state.reshape(points, -1)
        if out.tangent is not None and answer.tangent is not None:
            moduli = answer.tangent.reshape(points, grains, m, m)
            weighted = self.weights[:, None, None] * self._Q
            out.tangent[...] = (weighted @ moduli @ self._Q.swapaxes(1, 2)).sum(axis=1)
        out.dt_factor = answer.dt_factor
        if answer.status is None:
            return None
        return answer.status.reshape(points, grains).min(axis=1, initial=PointStatus.FINE)

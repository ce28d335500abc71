"""Plane strain of a finite-strain law: the out-of-plane stretch stays one."""

import numpy as np

from pointlaw.errors import InputError
from pointlaw.materials import checks
from pointlaw.materials.base import Material, Response, StatusArray
from pointlaw.tensors import FINITE_PLANE_STRAIN, FINITE_STRAIN_3D, Array

IN_PLANE = np.array([0, 1, 3, 4])  # 11, 12, 21, 22 among the nine


class FinitePlaneStrain(Material):
    """A law ``F → P`` in 3D, used with ``F33 = 1`` and no shear out of the plane; ``m = 4``.

    Parameters
    ----------
    law : Material
        Its kinematics must be ``finite_strain_3d``. The state is that of the law.
    """

    kinematics = FINITE_PLANE_STRAIN

    def __init__(self, law: Material):
        checks.not_collective("FinitePlaneStrain", law)
        if law.kinematics != FINITE_STRAIN_3D:
            raise InputError(f"FinitePlaneStrain wraps a law of kinematics finite_strain_3d; got {law.kinematics}.")
        self.law = law
        self.state_layout = law.state_layout
        self.symmetric = law.symmetric

    def initial_state(self, points: int) -> Array:
        """Return the initial state of the wrapped law, ``[points, s]``."""
        return self.law.initial_state(points)

    def reason(self, state: Array, status: StatusArray) -> str:
        """Return what the law says; see :meth:`Material.reason`."""
        return self.law.reason(state, status)

    def update(self, strain: Array, state: Array, dt: float, *, tangent: bool = True) -> Response:
        """Answer for rows F11, F12, F21, F22; see :meth:`Material.update`."""
        full = np.zeros((len(strain), 9))
        full[:, IN_PLANE] = strain
        full[:, 8] = 1.0
        answer = self.law.update(full, state, dt, tangent=tangent)
        moduli = answer.tangent
        return Response(
            stress=np.ascontiguousarray(answer.stress[:, IN_PLANE]),
            tangent=None if moduli is None else np.ascontiguousarray(moduli[:, IN_PLANE[:, None], IN_PLANE]),
            state=answer.state,
            status=answer.status,
            dt_factor=answer.dt_factor,
        )

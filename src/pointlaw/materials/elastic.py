"""Isotropic linear elasticity: the law without memory, and the elastic part of the others."""

import numpy as np

from pointlaw.materials import checks
from pointlaw.materials.base import Material, Response
from pointlaw.tensors import DEVIATORIC, SMALL_STRAIN_3D, VOLUMETRIC, Array


def isotropic_stiffness(E: float, nu: float) -> Array:
    """Return the stiffness ``[6, 6]`` in Mandel order, unit of ``E``: 3K P_vol + 2G P_dev."""
    return E / (1.0 - 2.0 * nu) * VOLUMETRIC + E / (1.0 + nu) * DEVIATORIC


class LinearElastic(Material):
    """Hooke's law σ = C ε for an isotropic solid.

    Parameters
    ----------
    E : float
        Young's modulus, unit of stress.
    nu : float
        Poisson's ratio, −1 < ν < 0.5.
    """

    kinematics = SMALL_STRAIN_3D
    symmetric = True

    def __init__(self, E: float, nu: float):
        checks.positive("LinearElastic", E=E)
        checks.poisson_ratio("LinearElastic", nu)
        self.E, self.nu = E, nu
        self.stiffness = isotropic_stiffness(E, nu)

    def update(self, strain: Array, state: Array, dt: float, *, tangent: bool = True) -> Response:
        """Answer σ = C ε; see :meth:`Material.update`."""
        with np.errstate(over="ignore", invalid="ignore"):  # absurd strain gives a row that is not finite: FAILED
            stress = strain @ self.stiffness
        return Response(
            stress=stress,
            tangent=np.tile(self.stiffness, (len(strain), 1, 1)) if tangent else None,
            state=state.copy(),
        )

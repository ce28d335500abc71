"""Linear laws that are nothing but a constant stiffness: the core of the anisotropic elastic laws."""

import numpy as np

from pointlaw.errors import InputError
from pointlaw.materials.base import Response, StatusArray
from pointlaw.materials.blocks import BlockedMaterial
from pointlaw.tensors import SMALL_STRAIN_3D, Array


class ConstantStiffness(BlockedMaterial):
    """Core of ``σ = C ε`` with a symmetric positive definite ``C``.

    Raises ``InputError`` when ``compliance`` is not positive definite: the solid would give energy away.
    """

    kinematics = SMALL_STRAIN_3D
    symmetric = True

    def __init__(self, compliance: Array):
        lowest = float(np.linalg.eigvalsh(compliance)[0]) if np.all(np.isfinite(compliance)) else -np.inf
        if not lowest > 0.0:
            raise InputError(
                f"{type(self).__name__}: the compliance is not positive definite (lowest eigenvalue {lowest:.3g} "
                "per unit of stress); make Poisson's ratios smaller."
            )
        stiffness = np.linalg.inv(compliance)
        self.stiffness = 0.5 * (stiffness + stiffness.T)

    def update_block(self, strain: Array, state: Array, dt: float, out: Response) -> StatusArray | None:
        """Write σ = C ε; see :meth:`BlockedMaterial.update_block`."""
        np.matmul(strain, self.stiffness, out=out.stress)
        out.state[...] = state
        if out.tangent is not None:
            out.tangent[...] = self.stiffness
        return None


def orthotropic_compliance(E: Array, nu: Array, G: Array) -> Array:
    """Return the compliance ``[6, 6]`` in Mandel order from E1…E3, (ν12, ν13, ν23) and (G12, G13, G23).

    ``ν_ij`` is the contraction along j under tension along i: ``ε_j = −ν_ij σ_i/E_i``.
    """
    compliance = np.zeros((6, 6))
    compliance[[0, 1, 2], [0, 1, 2]] = 1.0 / E
    for (i, j), value in zip(((0, 1), (0, 2), (1, 2)), nu, strict=True):
        compliance[i, j] = compliance[j, i] = -value / E[i]
    compliance[[5, 4, 3], [5, 4, 3]] = 0.5 / G
    return compliance

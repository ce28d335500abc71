"""Compressible neo-Hooke solid: the one-constant rubber."""

import numpy as np

from pointlaw.materials import checks
from pointlaw.materials.hyperelastic import InvariantHyperelastic
from pointlaw.tensors import Array


class NeoHooke(InvariantHyperelastic):
    """Neo-Hooke solid ``W = μ/2 (Ī₁ − 3) + K/4 (J² − 1 − 2 ln J)``, ``F → P``.

    Parameters
    ----------
    mu : float
        Shear modulus, unit of stress.
    K : float
        Bulk modulus, unit of stress.
    """

    def __init__(self, mu: float, K: float):
        checks.positive("NeoHooke", mu=mu)
        super().__init__(K)
        self.mu = mu

    def isochoric_energy(self, invariants: Array) -> Array:
        """Return μ/2 (Ī₁ − 3); see :meth:`InvariantHyperelastic.isochoric_energy`."""
        energy: Array = 0.5 * self.mu * (invariants[0] - 3.0)
        return energy

    def derivatives(self, invariants: Array) -> tuple[Array, Array | None]:
        """Return ∂W/∂Ī₁ = μ/2; see :meth:`InvariantHyperelastic.derivatives`."""
        return np.full_like(invariants, 0.5 * self.mu), None

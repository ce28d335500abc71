"""Compressible Gent solid: rubber whose chains lock at a finite stretch."""

import numpy as np

from pointlaw.materials import checks
from pointlaw.materials.hyperelastic import InvariantHyperelastic
from pointlaw.tensors import Array


class Gent(InvariantHyperelastic):
    """Gent solid ``W = −μ Jm/2 ln(1 − (Ī₁ − 3)/Jm) + K/4 (J² − 1 − 2 ln J)``, ``F → P``.

    Gent 1996, doi 10.5254/1.3538357. A point with ``Ī₁ − 3 ≥ Jm`` fails: no finite stress leads there.

    Parameters
    ----------
    mu : float
        Shear modulus at small strain, unit of stress.
    Jm : float
        Limit of Ī₁ − 3, dimensionless.
    K : float
        Bulk modulus, unit of stress.
    """

    def __init__(self, mu: float, Jm: float, K: float):
        checks.positive("Gent", mu=mu, Jm=Jm)
        super().__init__(K)
        self.mu, self.Jm = mu, Jm

    def isochoric_energy(self, invariants: Array) -> Array:
        """Return −μ Jm/2 ln(1 − (Ī₁ − 3)/Jm); NaN beyond the locking stretch."""
        left = 1.0 - (invariants[0] - 3.0) / self.Jm
        return -0.5 * self.mu * self.Jm * np.log(np.where(left > 0.0, left, np.nan))

    def derivatives(self, invariants: Array) -> tuple[Array, Array | None]:
        """Return ∂W/∂Ī₁ and ∂²W/∂Ī₁²; NaN beyond the locking stretch."""
        left = 1.0 - (invariants - 3.0) / self.Jm
        left = np.where(left > 0.0, left, np.nan)
        first = 0.5 * self.mu / left
        return first, (first / (left * self.Jm))[None]

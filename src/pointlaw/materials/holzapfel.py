"""Holzapfel–Gasser–Ogden solid: soft tissue with families of dispersed collagen fibres."""

import numpy as np
from numpy.typing import ArrayLike

from pointlaw.errors import InputError
from pointlaw.materials import checks
from pointlaw.materials.hyperelastic import InvariantHyperelastic
from pointlaw.tensors import Array


class HolzapfelGasserOgden(InvariantHyperelastic):
    """Soft tissue with fibre dispersion, ``F → P``.

    ``W = μ/2 (Ī₁ − 3) + k1/(2 k2) Σ [exp(k2 ⟨E⟩²) − 1] + K/4 (J² − 1 − 2 ln J)`` with
    ``E = κ (Ī₁ − 3) + (1 − 3κ)(Ī₄ − 1)`` for every fibre family and ⟨·⟩ the positive part: fibres do not bear
    compression. Gasser, Ogden & Holzapfel 2006, doi 10.1098/rsif.2005.0073; all invariants are isochoric.

    Parameters
    ----------
    mu : float
        Shear modulus of the ground substance, unit of stress.
    k1 : float
        Stiffness of the fibres, unit of stress.
    k2 : float
        Exponent of the fibres, dimensionless.
    fibres : [f, 3]
        Direction of each family in the undeformed body; normalised here.
    K : float
        Bulk modulus, unit of stress.
    kappa : float
        Dispersion, from 0 (aligned) to 1/3 (isotropic).
    """

    def __init__(self, mu: float, k1: float, k2: float, fibres: ArrayLike, K: float, *, kappa: float = 0.0):
        name = "HolzapfelGasserOgden"
        checks.positive(name, mu=mu, k1=k1, k2=k2)
        checks.finite(name, kappa=kappa)
        if not 0.0 <= kappa <= 1.0 / 3.0:
            raise InputError(f"{name}: kappa = {kappa} must lie between 0 (aligned) and 1/3 (isotropic).")
        directions = np.atleast_2d(checks.array(name, "fibres", fibres))
        if directions.ndim != 2 or directions.shape[1] != 3:
            raise InputError(f"{name}: fibres have shape [families, 3]; got {directions.shape}.")
        lengths = np.linalg.norm(directions, axis=1)
        if not np.all(np.isfinite(lengths) & (lengths > 0.0)):
            raise InputError(f"{name}: fibre direction {directions[np.argmin(lengths)].tolist()} has no length.")
        super().__init__(K, directions / lengths[:, None])
        self.mu, self.k1, self.k2, self.kappa = mu, k1, k2, kappa

    def isochoric_energy(self, invariants: Array) -> Array:
        """Return the energy of ground substance and fibres; see :meth:`InvariantHyperelastic.isochoric_energy`."""
        energy: Array = 0.5 * self.mu * (invariants[0] - 3.0)
        for along in invariants[1:]:
            E = self._fibre_strain(invariants[0], along)
            with np.errstate(over="ignore"):
                energy = energy + 0.5 * self.k1 / self.k2 * np.expm1(self.k2 * E * E)
        return energy

    def _fibre_strain(self, I1: Array, I4: Array) -> Array:
        """Return ⟨κ (Ī₁ − 3) + (1 − 3κ)(Ī₄ − 1)⟩, ``[p]``."""
        return np.maximum(self.kappa * (I1 - 3.0) + (1.0 - 3.0 * self.kappa) * (I4 - 1.0), 0.0)

    def derivatives(self, invariants: Array) -> tuple[Array, Array | None]:
        """Return the derivatives with respect to Ī₁ and the Ī₄; see the class for the energy."""
        k, points = invariants.shape
        first, second = np.zeros((k, points)), np.zeros((k, k, points))
        first[0] = 0.5 * self.mu
        along = 1.0 - 3.0 * self.kappa
        for n in range(1, k):
            E = self._fibre_strain(invariants[0], invariants[n])
            with np.errstate(over="ignore", invalid="ignore"):  # an overflow marks the row as failed
                growth = self.k1 * np.exp(self.k2 * E * E)
                slope = growth * E
                bend = np.where(E > 0.0, growth * (1.0 + 2.0 * self.k2 * E * E), 0.0)
            first[0] += self.kappa * slope
            first[n] += along * slope
            second[0, 0] += self.kappa**2 * bend
            second[0, n] = second[n, 0] = self.kappa * along * bend
            second[n, n] = along**2 * bend
        return first, second

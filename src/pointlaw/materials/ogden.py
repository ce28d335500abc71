"""Compressible Ogden solid: rubber in powers of the principal stretches."""

from collections.abc import Sequence

import numpy as np

from pointlaw.errors import InputError
from pointlaw.materials import checks
from pointlaw.materials.base import Response, StatusArray
from pointlaw.materials.blocks import BlockedMaterial
from pointlaw.materials.hyperelastic import DeformationBatch, volumetric_energy
from pointlaw.materials.spectral import piola_stress, piola_tangent, principal_logarithms, sinhc
from pointlaw.tensors import FINITE_STRAIN_3D, Array


class Ogden(BlockedMaterial):
    """Ogden solid ``W = Σ μ_k/α_k (λ̄₁^α_k + λ̄₂^α_k + λ̄₃^α_k − 3) + K/4 (J² − 1 − 2 ln J)``, ``F → P``.

    ``λ̄ = J^(-1/3) λ`` are the isochoric principal stretches; the shear modulus is ``½ Σ μ_k α_k``.
    Ogden 1972, doi 10.1098/rspa.1972.0026.

    Parameters
    ----------
    mu : sequence of float
        Constants μ_k, unit of stress.
    alpha : sequence of float
        Exponents α_k, dimensionless, not 0; every product μ_k α_k must be positive.
    K : float
        Bulk modulus, unit of stress.
    """

    kinematics = FINITE_STRAIN_3D
    symmetric = True

    def __init__(self, mu: Sequence[float], alpha: Sequence[float], K: float):
        checks.numbers("Ogden", mu=mu, alpha=alpha)
        checks.same_length("Ogden", mu=mu, alpha=alpha)
        checks.positive("Ogden", K=K)
        for m, a in zip(mu, alpha, strict=True):
            if not m * a > 0.0:
                raise InputError(f"Ogden: the pair mu = {m}, alpha = {a} has the product {m * a}; it must be > 0.")
        if len(mu) == 0:
            raise InputError("Ogden: give at least one pair of mu and alpha.")
        self.mu, self.alpha, self.K = np.array(mu, dtype=float), np.array(alpha, dtype=float), K

    def elastic_energy(self, strain: Array, state: Array) -> Array:
        """Return the energy per undeformed volume ``[p]`` at ``F[p, 9]``, unit of stress; NaN where det F ≤ 0."""
        body = DeformationBatch.of(strain)
        e, _ = principal_logarithms(body.F @ body.F.swapaxes(1, 2))
        bar = e - e.mean(axis=1, keepdims=True)
        powers = np.expm1(bar[:, :, None] * self.alpha).sum(axis=1) @ (self.mu / self.alpha)
        return np.where(body.valid, powers + volumetric_energy(self.K, body.J), np.nan)

    def update_block(self, strain: Array, state: Array, dt: float, out: Response) -> StatusArray | None:
        """Write one block; see :meth:`BlockedMaterial.update_block`."""
        body = DeformationBatch.of(strain)
        e, n = principal_logarithms(body.F @ body.F.swapaxes(1, 2))
        bar = e - e.mean(axis=1, keepdims=True)
        powers = self.mu * np.exp(bar[:, :, None] * self.alpha)  # μ_k λ̄_a^α_k, [p, 3, k]
        stresses = powers.sum(axis=2)
        dU, ddU = 0.5 * self.K * (body.J**2 - 1.0), self.K * body.J**2  # J U′ and its derivative with ln J
        tau = stresses - stresses.mean(axis=1, keepdims=True) + dU[:, None]
        out.stress[...] = piola_stress(tau, n, body.inverse).reshape(-1, 9)
        out.state[...] = state
        if out.tangent is not None:
            d = powers @ self.alpha  # ∂(Σ_k μ_k λ̄_a^α_k)/∂ē_a
            # (τ_a − τ_b)/(e_a − e_b) = Σ μ α exp(α ē_mean) sinhc(α (e_a − e_b)/2).
            half = 0.5 * (bar[:, :, None] - bar[:, None, :])[..., None] * self.alpha
            middle = 0.5 * (bar[:, :, None] + bar[:, None, :])[..., None] * self.alpha
            slopes = (np.exp(middle) * sinhc(half)) @ (self.mu * self.alpha)
            third = d / 3.0
            moduli = (third.mean(axis=1) + ddU)[:, None, None] - third[:, :, None] - third[:, None, :]
            moduli[:, [0, 1, 2], [0, 1, 2]] += d
            out.tangent[...] = piola_tangent(e, n, body.inverse, tau, moduli, slopes)
        return body.status

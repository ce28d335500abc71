"""Multiplicative J2 plasticity at finite strain: metals under large deformation."""

import numpy as np

from pointlaw.materials import checks
from pointlaw.materials.base import Response, StateLayout, StatusArray
from pointlaw.materials.blocks import BlockedMaterial
from pointlaw.materials.hyperelastic import DeformationBatch
from pointlaw.materials.spectral import piola_stress, piola_tangent, principal_logarithms
from pointlaw.tensors import FINITE_STRAIN_3D, IDENTITY, Array, from_mandel, to_mandel

ON_SURFACE = 1e-12  # a trial stress outside by less than this share of the yield stress is still elastic,
ROUND_OFF = 1e-13  # and so is a trial strain outside by less than this: held, it would flow or not as it is rounded


class FiniteJ2(BlockedMaterial):
    """J2 plasticity with ``F = Fe·Fp``, Hencky elasticity and the exponential map; ``F → P``.

    The Kirchhoff stress is ``τ = 2G dev(ln Ve) + K tr(ln Ve) 1``; its von Mises stress is compared with the yield
    stress ``yield_stress + H α + Q (1 − exp(−b α))``, α being the equivalent plastic strain. Plastic flow keeps the
    volume. Simo 1992, doi 10.1016/0045-7825(92)90123-2.

    Parameters
    ----------
    E, nu : float
        Young's modulus, unit of stress, and Poisson's ratio.
    yield_stress : float
        Initial yield stress, unit of stress.
    H : float
        Linear hardening modulus ≥ 0, unit of stress.
    Q, b : float
        Saturation stress ≥ 0 (unit of stress) and rate (dimensionless) of Voce hardening.

    Notes
    -----
    State: ``inverse_plastic_metric`` (6, Cp⁻¹ in Mandel order) and ``equivalent_plastic_strain`` (1). The elastic range
    of a Hencky solid is not polyconvex; elastic strains of a metal (≪ 1) are far from where that matters.
    """

    kinematics = FINITE_STRAIN_3D
    symmetric = True
    state_layout = StateLayout(inverse_plastic_metric=6, equivalent_plastic_strain=1)

    def __init__(self, E: float, nu: float, yield_stress: float, *, H: float = 0.0, Q: float = 0.0, b: float = 0.0):
        checks.positive("FiniteJ2", E=E, yield_stress=yield_stress)
        checks.poisson_ratio("FiniteJ2", nu)
        checks.non_negative("FiniteJ2", H=H, Q=Q, b=b)
        self.E, self.nu = E, nu
        self.G, self.K = E / (2.0 * (1.0 + nu)), E / (3.0 * (1.0 - 2.0 * nu))
        self.yield_stress, self.H, self.Q, self.b = yield_stress, H, Q, b

    def initial_state(self, points: int) -> Array:
        """Return Cp⁻¹ = 1 (Mandel order) and α = 0."""
        return np.tile(np.append(IDENTITY, 0.0), (points, 1))

    def radius(self, alpha: Array) -> tuple[Array, Array]:
        """Return the yield stress at the equivalent plastic strain ``alpha[p]``, and its slope."""
        left = self.Q * np.exp(-self.b * alpha)
        return self.yield_stress + self.H * alpha + self.Q - left, self.H + self.b * left

    def elastic_energy(self, strain: Array, state: Array) -> Array:
        """Return ``G ‖dev ln Ve‖² + K/2 tr²(ln Ve)`` ``[p]`` at ``F[p, 9]`` and the state reached there.

        Unit of stress, per undeformed volume; NaN where det F ≤ 0.
        """
        body = DeformationBatch.of(strain)
        metric = self.state_layout.split(state)["inverse_plastic_metric"]
        e, _ = principal_logarithms(body.F @ from_mandel(metric) @ body.F.swapaxes(1, 2))
        volume = e.sum(axis=1)
        deviator = e - volume[:, None] / 3.0
        energy = self.G * np.einsum("pa,pa->p", deviator, deviator) + 0.5 * self.K * volume**2
        return np.where(body.valid, energy, np.nan)

    def _plastic_multiplier(self, trial: Array, alpha: Array) -> tuple[Array, Array]:
        """Return Δα ≥ 0 and the slope of the yield stress there, from the trial von Mises stress ``[p]``.

        The residual is convex and falls, so Newton from 0 rises to the root without overshooting.
        """
        increment = np.zeros_like(trial)
        strength, slope = self.radius(alpha)
        outside = trial - strength > ON_SURFACE * strength + ROUND_OFF * 2.0 * self.G
        trial = np.where(outside, trial, strength)
        for _ in range(50):
            residual = trial - 3.0 * self.G * increment - strength
            step = np.maximum(residual / (3.0 * self.G + slope), 0.0)
            increment = increment + step
            strength, slope = self.radius(alpha + increment)
            if not np.any(step > 1e-15 * (increment + self.yield_stress / self.G)):
                break
        return increment, slope

    def update_block(self, strain: Array, state: Array, dt: float, out: Response) -> StatusArray | None:
        """Write one block; see :meth:`BlockedMaterial.update_block`."""
        body = DeformationBatch.of(strain)
        parts = self.state_layout.split(state)
        old_metric, alpha = parts["inverse_plastic_metric"], parts["equivalent_plastic_strain"][:, 0]
        e, n = principal_logarithms(body.F @ from_mandel(old_metric) @ body.F.swapaxes(1, 2))
        volume = e.sum(axis=1)
        deviator = e - volume[:, None] / 3.0
        length = np.sqrt(1.5 * np.einsum("pa,pa->p", deviator, deviator))
        trial = 2.0 * self.G * length
        increment, slope = self._plastic_multiplier(trial, alpha)
        plastic = increment > 0.0
        # Radial return: dev e = θ dev e_trial.
        ratio = np.where(plastic, 1.5 * increment / np.where(plastic, length, 1.0), 0.0)
        theta = 1.0 - ratio
        tau = (2.0 * self.G * theta)[:, None] * deviator + (self.K * volume)[:, None]
        out.stress[...] = piola_stress(tau, n, body.inverse).reshape(-1, 9)
        m = body.inverse @ n
        elastic = np.exp(2.0 * (e - ratio[:, None] * deviator))
        metric = to_mandel((m * elastic[:, None, :]) @ m.swapaxes(1, 2))
        out.state[:, :6] = np.where(plastic[:, None], metric, old_metric)
        out.state[:, 6] = alpha + increment
        if out.tangent is not None:
            # dθ/d(dev e) = θ′ dev e, from Δα(length) with dΔα/d(length) = 2G/(3G + slope).
            rate = 2.0 * self.G / (3.0 * self.G + slope)
            safe = np.where(plastic, length, 1.0)
            bend = np.where(plastic, 2.25 * (increment / safe - rate) / (safe * safe), 0.0)
            moduli = (2.0 * self.G * bend)[:, None, None] * deviator[:, :, None] * deviator[:, None, :]
            moduli += (2.0 * self.G * theta)[:, None, None] * (np.eye(3) - 1.0 / 3.0) + self.K
            slopes = np.broadcast_to((2.0 * self.G * theta)[:, None, None], moduli.shape)
            out.tangent[...] = piola_tangent(e, n, body.inverse, tau, moduli, slopes)
        return body.status

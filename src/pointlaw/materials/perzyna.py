"""Perzyna viscoplasticity with a power-law overstress; Norton creep when the yield stress is zero."""

import numpy as np

from pointlaw.errors import InputError
from pointlaw.materials import checks
from pointlaw.materials.base import Response, StateLayout, StatusArray
from pointlaw.materials.blocks import BlockedMaterial
from pointlaw.materials.elastic import isotropic_stiffness
from pointlaw.materials.rows import row_norm
from pointlaw.tensors import DEVIATORIC, SMALL_STRAIN_3D, Array


class Perzyna(BlockedMaterial):
    """Viscoplastic flow ``dp/dt = ⟨(q − yield_stress − H p)/drag⟩ⁿ`` with the von Mises stress q; small strain.

    Parameters
    ----------
    E, nu : float
        Young's modulus, unit of stress, and Poisson's ratio.
    drag : float
        Overstress at unit strain rate, unit of stress.
    n : float
        Exponent, at least 1.
    yield_stress : float
        Stress below which nothing flows; 0 gives Norton's creep law.
    H : float
        Linear isotropic hardening modulus ≥ 0, unit of stress.

    Notes
    -----
    State: ``plastic_strain`` (6, Mandel) and ``equivalent_plastic_strain`` (1). Backward Euler leads to
    ``x + (3G + H) Δt (x/drag)ⁿ = f`` for the overstress ``x``, f being that of the trial stress; the left side is
    convex, so Newton from a bound above the root falls onto it without a safeguard, for every n and Δt.
    Perzyna 1966, doi 10.1016/S0065-2156(08)70009-7.
    """

    kinematics = SMALL_STRAIN_3D
    symmetric = True
    state_layout = StateLayout(plastic_strain=6, equivalent_plastic_strain=1)

    def __init__(self, E: float, nu: float, drag: float, n: float, *, yield_stress: float = 0.0, H: float = 0.0):
        checks.positive("Perzyna", E=E, drag=drag, n=n)
        checks.poisson_ratio("Perzyna", nu)
        checks.non_negative("Perzyna", yield_stress=yield_stress, H=H)
        if n < 1.0:
            raise InputError(f"Perzyna: n = {n} must be at least 1.")
        self.stiffness = isotropic_stiffness(E, nu)
        self.G = E / (2.0 * (1.0 + nu))
        self.E, self.nu = E, nu
        self.drag, self.n, self.yield_stress, self.H = drag, n, yield_stress, H

    def _overstress(self, trial: Array, dt: float) -> tuple[Array, Array]:
        """Return the overstress x at the end of the step for that of the trial stress, and dx/d(trial), each [p]."""
        stiff = 3.0 * self.G + self.H
        if dt == 0.0:
            return trial, np.ones_like(trial)
        # Both terms of the left side are positive, so each alone bounds the root from above.
        x = np.minimum(trial, self.drag * (trial / (stiff * dt)) ** (1.0 / self.n))
        for _ in range(30):
            step = (x + stiff * dt * (x / self.drag) ** self.n - trial) * self._slope(x, dt)
            x = np.maximum(x - step, 0.0)
            if not np.any(np.abs(step) > 1e-15 * trial):
                break
        return x, self._slope(x, dt)

    def _slope(self, x: Array, dt: float) -> Array:
        """Return dx/d(trial) at the overstress ``x[p]``."""
        rate = self.n * dt / self.drag * (x / self.drag) ** (self.n - 1.0)
        return 1.0 / (1.0 + (3.0 * self.G + self.H) * rate)

    def update_block(self, strain: Array, state: Array, dt: float, out: Response) -> StatusArray | None:
        """Write one block; see :meth:`BlockedMaterial.update_block`."""
        G, stiff = self.G, 3.0 * self.G + self.H
        elastic = strain - state[:, :6]
        s = elastic @ (2.0 * G * DEVIATORIC)
        q = np.sqrt(1.5) * row_norm(s)
        excess = q - self.yield_stress - self.H * state[:, 6]
        trial = np.maximum(excess, 0.0)
        x, slope = self._overstress(trial, dt)
        increment = (trial - x) / stiff
        safe = np.where(q > 0.0, q, 1.0)
        plastic = (1.5 * increment / safe)[:, None] * s
        np.matmul(elastic, self.stiffness, out=out.stress)
        out.stress -= 2.0 * G * plastic
        out.state[:, :6] = state[:, :6] + plastic
        out.state[:, 6] = state[:, 6] + increment
        if out.tangent is not None:
            normal = s * (np.sqrt(1.5) / safe)[:, None]
            rate = np.where(excess >= 0.0, (1.0 - slope) / stiff, 0.0)
            ratio = np.where(q > 0.0, increment / safe, rate)
            out.tangent[...] = self.stiffness - (6.0 * G * G * ratio)[:, None, None] * DEVIATORIC
            out.tangent += ((6.0 * G * G * (ratio - rate))[:, None] * normal)[:, :, None] * normal[:, None, :]
        return None

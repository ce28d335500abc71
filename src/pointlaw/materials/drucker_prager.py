"""Drucker–Prager plasticity: soil, rock and concrete, whose strength grows with pressure."""

import numpy as np

from pointlaw.errors import InputError
from pointlaw.materials import checks
from pointlaw.materials.base import Response, StateLayout, StatusArray
from pointlaw.materials.blocks import BlockedMaterial
from pointlaw.materials.elastic import isotropic_stiffness
from pointlaw.materials.rows import row_norm
from pointlaw.tensors import DEVIATORIC, IDENTITY, SMALL_STRAIN_3D, Array

ON_SURFACE = 1e-12  # a trial stress outside by less than this share of the strength is still elastic,
ROUND_OFF = 1e-14  # and so is one outside by less than this share of what it is the difference of


class DruckerPrager(BlockedMaterial):
    """Cone ``√J₂ + η p ≤ ξ (cohesion + H κ)`` with flow along ``√J₂ + η̄ p`` and return to the apex; small strain.

    ``p`` is the mean stress (tension positive). The cone touches the compressive edges of Mohr–Coulomb:
    ``η = 6 sin φ/(√3 (3 − sin φ))``, ``ξ = 6 cos φ/(√3 (3 − sin φ))`` with the friction angle φ, and η̄ is η at the
    dilation angle ψ. ``κ`` grows by ``ξ Δγ``. De Souza Neto, Perić & Owen 2008, doi 10.1002/9780470694626, ch. 8.

    Parameters
    ----------
    E, nu : float
        Young's modulus, unit of stress, and Poisson's ratio.
    friction, dilation : float
        Angles φ and ψ in degrees, ``0 < φ < 90`` and ``0 ≤ ψ ≤ φ``; the law is associative for ψ = φ.
    cohesion : float
        Initial cohesion, unit of stress.
    H : float
        Modulus of cohesion hardening ≥ 0, unit of stress; 0 when ``dilation`` is 0, because the apex then cannot
        harden.

    Notes
    -----
    State: ``plastic_strain`` (6, Mandel) and ``hardening`` (κ, 1). With ``H = 0`` a point at the apex has no stiffness
    left, as the surface has it; the global solver then needs the stiffness of its neighbours, and ``PlaneStress`` and
    ``Uniaxial``, whose free strains nothing leads back, need steps of about the yield strain (``Substepped``).
    """

    kinematics = SMALL_STRAIN_3D
    state_layout = StateLayout(plastic_strain=6, hardening=1)

    def __init__(self, E: float, nu: float, friction: float, dilation: float, cohesion: float, *, H: float = 0.0):
        name = "DruckerPrager"
        checks.positive(name, E=E, cohesion=cohesion)
        checks.poisson_ratio(name, nu)
        checks.non_negative(name, H=H)
        checks.finite(name, friction=friction, dilation=dilation)
        if not 0.0 < friction < 90.0:
            raise InputError(f"{name}: friction = {friction} must lie between 0 and 90 degrees, or use J2.")
        if not 0.0 <= dilation <= friction:
            raise InputError(f"{name}: dilation = {dilation} must lie between 0 and friction = {friction} degrees.")
        if dilation == 0.0 and H > 0.0:
            raise InputError(f"{name}: H = {H} needs dilation > 0, because the apex could not harden; set H = 0.")
        self.stiffness = isotropic_stiffness(E, nu)
        self.G, self.K = E / (2.0 * (1.0 + nu)), E / (3.0 * (1.0 - 2.0 * nu))
        self.eta, self.xi = _cone(friction)
        self.eta_flow = _cone(dilation)[0]
        self.E, self.nu, self.friction, self.dilation = E, nu, friction, dilation
        self.cohesion, self.H = cohesion, H
        self.symmetric = dilation == friction

    def update_block(self, strain: Array, state: Array, dt: float, out: Response) -> StatusArray | None:
        """Write one block by backward Euler, in closed form; see :meth:`BlockedMaterial.update_block`."""
        G, K = self.G, self.K
        trial = (strain - state[:, :6]) @ self.stiffness
        kappa = state[:, 6]
        p = trial[:, :3].sum(axis=1) / 3.0
        s = trial - p[:, None] * IDENTITY
        root = row_norm(s) / np.sqrt(2.0)  # √J₂
        strength = self.xi * (self.cohesion + self.H * kappa)
        excess = root + self.eta * p - strength
        # The largest entries and not the norms, which overflow for a strain whose stress does not.
        noise = ROUND_OFF * (np.abs(trial).max(axis=1) + self.E * np.abs(strain).max(axis=1))
        flow = excess > ON_SURFACE * strength + noise
        slope = G + K * self.eta * self.eta_flow + self.xi**2 * self.H
        multiplier = np.where(flow, excess / slope, 0.0)
        apex = flow & (G * multiplier > root)
        safe = np.where(root > 0.0, root, 1.0)
        theta = np.where(apex, 0.0, 1.0 - G * multiplier / safe)
        # At the apex p = ξ/η (c + H κ), with κ growing by ξ/η̄ per plastic volume strain.
        apex_slope = self.xi**2 * self.H / (self.eta * self.eta_flow) if self.H else 0.0
        volume = (p - strength / self.eta) / (K + apex_slope)
        new_p = p - K * np.where(apex, volume, self.eta_flow * multiplier)
        np.multiply(theta[:, None], s, out=out.stress)
        out.stress[:, :3] += new_p[:, None]
        growth = self.xi / self.eta_flow * volume if self.H else self.xi * multiplier
        out.state[:, 6] = kappa + np.where(apex, growth, self.xi * multiplier)
        new_s = out.stress - new_p[:, None] * IDENTITY
        plastic = strain - new_s / (2.0 * G) - (new_p / (3.0 * K))[:, None] * IDENTITY
        out.state[:, :6] = np.where(flow[:, None], plastic, state[:, :6])
        if out.tangent is not None:
            normal = s / (np.sqrt(2.0) * safe)[:, None]
            cone = (flow & ~apex).astype(float)
            keep = np.where(apex, apex_slope / (K + apex_slope), 1.0)
            right = np.sqrt(2.0) * G * normal + K * self.eta * IDENTITY
            left = np.sqrt(2.0) * G * normal + K * self.eta_flow * IDENTITY
            bend = cone * 2.0 * G * G * multiplier / safe
            moduli = (2.0 * G * theta)[:, None, None] * DEVIATORIC + (K * keep)[:, None, None] * _DYAD
            moduli += (bend[:, None] * normal)[:, :, None] * normal[:, None, :]
            moduli -= ((cone / slope)[:, None] * left)[:, :, None] * right[:, None, :]
            out.tangent[...] = moduli
        return None


_DYAD = np.outer(IDENTITY, IDENTITY)


def _cone(angle: float) -> tuple[float, float]:
    """Return η and ξ of the cone through the compressive edges of Mohr–Coulomb; ``angle`` in degrees."""
    sine, cosine = np.sin(np.radians(angle)), np.cos(np.radians(angle))
    share = 6.0 / (np.sqrt(3.0) * (3.0 - sine))
    return float(share * sine), float(share * cosine)

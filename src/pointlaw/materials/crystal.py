"""Single-crystal plasticity at small strain: FCC, rate dependent, twelve slip systems that harden one another."""

import numpy as np

from pointlaw.materials.base import PointStatus, Response, StateLayout, StatusArray
from pointlaw.materials.fcc import FCC
from pointlaw.materials.rows import solve_rows
from pointlaw.materials.slip import SCHMID_SYM
from pointlaw.tensors import SMALL_STRAIN_3D, Array


class CrystalPlasticity(FCC):
    """FCC crystal in its own axes; ``Rotated(CrystalPlasticity(...), R)`` turns it, for a whole body or point by point.

    Slip follows ``γ̇ = rate |τ/g|ⁿ sign τ`` and the resistances ``ġ_α = Σ_β (q + (1 − q) δ_αβ) h(g_β) |γ̇_β|`` with
    ``h(g) = h0 |1 − g/g_sat|^a sign(1 − g/g_sat)``: Voce–Kocks hardening for ``a = 1``. Peirce, Asaro & Needleman 1982,
    doi 10.1016/0001-6160(82)90005-0; Kalidindi, Bronkhorst & Anand 1992, doi 10.1016/0022-5096(92)80003-9.

    Parameters
    ----------
    C11, C12, C44 : float
        Cubic elastic constants, unit of stress.
    rate : float
        Slip rate at ``τ = g``, 1 per unit of time.
    n : float
        Rate exponent ≥ 1; large values approach rate independence.
    g0, g_sat : float
        Initial and saturated slip resistance, unit of stress.
    h0 : float
        Initial hardening modulus, unit of stress.
    a : float
        Exponent of the saturation ≥ 1.
    q : float
        Latent hardening: what slip on one system adds to the others, relative to itself.

    Notes
    -----
    State: ``plastic_strain`` (6, Mandel, crystal axes), ``resistance`` (12, unit of stress) and ``slip`` (Σ|γ|, 1).
    A point whose implicit step is not solved answers ``FAILED``. Latent hardening with ``q > 1`` makes the choice of
    systems unstable (Hill 1966, doi 10.1016/0022-5096(66)90040-8), so that huge steps of a nearly rate-independent
    crystal may have no solution near the trial state; ``Substepped`` helps.
    """

    kinematics = SMALL_STRAIN_3D
    state_layout = StateLayout(plastic_strain=6, resistance=12, slip=1)

    def initial_state(self, points: int) -> Array:
        """Return a crystal without slip, all resistances ``g0``."""
        state = np.zeros((points, self.state_layout.size))
        state[:, 6:18] = self.slip_law.g0
        return state

    def update_block(self, strain: Array, state: Array, dt: float, out: Response) -> StatusArray | None:
        """Write one block by backward Euler; see :meth:`BlockedMaterial.update_block`."""
        law = self.slip_law
        stress, g, solved = law.solve(strain - state[:, :6], SCHMID_SYM, state[:, 6:18], dt)
        now = law.slip(stress, g, dt)
        out.stress[...] = stress
        out.state[:, :6] = state[:, :6] + now.increment @ SCHMID_SYM
        out.state[:, 6:18] = g
        out.state[:, 18] = state[:, 18] + np.abs(now.increment).sum(axis=1)
        if out.tangent is not None:
            matrix = law.linearise(now).matrix(law.compliance, SCHMID_SYM, slice(None))
            out.tangent[...] = solve_rows(matrix, np.broadcast_to(np.eye(6), matrix.shape))
        return np.where(solved, np.int8(PointStatus.FINE), np.int8(PointStatus.FAILED))

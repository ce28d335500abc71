"""Single-crystal plasticity at finite strain: lattice rotation and texture follow from ``F = Fe·Fp``."""

import numpy as np

from pointlaw.materials.base import PointStatus, Response, StateLayout, StatusArray
from pointlaw.materials.fcc import FCC
from pointlaw.materials.hyperelastic import DeformationBatch
from pointlaw.materials.rows import solve_rows
from pointlaw.materials.slip import SCHMID, LinearSlip
from pointlaw.tensors import FINITE_STRAIN_3D, Array, from_mandel, to_mandel

_EYE = np.eye(3)
_BASIS = from_mandel(np.eye(6))  # the six Mandel unit tensors, [6, 3, 3]
_SCHMID_ROWS = SCHMID.reshape(12, 9)


class FiniteCrystalPlasticity(FCC):
    """FCC crystal in its own axes at finite strain, ``F → P``; ``Rotated`` turns it.

    Elasticity is ``T* = C : ½(Feᵀ Fe − 1)`` in the lattice frame, slip obeys the flow and hardening rules of
    :class:`~pointlaw.materials.CrystalPlasticity` with ``τ_α = T* : (d_α⊗n_α)``, which holds for small elastic strain.
    The step is implicit with the elastic predictor linearised in the slip increments, and ``Fp`` is scaled to
    ``det Fp = 1``. Kalidindi, Bronkhorst & Anand 1992, doi 10.1016/0022-5096(92)80003-9.

    Parameters
    ----------
    C11, C12, C44, rate, n, g0, g_sat, h0, a, q
        As for :class:`~pointlaw.materials.CrystalPlasticity`.

    Notes
    -----
    State: ``inverse_plastic_gradient`` (9, Fp⁻¹ row by row), ``resistance`` (12, unit of stress), ``slip`` (Σ|γ|, 1).
    """

    kinematics = FINITE_STRAIN_3D
    state_layout = StateLayout(inverse_plastic_gradient=9, resistance=12, slip=1)

    def initial_state(self, points: int) -> Array:
        """Return a crystal without slip, all resistances ``g0``."""
        state = np.zeros((points, self.state_layout.size))
        state[:, :9] = _EYE.ravel()
        state[:, 9:21] = self.slip_law.g0
        return state

    def update_block(self, strain: Array, state: Array, dt: float, out: Response) -> StatusArray | None:
        """Write one block by backward Euler; see :meth:`BlockedMaterial.update_block`."""
        law, body = self.slip_law, DeformationBatch.of(strain)
        old = state[:, :9].reshape(-1, 3, 3)
        elastic = body.F @ old
        A = elastic.swapaxes(1, 2) @ elastic
        flow = to_mandel(A[:, None] @ SCHMID)  # sym(A S_α), [p, 12, 6]
        stress, g, solved = law.solve(to_mandel(0.5 * (A - _EYE)), flow, state[:, 9:21], dt)
        now = law.slip(stress, g, dt)
        L = (now.increment @ _SCHMID_ROWS).reshape(-1, 3, 3)
        raw = old @ (_EYE - L)
        raw_body = DeformationBatch.of(raw.reshape(-1, 9))
        shrink = raw_body.J ** (-1.0 / 3.0)
        N = shrink[:, None, None] * raw
        T = from_mandel(stress)
        S = N @ T @ N.swapaxes(1, 2)
        out.stress[...] = (body.F @ S).reshape(-1, 9)
        out.state[:, :9] = N.reshape(-1, 9)
        out.state[:, 9:21] = g
        out.state[:, 21] = state[:, 21] + np.abs(now.increment).sum(axis=1)
        if out.tangent is not None:
            linear = law.linearise(now)
            # dT*/dA solves the strain equation: its right side is ½ dA + sym(dA L), minus what slips.
            drive = 0.5 * np.eye(6) - to_mandel(_BASIS @ L[:, None]).swapaxes(1, 2)
            by_A = solve_rows(linear.matrix(law.compliance, flow, slice(None)), drive)
            by_F = by_A @ _metric_by_F(elastic, old)
            out.tangent[...] = self._tangent(body.F, old, raw_body, N, T, S, linear, by_F)
        fine = solved & body.valid & raw_body.valid
        return np.where(fine, np.int8(PointStatus.FINE), np.int8(PointStatus.FAILED))

    def _tangent(
        self,
        F: Array,
        old: Array,
        raw: DeformationBatch,
        N: Array,
        T: Array,
        S: Array,
        linear: LinearSlip,
        stress_by_F: Array,
    ) -> Array:
        """Return ∂P/∂F of ``P = F N T* Nᵀ`` ``[p, 9, 9]`` from ``stress_by_F = dT*/dF`` ``[p, 6, 9]``."""
        points = len(F)
        FN = F @ N
        # dS = N dT* Nᵀ + sym part of dN T* Nᵀ, with dN = N_raw-direction minus its trace (det N stays 1).
        along = FN[:, None] @ _BASIS @ N.swapaxes(1, 2)[:, None]
        tangent = along.reshape(points, 6, 9).swapaxes(1, 2) @ stress_by_F
        slip_by_F = linear.by_stress() @ stress_by_F
        dL = (_SCHMID_ROWS.T @ slip_by_F).swapaxes(1, 2).reshape(points, 9, 3, 3)  # [p, kL, i, j]
        shrink = (raw.J ** (-1.0 / 3.0))[:, None, None, None]
        dN = -shrink * (old[:, None] @ dL)
        growth = np.matmul(dN.reshape(points, 9, 9), raw.inverse.swapaxes(1, 2).reshape(points, 9, 1)) / shrink[:, 0]
        dN -= (growth[:, :, 0] / 3.0)[:, :, None, None] * N[:, None]
        NT, half = (N @ T)[:, None], F[:, None] @ dN
        dP = half @ NT.swapaxes(2, 3) + (F[:, None] @ NT) @ dN.swapaxes(2, 3)
        tangent += dP.reshape(points, 9, 9).swapaxes(1, 2)
        four = tangent.reshape(points, 3, 3, 3, 3)
        for i in range(3):
            four[:, i, :, i, :] += S
        return tangent


def _metric_by_F(elastic: Array, old: Array) -> Array:
    """Return ``dA/dF`` ``[p, 6, 9]`` of ``A = (F N)ᵀ(F N)`` in Mandel order, with ``elastic = F N`` and ``old = N``."""
    # dA = 2 sym((F N)ᵀ dF N): for dF = e_k⊗e_L the matrix is the k-th row of F N times the L-th row of N.
    product = elastic[:, :, None, :, None] * old[:, None, :, None, :]
    return 2.0 * to_mandel(product.reshape(len(elastic), 9, 3, 3)).swapaxes(1, 2)

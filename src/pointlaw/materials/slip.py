"""Slip in a crystal: FCC systems, the rate-dependent flow rule with latent hardening, and its implicit step.

The unknowns of a step are the stress (6) and the slip resistances (12). The hardening matrix has the form
``q + (1 − q) δ_αβ``, so the resistances are eliminated in closed form (Sherman & Morrison 1950,
doi 10.1214/aoms/1177729893) and every Newton step solves six equations. Small-strain and finite-strain crystals share
all of this; they differ in the tensors along which slip relaxes the strain.
"""

import itertools
import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from pointlaw.errors import InputError
from pointlaw.materials import checks
from pointlaw.materials.newton import Rows, newton_rows
from pointlaw.materials.rows import solve_rows
from pointlaw.tensors import Array, to_mandel


def fcc_systems() -> tuple[Array, Array]:
    """Return slip directions ⟨110⟩ and plane normals {111} of the twelve FCC systems, unit vectors ``[12, 3]``."""
    normals, directions = [], []
    for normal in ((1, 1, 1), (-1, 1, 1), (1, -1, 1), (1, 1, -1)):
        for i, j in itertools.combinations(range(3), 2):
            direction = np.zeros(3)
            direction[i], direction[j] = normal[j], -normal[i]
            normals.append(np.array(normal) / np.sqrt(3.0))
            directions.append(direction / np.sqrt(2.0))
    return np.array(directions), np.array(normals)


TOLERANCE = 1e-12  # of the strain equation relative to the elastic strain at g0, and of the resistances to g0
ROUGH = 1e-2  # the same, on the way to the exponent that is wanted
SOFT_EXPONENT, GROWTH = 6.0, 1.5  # a point that is not solved at once follows the exponent from here in such ratios

_DIRECTIONS, _NORMALS = fcc_systems()
SCHMID = _DIRECTIONS[:, :, None] * _NORMALS[:, None, :]  # d⊗n, [12, 3, 3]
SCHMID_SYM = to_mandel(SCHMID)  # its symmetric part in Mandel order, [12, 6]
_DYADS = (SCHMID_SYM[:, :, None] * SCHMID_SYM[:, None, :]).reshape(12, 36)


def cubic_compliance(law: str, C11: float, C12: float, C44: float) -> Array:
    """Return the compliance ``[6, 6]`` of a cubic crystal in its own axes; ``InputError`` if it is not stable."""
    checks.positive(law, C11=C11, C44=C44)
    checks.finite(law, C12=C12)
    if not (C11 > C12 and C11 + 2.0 * C12 > 0.0):
        raise InputError(f"{law}: C11 = {C11}, C12 = {C12} are unstable; C11 > C12 and C11 + 2 C12 > 0 must hold.")
    stiffness = np.diag([C11 - C12] * 3 + [2.0 * C44] * 3)
    stiffness[:3, :3] += C12
    return np.linalg.inv(stiffness)


@dataclass(frozen=True)
class SlipState:
    """Slip of one step at given stress and resistances, and its derivatives; every array ``[q, 12]``.

    ``increment`` is Δγ, ``k = ∂Δγ/∂τ``, ``ratio = τ/g``, ``h`` and ``dh`` the hardening rate and its slope with g.
    """

    increment: Array
    k: Array
    ratio: Array
    h: Array
    dh: Array


class SlipLaw:
    """Flow rule ``γ̇ = rate |τ/g|ⁿ sign τ`` with hardening ``ġ_α = Σ_β (q + (1 − q) δ_αβ) h(g_β) |γ̇_β|``.

    ``h(g) = h0 |1 − g/g_sat|^a sign(1 − g/g_sat)``; ``a = 1`` is Voce's law. Parameters as in ``CrystalPlasticity``.
    """

    def __init__(
        self, law: str, rate: float, n: float, g0: float, g_sat: float, h0: float, a: float, q: float, compliance: Array
    ):
        checks.positive(law, rate=rate, n=n, g0=g0, g_sat=g_sat, a=a)
        checks.non_negative(law, h0=h0, q=q)
        if g_sat < g0:
            raise InputError(f"{law}: the saturation resistance g_sat = {g_sat} lies below g0 = {g0}.")
        if n < 1.0 or a < 1.0:
            raise InputError(f"{law}: the exponents n = {n} and a = {a} must be at least 1.")
        self.rate, self.n, self.g0, self.g_sat, self.h0, self.a, self.q = rate, n, g0, g_sat, h0, a, q
        self.compliance, self.stiffness = compliance, np.linalg.inv(compliance)
        self.strain_scale = g0 * compliance[3, 3]

    def slip(self, stress: Array, g: Array, dt: float, *, n: float | None = None) -> SlipState:
        """Return the slip of a step of length ``dt`` at ``stress[q, 6]`` and resistances ``g[q, 12]``."""
        n = self.n if n is None else n
        ratio = (stress @ SCHMID_SYM.T) / g
        size = np.abs(ratio)
        power = (self.rate * dt) * size ** (n - 1.0)
        left = 1.0 - g / self.g_sat
        steep = np.abs(left) ** (self.a - 1.0) if self.a != 1.0 else np.ones_like(left)
        return SlipState(
            increment=power * ratio,
            k=n * power / g,
            ratio=ratio,
            h=self.h0 * steep * left,
            dh=-self.h0 * self.a / self.g_sat * steep,
        )

    def solve(self, driving: Array, flow: Array, g_old: Array, dt: float) -> tuple[Array, Array, NDArray[np.bool_]]:
        """Solve ``S σ + Σ Δγ_α B_α = driving`` together with the hardening equations by backward Euler.

        Parameters
        ----------
        driving : [p, 6]
            Elastic strain if nothing slipped.
        flow : [12, 6] or [p, 12, 6]
            Tensors ``B_α`` along which slip relaxes it.
        g_old : [p, 12]
            Resistances at the beginning of the step, unit of stress.
        dt : float

        Returns
        -------
        stress [p, 6], g [p, 12], solved [p]
        """
        trial = driving @ self.stiffness
        strongest = np.max(np.abs(trial @ SCHMID_SYM.T) / g_old, axis=1)
        # Slip cannot exceed the strain at hand, which bounds |τ/g|: start there, not at the far larger trial stress.
        bound = self._ratio_bound(driving, dt, self.n)
        share = np.where(strongest > bound, bound / np.where(strongest > 0.0, strongest, 1.0), 1.0)
        start = np.concatenate([trial * share[:, None], g_old], axis=1)
        x, solved = self._newton(start, driving, flow, g_old, dt, self.n, TOLERANCE)
        rows = np.flatnonzero(~solved & np.isfinite(driving).all(axis=1))
        if len(rows) and dt > 0.0:
            x[rows], solved[rows] = self._by_continuation(
                start[rows], driving[rows], flow if flow.ndim == 2 else flow[rows], g_old[rows], dt
            )
        return x[:, :6], x[:, 6:], solved

    def _ratio_bound(self, driving: Array, dt: float, n: float) -> Array:
        """Return the largest ``|τ/g|`` that the strain at hand allows, ``[p]``."""
        strain = np.sqrt(np.einsum("pi,pi->p", driving, driving))
        if dt == 0.0:
            return np.full(len(strain), np.inf)
        return (2.0 * strain / (self.rate * dt)) ** (1.0 / n)

    def _by_continuation(
        self, start: Array, driving: Array, flow: Array, g_old: Array, dt: float
    ) -> tuple[Array, NDArray[np.bool_]]:
        """Solve with small exponents first and follow the solution to ``n``; the stress stays near it all the way."""
        steps = max(1, math.ceil(math.log(self.n / SOFT_EXPONENT, GROWTH)))
        ladder = [max(1.0, self.n * GROWTH ** (k - steps)) for k in range(steps)]
        x, last = start, self.n
        for n in [*ladder, self.n]:
            scale = self._ratio_bound(driving, dt, n) / self._ratio_bound(driving, dt, last)
            x = np.concatenate([x[:, :6] * scale[:, None], x[:, 6:]], axis=1)
            x, solved = self._newton(x, driving, flow, g_old, dt, n, TOLERANCE if n == self.n else ROUGH)
            last = n
        return x, solved

    def _newton(
        self, start: Array, driving: Array, flow: Array, g_old: Array, dt: float, n: float, tolerance: float
    ) -> tuple[Array, NDArray[np.bool_]]:
        """Return stress and resistances side by side, ``[p, 18]``, and which rows are solved, for an exponent ``n``."""

        def residual(x: Array, rows: Rows) -> Array:
            now = self.slip(x[:, :6], x[:, 6:], dt, n=n)
            relaxed = _along(now.increment, flow, rows)
            strain_gap = (x[:, :6] @ self.compliance + relaxed - driving[rows]) / self.strain_scale
            own = now.h * np.abs(now.increment)
            gap = x[:, 6:] - g_old[rows] - (1.0 - self.q) * own - self.q * own.sum(axis=1, keepdims=True)
            gap[~(x[:, 6:] > 0.0).all(axis=1)] = np.nan
            return np.concatenate([strain_gap, gap / self.g0], axis=1)

        def direction(x: Array, r: Array, rows: Rows) -> Array:
            now = self.slip(x[:, :6], x[:, 6:], dt, n=n)
            linear = self.linearise(now)
            kx = now.k * now.ratio
            slow = linear.inverse_hardening(self.g0 * r[:, 6:])
            right = -self.strain_scale * r[:, :6] - _along(kx * slow, flow, rows)
            step = solve_rows(linear.matrix(self.compliance, flow, rows), right)
            pull = now.h * np.sign(now.ratio) * now.k * (step @ SCHMID_SYM.T)
            return np.concatenate([step, linear.hardened(pull) - slow], axis=1)

        return newton_rows(residual, direction, start, tolerance=tolerance)

    def linearise(self, now: SlipState) -> "LinearSlip":
        """Return the derivative of slip with stress when the resistances follow; see :class:`LinearSlip`."""
        d = now.dh * np.abs(now.increment) - now.h * now.k * np.abs(now.ratio)
        delta = 1.0 / (1.0 - (1.0 - self.q) * d)
        c = self.q / (1.0 - self.q * np.sum(d * delta, axis=1, keepdims=True))
        pull = now.h * np.sign(now.ratio) * now.k
        kx = now.k * now.ratio
        weight = now.k - (1.0 - self.q) * kx * delta * pull
        return LinearSlip(weight, -c * kx * delta, pull * delta, d, delta, c, self.q)


@dataclass(frozen=True)
class LinearSlip:
    """``dΔγ/dσ = W Pᵀ`` with ``W = diag(weight) + left⊗right``, the resistances eliminated; arrays ``[q, 12]``."""

    weight: Array
    left: Array
    right: Array
    d: Array
    delta: Array
    c: Array
    q: float

    def inverse_hardening(self, vector: Array) -> Array:
        """Return ``(1 − Q diag d)⁻¹ vector``, ``[q, 12]``."""
        scaled = self.delta * vector
        return scaled + self.c * self.delta * np.sum(self.d * scaled, axis=1, keepdims=True)

    def hardened(self, pull: Array) -> Array:
        """Return ``(1 − Q diag d)⁻¹ Q pull``, ``[q, 12]``."""
        scaled = self.delta * pull
        return (1.0 - self.q) * scaled + self.c * self.delta * np.sum(scaled, axis=1, keepdims=True)

    def matrix(self, compliance: Array, flow: Array, rows: Rows | slice) -> Array:
        """Return ``S + B W Pᵀ``, the Jacobian ``[q, 6, 6]`` of the strain equation."""
        left, right = _along(self.left, flow, rows), self.right @ SCHMID_SYM
        if flow.ndim == 2:
            matrix = (self.weight @ _DYADS).reshape(-1, 6, 6)
        else:
            matrix = (flow[rows] * self.weight[:, :, None]).swapaxes(1, 2) @ SCHMID_SYM
        return matrix + compliance + left[:, :, None] * right[:, None, :]

    def by_stress(self) -> Array:
        """Return ``dΔγ/dσ``, ``[q, 12, 6]``, per unit of stress."""
        right = self.right @ SCHMID_SYM
        return self.weight[:, :, None] * SCHMID_SYM + self.left[:, :, None] * right[:, None, :]


def _along(amount: Array, flow: Array, rows: Rows | slice) -> Array:
    """Return ``Σ_α amount_α B_α``, ``[q, 6]``."""
    if flow.ndim == 2:
        return amount @ flow
    return np.matmul(amount[:, None], flow[rows])[:, 0]

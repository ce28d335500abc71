"""J2 (von Mises) plasticity with isotropic and kinematic hardening: the reference law of this package.

Backward Euler is reduced to one scalar equation in the increment of equivalent plastic strain: closed form for linear
hardening, a safeguarded Newton iteration for Voce and Armstrong–Frederick hardening. Points are evaluated in blocks
that stay in the cache, only yielding rows iterate, and the tangent is the exact derivative of the discrete update.
"""

import math
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from pointlaw.errors import InputError
from pointlaw.materials import checks
from pointlaw.materials.base import PointStatus, Response, StateLayout, StatusArray
from pointlaw.materials.blocks import BlockedMaterial
from pointlaw.materials.elastic import isotropic_stiffness
from pointlaw.materials.rows import row_norm
from pointlaw.materials.scalar import decreasing_root
from pointlaw.tensors import DEVIATORIC, SMALL_STRAIN_3D, Array

ON_SURFACE = 1e-12  # a trial stress outside by less than this share of the yield stress is still elastic
HOPELESS = 1e9  # a trial stress this many times the yield stress leaves more round-off than stress
TINY = float(np.finfo(float).tiny)
ROOT32 = math.sqrt(1.5)
_FAILED, _FINE = np.int8(PointStatus.FAILED), np.int8(PointStatus.FINE)


class J2(BlockedMaterial):
    r"""Von Mises plasticity, small strain, rate independent.

    The yield stress is ``yield_stress + H p + Q (1 − exp(−b p))`` with the equivalent plastic strain ``p``, and every
    backstress follows ``dX = 2/3 C dεᵖ − γ X dp`` (Prager where γ = 0, Armstrong–Frederick where γ > 0).

    Parameters
    ----------
    E, nu : float
        Young's modulus, unit of stress, and Poisson's ratio.
    yield_stress : float
        Initial yield stress, unit of stress.
    H : float
        Linear isotropic hardening modulus, unit of stress.
    Q, b : float
        Saturation stress (unit of stress) and rate (dimensionless) of Voce hardening.
    C, gamma : float or sequence of float
        Moduli (unit of stress) and recall constants (dimensionless) of the backstresses; ``gamma`` is 0 if omitted.

    Raises
    ------
    InputError
        For parameters outside their range. Softening (negative ``H`` or ``Q``) is accepted while
        ``3G + dσ_y/dp > 0``, where the local equation keeps one root; a point whose yield stress would fall to zero
        answers ``FAILED``. Softening without an internal length makes finite-element results depend on the mesh.

    Notes
    -----
    State: ``plastic_strain`` (6, Mandel), ``equivalent_plastic_strain`` (1), and with kinematic hardening
    ``backstress`` (6 a term, one after another, unit of stress). The tangent is symmetric unless a γ > 0.
    A trial stress beyond 1e9 times the yield stress answers ``FAILED``: round-off would be all that is left of it.
    Simo & Hughes 1998, doi 10.1007/b98904 (radial return); Armstrong & Frederick 1966 and Chaboche 1986,
    doi 10.1016/0749-6419(86)90010-0 (backstresses); Hartmann & Haupt 1993, Int. J. Numer. Methods Eng.
    36, 3801 (reduction to one scalar equation).
    """

    kinematics = SMALL_STRAIN_3D

    def __init__(
        self,
        E: float,
        nu: float,
        yield_stress: float,
        *,
        H: float = 0.0,
        Q: float = 0.0,
        b: float = 0.0,
        C: float | Sequence[float] = (),
        gamma: float | Sequence[float] | None = None,
    ):
        checks.positive("J2", E=E, yield_stress=yield_stress)
        checks.poisson_ratio("J2", nu)
        moduli = np.atleast_1d(checks.array("J2", "C", C))
        recalls = np.zeros_like(moduli) if gamma is None else np.atleast_1d(checks.array("J2", "gamma", gamma))
        checks.same_length("J2", C=moduli.tolist(), gamma=recalls.tolist())
        for k, (modulus, recall) in enumerate(zip(moduli, recalls, strict=True)):
            checks.positive("J2", **{f"C[{k}]": float(modulus)})
            checks.non_negative("J2", **{f"gamma[{k}]": float(recall)})
        self.E, self.nu, self.yield_stress, self.H, self.Q, self.b = E, nu, yield_stress, H, Q, b
        self.C, self.gamma = moduli, recalls
        self.G = E / (2.0 * (1.0 + nu))
        self._check_hardening()
        self.terms = len(moduli)
        sizes = {"plastic_strain": 6, "equivalent_plastic_strain": 1}
        self.state_layout = StateLayout(sizes | ({"backstress": 6 * self.terms} if self.terms else {}))
        self.stiffness = isotropic_stiffness(E, nu)
        self.symmetric = not bool(recalls.any())
        self._linear = self.symmetric and Q * b == 0.0
        self._shear = 2.0 * self.G * DEVIATORIC
        self._recalling = [k for k in range(self.terms) if recalls[k] > 0.0]

    def _check_hardening(self) -> None:
        checks.finite("J2", H=self.H, Q=self.Q)
        checks.non_negative("J2", b=self.b)
        self._lowest_slope = min(self.H, self.H + self.Q * self.b)
        if not 3.0 * self.G + self._lowest_slope > 0.0:
            raise InputError(
                f"J2: the yield stress falls too steeply, dσ_y/dp = {self._lowest_slope:g} with 3G = {3 * self.G:g}; "
                "the stress is unique only while 3G + dσ_y/dp > 0. Use a less negative H or Q."
            )

    def radius(self, p: Array) -> Array:
        """Return the yield stress at the equivalent plastic strain ``p[...]``."""
        linear = self.yield_stress + self.H * p
        return linear if self.Q * self.b == 0.0 else linear - self.Q * np.expm1(-self.b * p)

    def _slope(self, p: Array) -> Array | float:
        return self.H if self.Q * self.b == 0.0 else self.H + self.Q * self.b * np.exp(-self.b * p)

    def update_block(self, strain: Array, state: Array, dt: float, out: Response) -> StatusArray | None:
        """Answer by backward Euler, whatever ``dt``; see :meth:`BlockedMaterial.update_block`."""
        elastic_strain = strain - state[:, :6]
        np.matmul(elastic_strain, self.stiffness, out=out.stress)
        relative = elastic_strain @ self._shear  # trial deviator minus all backstresses
        for k in range(self.terms):
            relative -= state[:, _backstress(k)]
        radius = self.radius(state[:, 6])
        excess = ROOT32 * row_norm(relative) - radius
        out.state[...] = state
        failed = ~(excess < HOPELESS * np.abs(radius))
        yielding = (excess > ON_SURFACE * radius) & ~failed
        everywhere = bool(yielding.all())
        if out.tangent is not None and not everywhere:
            out.tangent[...] = self.stiffness
        if yielding.any():
            rows = slice(None) if everywhere else np.flatnonzero(yielding)
            failed[rows] |= self._flow(rows, relative[rows], excess[rows], state[rows], out)
        return np.where(failed, _FAILED, _FINE) if failed.any() else None

    def _flow(
        self,
        rows: slice | NDArray[np.intp],
        relative: Array,
        excess: Array,
        old: Array,
        out: Response,
    ) -> NDArray[np.bool_]:
        """Return the yielding ``rows`` to the surface; ``relative``, ``excess`` and ``old`` hold these rows only."""
        back = [old[:, _backstress(k)] for k in range(self.terms)]
        if self._linear:
            hardening = 3.0 * self.G + self.H + float(self.C.sum())
            dp = excess / hardening
            slope = np.full_like(dp, hardening)
            bad = np.zeros(len(dp), dtype=bool)
        else:
            dp, slope, bad = self._increment(relative, excess, old[:, 6], back)
        memory = {k: 1.0 / (1.0 + self.gamma[k] * dp) for k in self._recalling}
        for k in self._recalling:  # trial relative stress with the backstresses faded by 1/(1 + γ Δp)
            relative = relative + (1.0 - memory[k])[:, None] * back[k]
        length = row_norm(relative)
        normal = relative * (1.0 / length)[:, None]
        flow = normal * (ROOT32 * dp)[:, None]
        out.stress[rows] -= (2.0 * self.G) * flow
        out.state[rows, :6] += flow
        out.state[rows, 6] += dp
        for k in range(self.terms):
            new = back[k] + (2.0 / 3.0 * self.C[k]) * flow
            out.state[rows, _backstress(k)] = new * memory[k][:, None] if k in memory else new
        if out.tangent is not None:
            self._moduli(rows, normal, length, dp, slope, back, memory, out.tangent)
        if self._lowest_slope < 0.0:
            bad = bad | ~(self.radius(old[:, 6] + dp) > 0.0)
        return bad

    def _moduli(
        self,
        rows: slice | NDArray[np.intp],
        normal: Array,
        length: Array,
        dp: Array,
        slope: Array,
        back: list[Array],
        memory: dict[int, Array],
        tangent: Array,
    ) -> None:
        """Write the consistent tangent ``C − 2Gθ P_dev + v ⊗ n`` of the yielding rows."""
        twice = 2.0 * self.G
        theta = twice * ROOT32 * dp / length
        gain = 1.5 * twice * twice / slope
        vector = (twice * theta - gain)[:, None] * normal
        for k in self._recalling:
            # A fading backstress turns the flow direction: the part of X normal to n makes the tangent unsymmetric.
            along = np.einsum("pi,pi->p", normal, back[k])
            weight = gain * dp / length * self.gamma[k] * np.square(memory[k])
            vector -= weight[:, None] * (back[k] - along[:, None] * normal)
        target = tangent if isinstance(rows, slice) else np.empty((len(dp), 6, 6))
        np.multiply(vector[:, :, None], normal[:, None, :], out=target)
        target += self.stiffness - theta[:, None, None] * self._shear
        if target is not tangent:
            tangent[rows] = target

    def _increment(
        self, relative: Array, excess: Array, p: Array, back: list[Array]
    ) -> tuple[Array, Array, NDArray[np.bool_]]:
        """Solve ``√(3/2) ‖η(Δp)‖ − 3G Δp − Σ C Δp/(1+γΔp) − σ_y(p+Δp) = 0`` for ``Δp``.

        Returns Δp, the negative slope of the left side there, and which rows did not converge, each ``[p]``. The
        norm needs only the scalar products of η and the fading backstresses, so an iteration touches no tensor.
        """
        fading = self._recalling
        recall, modulus = self.gamma[fading][:, None], self.C[fading][:, None]
        stiff = 3.0 * self.G + float(self.C.sum() - self.C[fading].sum())
        vectors = [relative + sum((back[k] for k in fading), np.zeros_like(relative)), *(back[k] for k in fading)]
        gram = np.empty((len(vectors), len(vectors), len(p)))
        for i, first in enumerate(vectors):
            for j in range(i + 1):
                gram[i, j] = gram[j, i] = 1.5 * np.einsum("pi,pi->p", first, vectors[j])

        def residual(dp: Array, rows: NDArray[np.intp] | slice) -> tuple[Array, Array]:
            memory = 1.0 / (1.0 + recall * dp)
            product = gram[0][:, rows] - (gram[1:][:, :, rows] * memory[:, None]).sum(axis=0)
            square = product[0] - (memory * product[1:]).sum(axis=0)
            size = np.sqrt(np.maximum(square, TINY))
            total = p[rows] + dp
            value = size - stiff * dp - (modulus * memory).sum(axis=0) * dp - self.radius(total)
            turning = (recall * memory**2 * product[1:]).sum(axis=0) / size
            return value, turning - stiff - (modulus * memory**2).sum(axis=0) - self._slope(total)

        # Without backstress the left side exceeds this bound nowhere, so the root lies below its zero.
        reach = sum(np.sqrt(gram[k, k]) for k in range(len(vectors)))
        upper = reach / (3.0 * self.G + self._lowest_slope)
        start = excess / -residual(np.zeros_like(excess), slice(None))[1]
        dp, slope, converged = decreasing_root(residual, start, upper, tolerance=1e-13 * reach)
        return dp, -slope, ~converged


def _backstress(term: int) -> slice:
    """Place of one backstress in the state row."""
    return slice(7 + 6 * term, 13 + 6 * term)

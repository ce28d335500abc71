"""A law whose volume change is an unknown of its own, for elements that would lock.

The strain is extended by the dilatation θ and the pressure p, the stress by their conjugates, so that the three-field
principle of Simo, Taylor & Pister (1985, doi 10.1016/0045-7825(85)90033-7), W(F̄) + p (J − θ) with
F̄ = (θ/J)^(1/d) F, is an ordinary material with an ordinary tangent. It wraps any law, because the law only sees F̄.
"""

import numpy as np

from pointlaw.materials import checks
from pointlaw.materials.base import Material, Response, StatusArray
from pointlaw.tensors import Array, Kinematics


class MeanDilatation(Material):
    """``law`` at the strain whose volume change is θ instead of that of the displacement.

    Strain ``[p, m + 2]`` is the law's own, then θ and p/unit; stress is the total stress that does work on the
    displacement (the law's deviatoric part and p), then the two constraints. State and status are the law's. At finite
    strain θ stands for J = det F; at small strain for the trace, in which case ε̄ = ε + (θ − tr ε)/d · I.

    Parameters
    ----------
    law : Material
        Any law; ``d`` is its number of normal components (2 in the plane: the third is fixed).
    pressure_unit : float, optional
        Pressure that counts as 1, so that all unknowns are of similar size; by default the law's largest stiffness.
    """

    def __init__(self, law: Material, *, pressure_unit: float | None = None):
        checks.is_law("MeanDilatation", law)
        if pressure_unit is not None:
            checks.positive("MeanDilatation", pressure_unit=pressure_unit)
        own = law.kinematics
        self.collective = law.collective  # every call asks the law exactly once, so it may be
        self.law, self.state_layout, self.symmetric = law, law.state_layout, law.symmetric
        self.kinematics = Kinematics(f"{own.name}+dilatation", own.dim, (*own.components, "θ", "p"), own.finite)
        self.pressure_unit = _stiffness(law) if pressure_unit is None else pressure_unit
        self._normal = np.array([float(label[-1] == label[-2]) for label in own.components])
        self._d = float(self._normal.sum())

    def initial_state(self, points: int) -> Array:
        """Return the law's own state."""
        return self.law.initial_state(points)

    def reason(self, state: Array, status: StatusArray) -> str:
        """Return what the law says; see :meth:`Material.reason`."""
        return self.law.reason(state, status)

    def update(self, strain: Array, state: Array, dt: float, *, tangent: bool = True) -> Response:
        """Answer for strain, dilatation and pressure; see :meth:`Material.update`."""
        own, theta, p = strain[:, :-2], strain[:, -2], self.pressure_unit * strain[:, -1]
        answer = self._finite if self.kinematics.finite else self._small
        with np.errstate(all="ignore"):  # a row without a volume becomes NaN, and FAILED by it
            response = answer(own, theta, p, state, dt, tangent)
        response.stress[:, -1] *= self.pressure_unit
        if response.tangent is not None:
            response.tangent[:, -1] *= self.pressure_unit
            response.tangent[:, :, -1] *= self.pressure_unit
        return Response(response.stress, response.tangent, response.state, response.status, response.dt_factor)

    def _small(self, strain: Array, theta: Array, p: Array, state: Array, dt: float, tangent: bool) -> Response:
        one, d = self._normal, self._d
        inner = self.law.update(strain + ((theta - strain @ one) / d)[:, None] * one, state, dt, tangent=tangent)
        # ε̄ = T [ε, θ], and the stress goes back the same way.
        T = np.vstack([np.eye(len(one)) - np.outer(one, one) / d, one / d])
        stress = np.empty((len(strain), len(one) + 2))
        stress[:, :-1] = inner.stress @ T.T
        stress[:, :-2] += p[:, None] * one
        stress[:, -2] -= p
        stress[:, -1] = strain @ one - theta
        C = None
        if inner.tangent is not None:
            C = np.zeros((len(strain), stress.shape[1], stress.shape[1]))
            C[:, :-1, :-1] = T @ inner.tangent @ T.T
            C[:, :-2, -1] = C[:, -1, :-2] = one
            C[:, -2, -1] = C[:, -1, -2] = -1.0
        return Response(stress, C, inner.state, inner.status, inner.dt_factor)

    def _finite(self, F: Array, theta: Array, p: Array, state: Array, dt: float, tangent: bool) -> Response:
        n, d = len(F), int(self._d)
        matrix = F.reshape(n, d, d)
        J = np.linalg.det(matrix)
        regular = np.isfinite(J) & (J > 0) & (theta > 0)
        g = np.full((n, d, d), np.nan)
        g[regular] = np.linalg.inv(matrix[regular]).swapaxes(1, 2)
        g_vector = g.reshape(n, d * d)
        a = np.where(regular, theta / J, np.nan) ** (1.0 / d)
        F_bar = a[:, None] * F
        inner = self.law.update(F_bar, state, dt, tangent=tangent)
        P = inner.stress
        q = (P * F_bar).sum(axis=1) / d
        stress = np.empty((n, d * d + 2))
        stress[:, :-2] = a[:, None] * P + (p * J - q)[:, None] * g_vector
        stress[:, -2] = q / theta - p
        stress[:, -1] = J - theta
        if inner.tangent is None:
            return Response(stress, None, inner.state, inner.status, inner.dt_factor)
        # Changes with respect to [F, θ]: of F̄, of the scalar a, of P and of q.
        dF = np.zeros((n, d * d, d * d + 1))
        dF[:, :, :-1] = a[:, None, None] * np.eye(d * d) - F_bar[:, :, None] * g_vector[:, None, :] / d
        dF[:, :, -1] = F_bar / (d * theta)[:, None]
        da = np.concatenate([-g_vector, 1.0 / theta[:, None]], axis=1) * (a / d)[:, None]
        dP = inner.tangent @ dF
        dq = ((F_bar[:, None, :] @ dP)[:, 0] + (P[:, None, :] @ dF)[:, 0]) / d
        dg = -np.einsum("pkj,pil->pijkl", g, g).reshape(n, d * d, d * d)  # ∂F⁻ᵀ/∂F
        C = np.zeros((n, d * d + 2, d * d + 2))
        C[:, :-2, :-1] = P[:, :, None] * da[:, None, :] + a[:, None, None] * dP - g_vector[:, :, None] * dq[:, None, :]
        C[:, :-2, :-2] += (p * J)[:, None, None] * g_vector[:, :, None] * g_vector[:, None, :]
        C[:, :-2, :-2] += (p * J - q)[:, None, None] * dg
        C[:, :-2, -1] = C[:, -1, :-2] = J[:, None] * g_vector
        C[:, -2, :-1] = dq / theta[:, None]
        C[:, -2, -2] -= q / theta**2
        C[:, -2, -1] = C[:, -1, -2] = -1.0
        return Response(stress, C, inner.state, inner.status, inner.dt_factor)


def _stiffness(law: Material) -> float:
    """Return the largest stiffness of the virgin law, unit of stress."""
    tangent = law.update(law.kinematics.reference[None, :], law.initial_state(1), 1.0).tangent
    return float(np.abs(tangent).max()) if tangent is not None else 1.0

"""Hyperelastic laws that are written in isochoric invariants: one core, exact tangents.

A law gives its energy ``W(Ī₁, Ī₂, Ī₄ …)`` by first and second derivatives; the core adds the volumetric part and turns
them into ``P`` and ``∂P/∂F``. With ``C = FᵀF`` and ``J = det F`` the invariants are ``Ī₁ = J^(-2/3) tr C``,
``Ī₂ = J^(-4/3) ½(tr²C − tr C²)`` and, for every fibre direction ``a`` (unit vector), ``Ī₄ = J^(-2/3) a·C·a``; the
volumetric energy is ``U(J) = K/4 (J² − 1 − 2 ln J)`` (Simo & Hughes 1998, doi 10.1007/b98904, §9.2), convex in
J and infinite at both ends. Their gradients vanish at the identity, so every law is stress-free there.
"""

from abc import abstractmethod
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from pointlaw.materials import checks
from pointlaw.materials.base import PointStatus, Response, StatusArray
from pointlaw.materials.blocks import BlockedMaterial
from pointlaw.tensors import FINITE_STRAIN_3D, Array


@dataclass(frozen=True)
class DeformationBatch:
    """Deformation gradients with their inverses; rows with det F ≤ 0 are replaced by the identity and marked.

    ``F``: [p, 3, 3]; ``inverse``: [p, 3, 3]; ``J``: [p]; ``valid``: [p], whether det F was positive.
    """

    F: Array
    inverse: Array
    J: Array
    valid: NDArray[np.bool_]

    @classmethod
    def of(cls, strain: Array) -> "DeformationBatch":
        """Read the rows ``[p, 9]``."""
        F = strain.reshape(-1, 3, 3)
        cofactor = cofactors(F)
        J = np.einsum("pj,pj->p", F[:, 0], cofactor[:, 0])
        valid = J > 0.0  # false for NaN as well
        if not valid.all():
            F = np.where(valid[:, None, None], F, np.eye(3))
            cofactor = np.where(valid[:, None, None], cofactor, np.eye(3))
            J = np.where(valid, J, 1.0)
        return cls(F, cofactor.swapaxes(1, 2) / J[:, None, None], J, valid)

    @property
    def status(self) -> StatusArray | None:
        """``FAILED`` where the body was turned inside out; ``None`` if nowhere."""
        if self.valid.all():
            return None
        return np.where(self.valid, PointStatus.FINE, PointStatus.FAILED).astype(np.int8)


def cofactors(F: Array) -> Array:
    """Return ``cof F = det F · F^(-T)`` of ``F[p, 3, 3]``, shape ``[p, 3, 3]``: cross products of the rows."""
    a, b = F[:, [1, 2, 0]], F[:, [2, 0, 1]]
    return a[:, :, [1, 2, 0]] * b[:, :, [2, 0, 1]] - a[:, :, [2, 0, 1]] * b[:, :, [1, 2, 0]]


def volumetric_energy(K: float, J: Array) -> Array:
    """Return ``U = K/4 (J² − 1 − 2 ln J)`` of ``J[p]``, unit of stress."""
    energy: Array = 0.25 * K * (J * J - 1.0 - 2.0 * np.log(J))
    return energy


class InvariantHyperelastic(BlockedMaterial):
    """Core of the laws that are functions of isochoric invariants; see the module for their definition.

    A subclass sets ``second_invariant`` (whether Ī₂ is among its arguments) and ``fibres``, and implements
    :meth:`derivatives`.
    """

    kinematics = FINITE_STRAIN_3D
    symmetric = True
    second_invariant = False

    def __init__(self, K: float, fibres: Array | None = None):
        checks.positive(type(self).__name__, K=K)
        self.K = K
        self.fibres = np.zeros((0, 3)) if fibres is None else fibres

    @abstractmethod
    def derivatives(self, invariants: Array) -> tuple[Array, Array | None]:
        """Return the first and second derivatives of the isochoric energy.

        Parameters
        ----------
        invariants : [k, p]
            Ī₁, then Ī₂ if ``second_invariant``, then Ī₄ of every fibre family.

        Returns
        -------
        first [k, p], second [k, k, p] (``None`` if all vanish), both of the unit of stress
        """

    @abstractmethod
    def isochoric_energy(self, invariants: Array) -> Array:
        """Return W(Ī₁, Ī₂, Ī₄ …) ``[p]`` of the invariants ``[k, p]``, zero at rest; unit of stress."""

    def elastic_energy(self, strain: Array, state: Array) -> Array:
        """Return the energy per undeformed volume ``[p]`` at ``F[p, 9]``, unit of stress; NaN where det F ≤ 0."""
        body = DeformationBatch.of(strain)
        values, _, degrees = self._invariants(body)
        scaled = body.J[:, None] ** (-2.0 / 3.0 * degrees) * values
        energy = self.isochoric_energy(np.ascontiguousarray(scaled.T)) + volumetric_energy(self.K, body.J)
        return np.where(body.valid, energy, np.nan)

    def update_block(self, strain: Array, state: Array, dt: float, out: Response) -> StatusArray | None:
        """Write one block; see :meth:`BlockedMaterial.update_block`."""
        body = DeformationBatch.of(strain)
        points, J = len(body.F), body.J
        G = body.inverse.swapaxes(1, 2).reshape(points, 9)  # F^(-T), row by row
        values, raw_gradients, degrees = self._invariants(body)
        scale = J[:, None] ** (-2.0 / 3.0 * degrees)  # [p, k]
        gradients = scale[..., None] * (raw_gradients - (2.0 / 3.0 * degrees * values)[..., None] * G[:, None])
        first, second = self.derivatives(np.ascontiguousarray((scale * values).T))
        first_rows = first.T
        dU, ddU = 0.5 * self.K * (J * J - 1.0), 0.5 * self.K * (J * J + 1.0)  # J U′ and J² U″
        out.stress[...] = np.matmul(first_rows[:, None], gradients)[:, 0] + dU[:, None] * G
        out.state[...] = state
        if out.tangent is not None:
            tangent = G[:, :, None] * ((ddU + dU)[:, None] * G)[:, None, :]
            if second is not None:
                rows = np.ascontiguousarray(np.moveaxis(second, 2, 0))
                tangent += gradients.swapaxes(1, 2) @ (rows @ gradients)
            self._add_curvature(tangent, body, G, first_rows * scale, values, raw_gradients, degrees, dU)
            out.tangent[...] = tangent
        return body.status

    def _invariants(self, body: DeformationBatch) -> tuple[Array, Array, Array]:
        """Return values ``[p, k]`` and gradients ``[p, k, 9]`` of the invariants without J, and their degrees in C."""
        F, points = body.F, len(body.F)
        I1 = np.einsum("pij,pij->p", F, F)
        values, gradients, degrees = [I1], [2.0 * F], [1.0]
        if self.second_invariant:
            FC = F @ (F.swapaxes(1, 2) @ F)
            values.append(0.5 * (I1 * I1 - np.einsum("pij,pij->p", F, FC)))
            gradients.append(2.0 * (I1[:, None, None] * F - FC))
            degrees.append(2.0)
        for a in self.fibres:
            stretched = F @ a
            values.append(np.einsum("pi,pi->p", stretched, stretched))
            gradients.append(2.0 * stretched[:, :, None] * a)
            degrees.append(1.0)
        stacked = np.stack([g.reshape(points, 9) for g in gradients], axis=1)
        return np.stack(values, axis=1), stacked, np.array(degrees)

    def _add_curvature(
        self,
        tangent: Array,
        body: DeformationBatch,
        G: Array,
        weights: Array,
        values: Array,
        raw_gradients: Array,
        degrees: Array,
        dU: Array,
    ) -> None:
        """Add ``Σ W_m ∂²(invariant m)/∂F∂F`` to the tangent; ``weights[p, k]`` are ``W_m J^(-2d/3)``."""
        F, points = body.F, len(body.F)
        four = tangent.reshape(points, 3, 3, 3, 3)
        # G G parts: from the powers of J, and from ∂F^(-T)/∂F = −G_il G_kj; U contributes −J U′ to the latter.
        c = 2.0 / 3.0 * degrees
        outer = np.sum(weights * c * c * values, axis=1)
        crossed = np.sum(weights * c * values, axis=1) - dU
        mixed = np.matmul((weights * c)[:, None], raw_gradients)[:, 0]
        tangent += ((0.5 * outer)[:, None] * G - mixed)[:, :, None] * G[:, None, :]
        tangent += G[:, :, None] * ((0.5 * outer)[:, None] * G - mixed)[:, None, :]
        g = G.reshape(points, 3, 3)
        four += g[:, :, None, None, :] * (crossed[:, None, None] * g).swapaxes(1, 2)[:, None, :, :, None]
        # Second derivatives of the invariants of C themselves.
        same_row = (2.0 * weights[:, 0])[:, None, None] * np.eye(3)  # δ_ik X_jl
        offset = 1
        if self.second_invariant:
            w, offset = weights[:, 1], 2
            C = F.swapaxes(1, 2) @ F
            B = F @ F.swapaxes(1, 2)
            vec = F.reshape(points, 9)
            tangent += vec[:, :, None] * ((4.0 * w)[:, None] * vec)[:, None, :]
            four -= F[:, :, None, None, :] * ((2.0 * w)[:, None, None] * F).swapaxes(1, 2)[:, None, :, :, None]
            same_row = same_row + (2.0 * w)[:, None, None] * (values[:, 0, None, None] * np.eye(3) - C)
            for j in range(3):
                four[:, :, j, :, j] -= (2.0 * w)[:, None, None] * B
        for n, a in enumerate(self.fibres):
            same_row = same_row + (2.0 * weights[:, offset + n])[:, None, None] * np.outer(a, a)
        for i in range(3):
            four[:, i, :, i, :] += same_row

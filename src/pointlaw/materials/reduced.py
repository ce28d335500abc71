"""Laws for plane, axisymmetric and uniaxial problems, made from any three-dimensional small-strain law.

Of the six components of the law some are *kept*, some *fixed* to zero strain, and some *free*: their strain is found
so that their stress vanishes, by Newton's method with row masks, and the tangent is condensed. ``PlaneStrain``,
``PlaneStress``, ``Axisymmetric`` and ``Uniaxial`` differ in these lists only, and each is a material again.
"""

from typing import ClassVar

import numpy as np

from pointlaw.errors import InputError
from pointlaw.materials import checks
from pointlaw.materials.base import Material, Response, StatusArray, extended
from pointlaw.materials.blocks import BlockedMaterial
from pointlaw.materials.relax import relax, tangent_of
from pointlaw.materials.rows import solve_rows
from pointlaw.tensors import AXISYMMETRIC, PLANE_STRAIN, PLANE_STRESS, SMALL_STRAIN_3D, UNIAXIAL, Array


class Reduced(BlockedMaterial):
    """Common part of the four reductions; use one of them.

    State: ``fixed_stress`` (the stress of the fixed components, so that σ₃₃ of plane strain can be looked at), then
    ``free_strain`` (the strain of the free components, first guess of the next step), then the state of the law.

    Parameters
    ----------
    law : Material
        A law with ``SMALL_STRAIN_3D`` kinematics.
    tolerance : float
        A free component counts as stress free when its stress is below ``tolerance`` times stiffness times strain
        (a strain of at least 1e-6); a law with single precision inside needs about 1e-5.
    iterations : int
        Largest number of evaluations of the law; a row that needs more answers ``FAILED``.

    Raises
    ------
    InputError
        If the law is not a three-dimensional small-strain law, or an option is out of range.

    Notes
    -----
    De Borst 1991, Commun. Appl. Numer. Methods 7, 29, and Klinkel & Govindjee 2002, Eng. Comput. 19, 254, condense the
    zero-stress components of an arbitrary law in the same way.
    """

    kept: ClassVar[tuple[int, ...]]
    """Positions in Mandel order, one for each component of the reduced kinematics."""
    free: ClassVar[tuple[int, ...]] = ()
    """Positions in Mandel order whose stress is zero."""

    def __init__(self, law: Material, *, tolerance: float = 1e-12, iterations: int = 40):
        name = type(self).__name__
        checks.not_collective(name, law)
        if law.kinematics != SMALL_STRAIN_3D:
            raise InputError(
                f"{name} reduces a law with kinematics {SMALL_STRAIN_3D}; {type(law).__name__} has {law.kinematics}. "
                "Wrap the three-dimensional law, or use this one as it is."
            )
        if not 0.0 < tolerance < 1e-2:
            raise InputError(f"{name}: tolerance = {tolerance} must lie between 0 and 0.01.")
        if iterations < 1:
            raise InputError(f"{name}: iterations = {iterations} must be at least 1.")
        self.law, self.tolerance, self.iterations = law, tolerance, iterations
        self.fixed = tuple(k for k in range(6) if k not in self.kept + self.free)
        self._own = len(self.fixed) + len(self.free)
        own = {"fixed_stress": len(self.fixed), "free_strain": len(self.free)}
        self.state_layout = extended({key: size for key, size in own.items() if size}, law.state_layout)
        self.symmetric = law.symmetric

    def initial_state(self, points: int) -> Array:
        """Return the virgin state of the law, the fixed components unstressed and the free ones unstrained."""
        return np.concatenate([np.zeros((points, self._own)), self.law.initial_state(points)], axis=1)

    def reason(self, state: Array, status: StatusArray) -> str:
        """Return what the law says; see :meth:`Material.reason`."""
        return self.law.reason(state[:, self._own :], status)

    def update_block(self, strain: Array, state: Array, dt: float, out: Response) -> StatusArray | None:
        """Answer with the law's answer under the constraint; see :meth:`BlockedMaterial.update_block`."""
        full, answer = self._answer(strain, state, dt, tangent=out.tangent is not None)
        split = len(self.fixed)
        out.stress[...] = answer.stress[:, self.kept]
        out.state[:, :split] = answer.stress[:, self.fixed]
        out.state[:, split : self._own] = full[:, self.free]
        out.state[:, self._own :] = answer.state
        out.dt_factor = answer.dt_factor
        if out.tangent is not None:
            self._condense(tangent_of(answer, self.law), out.tangent)
        return answer.status

    def _answer(self, strain: Array, state: Array, dt: float, *, tangent: bool) -> tuple[Array, Response]:
        """Return the full strain ``[p, 6]`` that obeys the constraint, and the law's answer to it."""
        full = np.zeros((len(strain), 6))
        full[:, self.kept] = strain
        inner = state[:, self._own :]
        if not self.free:
            return full, self.law.update(full, inner, dt, tangent=tangent)
        full[:, self.free] = state[:, len(self.fixed) : self._own]
        return relax(
            self.law,
            full,
            inner,
            dt,
            self.free,
            np.zeros((len(full), len(self.free))),
            tolerance=self.tolerance,
            iterations=self.iterations,
        )

    def _condense(self, moduli: Array, out: Array) -> None:
        """Write ``C_kk − C_kf C_ff⁻¹ C_fk`` of ``moduli[p, 6, 6]`` into ``out[p, m, m]``."""
        kept, free = np.array(self.kept), np.array(self.free, dtype=int)
        out[...] = moduli[:, kept[:, None], kept]
        if self.free:
            coupling = moduli[:, free[:, None], kept]
            out -= moduli[:, kept[:, None], free] @ solve_rows(moduli[:, free[:, None], free], coupling)


class PlaneStrain(Reduced):
    """Plane strain: ε₃₃ = ε₂₃ = ε₁₃ = 0. The state begins with ``fixed_stress`` (σ₃₃, √2·σ₂₃, √2·σ₁₃)."""

    kinematics = PLANE_STRAIN
    kept = (0, 1, 5)


class PlaneStress(Reduced):
    """Plane stress: σ₃₃ = σ₂₃ = σ₁₃ = 0. The state begins with ``free_strain`` (ε₃₃, √2·ε₂₃, √2·ε₁₃)."""

    kinematics = PLANE_STRESS
    kept = (0, 1, 5)
    free = (2, 3, 4)


class Axisymmetric(Reduced):
    """Axial symmetry without torsion in (r, z, θ): ε_zθ = ε_rθ = 0."""

    kinematics = AXISYMMETRIC
    kept = (0, 1, 2, 5)


class Uniaxial(Reduced):
    """Uniaxial stress: only σ₁₁ differs from zero; a bar, a fibre, a truss."""

    kinematics = UNIAXIAL
    kept = (0,)
    free = (1, 2, 3, 4, 5)

"""Where the work of recorded paths went: the energy that a law stores, from strain and state alone.

The elastic energy of a law follows from its elastic strain, which its state tells; that of a volume element is the mean
over its points, whose strains follow from the fluctuation in the state. No law is asked again, so it costs a small part
of a load step whichever engine made it, and holds where a step was cut, too.
"""

from pointlaw.fem.mpi import MPI  # isort: skip  # noqa: F401 - MPI before DOLFINx

import itertools
from collections.abc import Callable
from typing import Any

import numpy as np
from scipy import sparse

from pointlaw.materials import (
    J2,
    CrystalPlasticity,
    DruckerPrager,
    FiniteJ2,
    FinitePlaneStrain,
    GeneralisedMaxwell,
    LinearElastic,
    Material,
    Ogden,
    Orthotropic,
    Perzyna,
    Rotated,
    Scaled,
    Substepped,
    TransverselyIsotropic,
)
from pointlaw.materials.finite_plane_strain import IN_PLANE
from pointlaw.materials.hyperelastic import InvariantHyperelastic
from pointlaw.materials.reduced import Reduced
from pointlaw.materials.rotated import rotation_of_strain
from pointlaw.paths import Record
from pointlaw.rve.batched import shape_gradients
from pointlaw.rve.element import VolumeElement
from pointlaw.rve.engine import FLUCTUATION, phase_variable
from pointlaw.rve.material import RVEMaterial
from pointlaw.tensors import Array

BLOCK = 4000  # points of a phase that are looked at together
StoredEnergy = Callable[[Array, Array], Array]
"""Elastic energy per volume ``[p]`` (unit of stress) at strains ``[p, m]`` and the states ``[p, s]`` reached there."""


def stored_energy(law: Material) -> StoredEnergy | None:
    """Return the elastic energy of ``law`` as a function of strain and state, or ``None`` if it is not known.

    It is known for the small-strain laws of this package whose stress is linear in an elastic strain, for hyperelastic
    laws and finite-strain J2, for their reductions, rotations and scalings, and for volume elements of them.
    """
    kind = type(law)
    if kind in (LinearElastic, Orthotropic, TransverselyIsotropic):
        return _quadratic(law.stiffness)  # type: ignore[attr-defined]
    if kind in (J2, Perzyna, DruckerPrager):
        return _plastic(law, law.stiffness)  # type: ignore[attr-defined]
    if isinstance(law, CrystalPlasticity):
        return _plastic(law, np.linalg.inv(law.slip_law.compliance))
    if isinstance(law, GeneralisedMaxwell):
        return _viscous(law)
    if isinstance(law, InvariantHyperelastic | Ogden | FiniteJ2):
        return law.elastic_energy
    if isinstance(law, RVEMaterial):
        return _cell(law.element)
    if isinstance(law, FinitePlaneStrain | Reduced | Rotated | Scaled | Substepped) and (
        inner := stored_energy(law.law)
    ):
        return _wrapped(law, inner)
    return None


def path_energies(density: StoredEnergy, record: Record) -> tuple[Array, Array]:
    """Return stored energy and dissipation ``[n, t]`` of recorded paths of the law with this energy, unit of stress.

    The energy is the elastic one. The dissipation is the work ``∫ Σ:dE`` since the start, by the trapezoidal rule, that
    is not in it: dissipated, or stored otherwise than elastically (hardening). A path is NaN after its failure.
    """
    n, t, _ = record.strain.shape
    mean = 0.5 * (record.stress[:, 1:] + record.stress[:, :-1])
    power = np.einsum("ntm,ntm->nt", mean, np.diff(record.strain, axis=1))
    work = np.concatenate([np.zeros((n, 1)), np.cumsum(power, axis=1)], axis=1)
    with np.errstate(invalid="ignore"):
        energy = np.array([density(record.strain[row], record.state[row]) for row in range(n)]).reshape(n, t)
    return energy, work - (energy - energy[:, :1])


def _quadratic(stiffness: Array) -> StoredEnergy:
    def density(strain: Array, state: Array) -> Array:
        found: Array = 0.5 * np.einsum("pi,pi->p", strain @ stiffness, strain)
        return found

    def isotropic(strain: Array, state: Array) -> Array:
        trace = strain[:, 0] + strain[:, 1] + strain[:, 2]
        found: Array = shear * np.einsum("pi,pi->p", strain, strain)
        found += 0.5 * lame * trace * trace
        return found

    lame, shear = float(stiffness[0, 1]), 0.5 * float(stiffness[5, 5])
    trace = np.array([1.0, 1.0, 1.0, 0.0, 0.0, 0.0])
    same = lame * np.outer(trace, trace) + 2.0 * shear * np.eye(6)
    return isotropic if np.allclose(same, stiffness, rtol=1e-14, atol=1e-14 * shear) else density


def _plastic(law: Material, stiffness: Array) -> StoredEnergy:
    elastic, where = _quadratic(stiffness), law.state_layout["plastic_strain"]
    return lambda strain, state: elastic(strain - state[:, where], state)


def _viscous(law: GeneralisedMaxwell) -> StoredEnergy:
    """Return the energy of the springs: the lone one under the strain, and each branch's under its overstress."""
    lone = _quadratic(law.equilibrium)
    # A branch without bulk (or shear) relaxation has no compliance there, and no overstress either.
    springs = [
        (law.state_layout[f"overstress_{i + 1}"], _quadratic(np.linalg.pinv(branch, hermitian=True)))
        for i, branch in enumerate(law.branches)
    ]

    def density(strain: Array, state: Array) -> Array:
        return sum((spring(state[:, where], state) for where, spring in springs), start=lone(strain, state))

    return density


def _wrapped(law: Any, inner: StoredEnergy) -> StoredEnergy:
    """Return the energy of a law around another, whose state ends with that of the other."""
    own = law.state_layout.size - law.law.state_layout.size

    def reduced(strain: Array, state: Array) -> Array:
        full = np.zeros((len(strain), 6))
        full[:, law.kept] = strain
        if law.free:
            full[:, law.free] = state[:, law.state_layout["free_strain"]]
        return inner(full, state[:, own:])

    def plane(strain: Array, state: Array) -> Array:
        full = np.tile(law.law.kinematics.reference, (len(strain), 1))
        full[:, IN_PLANE] = strain
        return inner(full, state)

    def rotated(strain: Array, state: Array) -> Array:
        R = state[:, :9].reshape(-1, 3, 3) if own else np.broadcast_to(law.rotation, (len(strain), 3, 3))
        Q = rotation_of_strain(R, law.kinematics)
        return inner(np.matmul(strain[:, None], Q)[:, 0], state[:, own:])

    def scaled(strain: Array, state: Array) -> Array:
        return (state[:, 0] if own else law.factor) * inner(strain, state[:, own:])

    if isinstance(law, FinitePlaneStrain):
        return plane
    if isinstance(law, Reduced):
        return reduced
    if isinstance(law, Rotated):
        return rotated
    return scaled if isinstance(law, Scaled) else lambda strain, state: inner(strain, state[:, own:])


def _cell(element: VolumeElement) -> StoredEnergy | None:
    """Return the mean energy of a volume element; ``None`` if that of a phase is not known."""
    found = {tag: stored_energy(law) for tag, law in element.phases.items()}
    densities = {tag: density for tag, density in found.items() if density is not None}
    if len(densities) < len(found):
        return None
    operators = {tag: strain_operator(element, cells) for tag, cells in element.cells.items()}
    # Strains of the points of a phase from macroscopic strain and fluctuation, and the shares of the points.
    parts = {
        tag: (B @ element.D, sparse.csr_array(B @ element.P), weight / element.volume)
        for tag, (B, weight) in operators.items()
    }
    layout, m, rest = element.state_layout, element.kinematics.size, element.kinematics.reference
    block = max(1, BLOCK // max(element.points.values()))

    def some(strain: Array, state: Array) -> Array:
        total, w = np.zeros(len(strain)), np.ascontiguousarray(state[:, layout[FLUCTUATION]].T)
        for tag, (macro, micro, share) in parts.items():
            local = np.ascontiguousarray((macro @ (strain - rest).T + micro @ w).T).reshape(-1, m) + rest
            phase = state[:, layout[phase_variable(tag)]].reshape(len(local), -1)
            total += densities[tag](local, phase).reshape(len(strain), -1) @ share
        return total

    def mean(strain: Array, state: Array) -> Array:
        # In blocks whose arrays stay in the cache.
        starts = range(0, len(strain), block)
        return np.concatenate([some(strain[k : k + block], state[k : k + block]) for k in starts])

    return mean


def strain_operator(element: VolumeElement, cells: np.ndarray) -> tuple[sparse.csr_array, Array]:
    """Return the matrix ``[p·m, n·d]`` from nodal displacements to strains, and the weights ``[p]``.

    The ``p`` points are those of ``cells``, one cell after another; strains are small ones (Mandel) or ``F − 1``.
    """
    grad, weight = shape_gradients(element, cells)
    d, m = grad.shape[3], element.kinematics.size
    shear = {2: ((0, 1),), 3: ((1, 2), (0, 2), (0, 1))}[d]
    B = np.zeros((*grad.shape[:2], m, grad.shape[2], d))
    if element.kinematics.finite:
        for i, j in itertools.product(range(d), repeat=2):
            B[:, :, d * i + j, :, i] = grad[..., j]
    else:
        for i in range(d):
            B[:, :, i, :, i] = grad[..., i]
        for row, (i, j) in enumerate(shear, start=d):
            B[:, :, row, :, i], B[:, :, row, :, j] = grad[..., j] / np.sqrt(2.0), grad[..., i] / np.sqrt(2.0)
    points, unknowns = len(cells) * grad.shape[1], grad.shape[2] * d
    dofs = d * np.asarray(element.V.dofmap.list)[cells][:, :, None] + np.arange(d)
    columns = np.broadcast_to(dofs.reshape(len(cells), 1, 1, unknowns), (len(cells), grad.shape[1], m, unknowns))
    begin = unknowns * np.arange(points * m + 1)
    shape = (points * m, d * len(element.x))
    return sparse.csr_array((B.reshape(-1), columns.reshape(-1), begin), shape=shape), weight.reshape(-1)

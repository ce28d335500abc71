"""Effective properties of a volume element: its stiffness, and where the work of a load history went.

Histories are led by :func:`pointlaw.paths.drive`, under macroscopic strain, stress or a mixture, since a volume element
is a material. What is found here needs the local fields of the recorded states, but no further solve.
"""

from pointlaw.fem.mpi import MPI  # isort: skip  # noqa: F401 - MPI before DOLFINx

import functools
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from pointlaw.errors import InputError, NotConverged
from pointlaw.materials import Material, PointStatus
from pointlaw.materials.reduced import Reduced
from pointlaw.paths import Record
from pointlaw.rve.localise import LocalFields, local_fields
from pointlaw.rve.material import RVEMaterial
from pointlaw.rve.stored import StoredEnergy, stored_energy
from pointlaw.tensors import Array

Density = Callable[[Array, Array, Array], Array]  # elastic energy [p] of local strain, stress and state


def homogenise(rve: RVEMaterial, *, dt: float = 1.0) -> Array:
    """Return the homogenised stiffness ``[m, m]`` of the virgin volume element, unit of stress.

    For linear phases it is the effective stiffness; for others the tangent at zero strain. ``dt`` matters to
    rate-dependent laws only. Raises ``NotConverged`` if the virgin cell has no answer.
    """
    answer = rve.update(rve.kinematics.reference[None], rve.initial_state(1), dt)
    if answer.tangent is None or np.asarray(answer.status)[0] == PointStatus.FAILED:
        raise NotConverged(f"{rve.element!r} has no answer at zero strain.")
    return answer.tangent[0]


@dataclass(frozen=True, eq=False)
class Energies:
    """Energies per volume of the cell along ``n`` recorded paths, unit of stress; NaN after a failure.

    Attributes
    ----------
    work : [n, t]
        Work of the macroscopic stress, ``∫ Σ:dE`` by the trapezoidal rule.
    elastic : [n, t] or None
        Mean elastic energy of the phases: ``½ σ:C⁻¹:σ`` with their virgin stiffness ``C``; at finite strain what the
        laws say they store, ``None`` if one of them does not.
    dissipation : [n, t] or None
        ``work − elastic``: dissipated, or stored otherwise than elastically (hardening).
    hill_mandel : [n, t]
        ``|⟨σ:Δε⟩ − Σ:ΔE|`` of each step relative to ``⟨‖σ‖‖Δε‖⟩``, the mean taken over the quadrature points.
    """

    work: Array
    elastic: Array | None
    dissipation: Array | None
    hill_mandel: Array


def energies(rve: RVEMaterial, record: Record) -> Energies:
    """Return where the work of recorded paths went, and how well each step obeys Hill and Mandel's condition."""
    if record.state_layout.sizes != rve.state_layout.sizes:
        raise InputError("energies: the record is not one of this volume element; their states differ.")
    n, t, _ = record.strain.shape
    change = np.diff(record.strain, axis=1)
    power = np.einsum("ntm,ntm->nt", 0.5 * (record.stress[:, 1:] + record.stress[:, :-1]), change)
    work = np.concatenate([np.zeros((n, 1)), np.cumsum(power, axis=1)], axis=1)
    stored = _stored(rve)
    elastic, gap = np.full((n, t), np.nan), np.full((n, t), np.nan)
    elastic[:, 0], gap[:, 0] = 0.0, 0.0
    for path in range(n):
        before: Array | None = None
        for step in range(1, int(record.reached[path]) + 1):
            local = local_fields(rve, record, path=path, step=step)
            flat = local.strain.reshape(-1, rve.kinematics.size)
            if before is None:
                before = local_fields(rve, record, path=path, step=step - 1).strain.reshape(flat.shape)
            stress, weights = local.stress.reshape(flat.shape), local.weights.reshape(-1) / rve.element.volume
            inner = weights @ np.einsum("pm,pm->p", stress, flat - before)
            scale = weights @ (np.linalg.norm(stress, axis=1) * np.linalg.norm(flat - before, axis=1))
            outer = record.stress[path, step] @ change[path, step - 1]
            gap[path, step] = abs(inner - outer) / scale if scale > 0.0 else 0.0
            before = flat
            if stored is not None:
                elastic[path, step] = _elastic(rve, local, stored)
    return Energies(work, None if stored is None else elastic, None if stored is None else work - elastic, gap)


def _stored(rve: RVEMaterial) -> dict[str | int, Density] | None:
    """Return the elastic energy of each phase from local strain, stress and state; ``None`` if one is not known."""
    found: dict[str | int, Density] = {}
    for tag, law in rve.element.phases.items():
        if not rve.kinematics.finite:
            found[tag] = _linear(law)
        elif (energy := stored_energy(law)) is not None:
            found[tag] = functools.partial(_without_stress, energy)
        else:
            return None
    return found


def _without_stress(energy: StoredEnergy, strain: Array, stress: Array, state: Array) -> Array:
    return energy(strain, state)


def _linear(law: Material) -> Density:
    """Return ``½ σ:C⁻¹:σ`` of the stress that a small-strain law gave."""
    compliance = _compliance(law)

    def density(strain: Array, stress: Array, state: Array) -> Array:
        full = _full_stress(law, stress, state)
        found: Array = 0.5 * np.einsum("pi,ij,pj->p", full, compliance, full)
        return found

    return density


def _elastic(rve: RVEMaterial, local: LocalFields, stored: dict[str | int, Density]) -> float:
    total = 0.0
    for tag, density in stored.items():
        cells = rve.element.cells[tag]
        strain = local.strain[cells].reshape(-1, rve.kinematics.size)
        found = density(strain, local.phase_stress[tag], local.phase_state[tag])
        total += float(local.weights[cells].reshape(-1) @ found)
    return total / rve.element.volume


def _full_stress(law: Material, stress: Array, state: Array) -> Array:
    """Return the stress with the components that a reduction keeps in its state, ``[p, 6]`` for a reduced law."""
    if not isinstance(law, Reduced):
        return stress
    full = np.zeros((len(stress), 6))
    full[:, law.kept] = stress
    full[:, law.fixed] = state[:, : len(law.fixed)]
    return full


def _compliance(law: Material) -> Array:
    inner = law.law if isinstance(law, Reduced) else law
    answer = inner.update(inner.kinematics.reference[None], inner.initial_state(1), 1.0)
    if answer.tangent is None:
        raise TypeError(f"{type(inner).__name__}.update gave no tangent though it was asked for one.")
    return np.linalg.inv(answer.tangent[0])

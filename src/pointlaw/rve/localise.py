"""The local fields inside a volume element at a recorded state: recovered without a solve, and written for ParaView.

The fluctuation in the state gives the displacement, hence the local strains; the laws, asked once more for the step
that led there, give the local stresses. That is exact, and it is checked: the laws must reach the recorded state.
"""

from pointlaw.fem.mpi import MPI  # isort: skip

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import dolfinx
import numpy as np
import ufl
from dolfinx import fem

from pointlaw.errors import InputError
from pointlaw.fem.jit import jit_options
from pointlaw.materials import PointStatus
from pointlaw.paths import Record
from pointlaw.rve.engine import FLUCTUATION
from pointlaw.rve.material import RVEMaterial
from pointlaw.tensors import Array, Kinematics


@dataclass(frozen=True, eq=False)
class LocalFields:
    """Fields of one volume element at one time; cells in the local order of the mesh.

    Attributes
    ----------
    displacement : fem.Function
        Total displacement, unit of length.
    strain, stress : [c, q, m]
        At the quadrature points of each cell (unit of stress).
    weights : [c, q]
        Volume of each quadrature point, unit of length to the power d.
    phase_stress, phase_state : dict
        For each tag stress ``[p, m]`` and state ``[p, s]``, in the order of the state of the volume element.
    kinematics : Kinematics
        Of strain and stress.
    """

    displacement: fem.Function
    strain: Array
    stress: Array
    weights: Array
    phase_stress: dict[str | int, Array]
    phase_state: dict[str | int, Array]
    kinematics: Kinematics
    _rve: RVEMaterial

    @property
    def mesh(self) -> dolfinx.mesh.Mesh:
        """Mesh of the cell."""
        return self.displacement.function_space.mesh

    def cell_mean(self, values: Array) -> Array:
        """Return the mean ``[c, ...]`` over each cell of values ``[c, q, ...]`` at its points."""
        shares = self.weights / self.weights.sum(axis=1, keepdims=True)
        mean: Array = np.einsum("cq,cq...->c...", shares, values)
        return mean

    def variable(self, name: str) -> Array:
        """Return an internal variable ``[c, q, size]`` of the phases that have it, zero in the others."""
        element = self._rve.element
        sizes = {tag: law.state_layout.sizes.get(name, 0) for tag, law in element.phases.items()}
        width = max(sizes.values())
        if width == 0:
            known = sorted({key for law in element.phases.values() for key in law.state_layout})
            raise InputError(f"No phase has an internal variable '{name}'; there are {known}.")
        field = np.zeros((*self.weights.shape, width))
        for tag, law in element.phases.items():
            if sizes[tag]:
                part = self.phase_state[tag][:, law.state_layout[name]]
                field[element.cells[tag], :, : sizes[tag]] = part.reshape(-1, self.weights.shape[1], sizes[tag])
        return field

    def write(self, path: str | Path, *, state: tuple[str, ...] = ()) -> None:
        """Write displacement, cell means of strain, stress and the named internal variables, and the phase.

        ``path`` ends in ``.bp`` (VTX, needs ADIOS2) or ``.pvd``; raises ``InputError`` for another suffix.
        """
        path = Path(path)
        fields = {"strain": self.strain, "stress": self.stress} | {name: self.variable(name) for name in state}
        functions = [_on_nodes(self.displacement)]
        for name, values in fields.items():
            functions.append(_on_cells(self.mesh, name, self.cell_mean(values)))
        phase = np.zeros((len(self.weights), 1))
        for number, cells in enumerate(self._rve.element.cells.values(), start=1):
            phase[cells] = number
        functions.append(_on_cells(self.mesh, "phase", phase))
        path.parent.mkdir(parents=True, exist_ok=True)
        if path.suffix == ".bp" and dolfinx.has_adios2:
            from dolfinx.io import VTXWriter

            with VTXWriter(self.mesh.comm, path, functions) as file:
                file.write(0.0)
        elif path.suffix == ".pvd":
            from dolfinx.io import VTKFile

            with VTKFile(self.mesh.comm, str(path), "w") as file:
                file.write_function(functions, 0.0)
        else:
            raise InputError(f"ParaView files end in .bp (needs ADIOS2) or .pvd; got {path}.")


def local_fields(rve: RVEMaterial, record: Record, *, path: int = 0, step: int = -1) -> LocalFields:
    """Return the local fields of a recorded path at the end of a step.

    Parameters
    ----------
    rve : RVEMaterial
        The volume element that was driven.
    record : Record
        What :func:`~pointlaw.paths.drive` returned.
    path, step : int
        Which path and which time of it; 0 is the start.

    Raises
    ------
    InputError
        If the path did not get there, or this step was made in parts (it was cut), so that its record does not
        determine the local stresses.
    """
    n, t = record.status.shape
    if not -n <= path < n or not -t <= step < t:
        raise InputError(f"local_fields: path {path} of {n} and step {step} of {t} times do not exist.")
    step %= t
    if step > record.reached[path]:
        raise InputError(f"Path {path} ended at step {record.reached[path]}: {record.reasons[path]}")
    old = record.state[path, max(step - 1, 0)]
    dt = float(record.times[max(step, 1)] - record.times[max(step, 1) - 1])
    return local_fields_of(rve, record.strain[path, step], record.state[path, step], old, dt)


def local_fields_of(rve: RVEMaterial, strain: Array, state: Array, old: Array, dt: float) -> LocalFields:
    """Return the local fields at ``strain[m]`` and ``state[S]``, reached from ``old[S]`` in one step ``dt``."""
    engine, element = rve.general, rve.element
    w = state[rve.state_layout[FLUCTUATION]]
    verdict = engine.evaluate(strain, w, np.ascontiguousarray(old), dt, tangent=False)
    statuses = [region.status for region in engine.regions.values()]
    if verdict.failed or any((status == PointStatus.FAILED).any() for status in statuses):
        raise InputError("The laws fail at the recorded strain; the state before is not that of this step.")
    phase_state = {tag: region.history.trial.copy() for tag, region in engine.regions.items()}
    for tag, reached in phase_state.items():
        wanted = element.phase_state(tag, state)
        if not np.allclose(reached, wanted, rtol=1e-6, atol=1e-9 * max(float(np.abs(wanted).max(initial=0.0)), 1e-12)):
            raise InputError(
                f"Phase '{tag}' does not reach the recorded state in one step: the step was cut into parts. Record the "
                "path with more steps to recover its local fields."
            )
    stress, _ = engine.fields.arrays()
    mesh = element.body.mesh
    cells = np.arange(len(stress), dtype=np.int32)
    region = next(iter(engine.regions.values()))
    gradient = fem.Expression(region.strain, engine.fields.points, jit_options=jit_options()).eval(mesh, cells)
    volume = fem.Expression(abs(ufl.JacobianDeterminant(mesh)), engine.fields.points, jit_options=jit_options()).eval(
        mesh, cells
    )
    u = fem.Function(element.V, name="displacement")
    u.x.array[:] = engine.u.x.array
    shape = stress.shape
    return LocalFields(
        displacement=u,
        strain=gradient.reshape(shape).copy(),
        stress=stress.copy(),
        weights=volume.reshape(shape[:2]) * engine.fields.weights,
        phase_stress={tag: stress[c].reshape(-1, shape[2]) for tag, c in element.cells.items()},
        phase_state=phase_state,
        kinematics=rve.kinematics,
        _rve=rve,
    )


def _on_nodes(u: fem.Function) -> fem.Function:
    mesh = u.function_space.mesh
    space = fem.functionspace(mesh, ("Lagrange", mesh.geometry.cmaps[0].degree, (mesh.geometry.dim,)))
    written = fem.Function(space, name="displacement")
    written.interpolate(u)
    return written


def _on_cells(mesh: dolfinx.mesh.Mesh, name: str, values: Array) -> fem.Function:
    width = values.shape[1]
    shape: Any = ("DG", 0, (width,)) if width > 1 else ("DG", 0)
    field = fem.Function(fem.functionspace(mesh, shape), name=name)
    field.x.array.reshape(-1, width)[: len(values)] = values
    return field


__all__ = ["MPI", "LocalFields", "local_fields", "local_fields_of"]

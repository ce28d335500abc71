"""The last converged state on disk, and a restart from it on any number of ranks.

Each rank writes one shard, keyed by the positions of nodes and cells in the undeformed body, so that another partition
finds its values again. The manifest names the shards only when all ranks have finished theirs.
"""

from pointlaw.fem.mpi import MPI, agree  # isort: skip

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import dolfinx
import h5py
import numpy as np

from pointlaw.errors import InputError
from pointlaw.fem.observe import Observer
from pointlaw.fem.problem import MechanicsProblem, StepReport
from pointlaw.fem.solution import Solution
from pointlaw.tensors import Array


class Checkpoint(Observer):
    """Write the state of a run into a folder after accepted steps; the newest complete one stays.

    Parameters
    ----------
    folder
        Where to write; made if missing.
    every
        Write each n-th accepted step; the last one of a run is always written.
    """

    def __init__(self, folder: str | Path, *, every: int = 1):
        self.folder, self.every = Path(folder), every
        self._count, self._written = 0, -1.0

    def accepted(self, problem: MechanicsProblem, report: StepReport) -> None:
        """Write if it is time."""
        self._count += 1
        if self._count % self.every == 0:
            self._write(problem)

    def finish(self, problem: MechanicsProblem, solution: Solution) -> None:
        """Write the last accepted step, also of a run that failed."""
        if self._count and self._written != problem.time:
            self._write(problem)

    def _write(self, problem: MechanicsProblem) -> None:
        save_checkpoint(self.folder, problem)
        self._written = problem.time


def save_checkpoint(folder: str | Path, problem: MechanicsProblem) -> None:
    """Write the committed state of a problem; collective. Raises ``OSError`` on all ranks if it cannot be written."""
    folder, comm, laws = Path(folder), problem.comm, _identities(problem)
    name = f"t{problem.time:.12g}"
    shard = folder / f"{name}.rank{comm.rank}.h5"
    places = _Places.of(problem)
    error: Exception | None = None
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with h5py.File(shard.with_suffix(".part"), "w") as file:
            _write_shard(file, problem, places)
        shard.with_suffix(".part").replace(shard)
    except OSError as problem_of_disk:
        error = OSError(f"The checkpoint {shard} cannot be written: {problem_of_disk}")
    agree(comm, error)
    if comm.rank == 0:
        try:
            size = _size(problem)
            manifest = {"time": problem.time, "ranks": comm.size, "name": name, "size": size, "laws": laws}
            part = folder / "latest.part"
            part.write_text(json.dumps(manifest))
            part.replace(folder / "latest.json")
            for old in folder.glob("t*.rank*.h5"):
                if not old.name.startswith(f"{name}.rank"):
                    old.unlink()
        except OSError as problem_of_disk:
            error = OSError(f"The checkpoint {folder} cannot be written: {problem_of_disk}")
    agree(comm, error)


def load_checkpoint(folder: str | Path, problem: MechanicsProblem, *, other_laws: bool = False) -> None:
    """Put a saved state into a problem of the same mesh, laws and degree, on any number of ranks; collective.

    The laws are compared by their ``identity``: class, what they wrap, and the weights of networks, but not the
    parameters of formulas. With ``other_laws`` any law whose state has the same layout goes on from the saved one.

    Raises ``InputError`` on all ranks if the folder holds no complete checkpoint, or one of another problem; the
    problem is then as it was.
    """
    folder = Path(folder)
    found = _Found.empty(problem, _Places.of(problem))
    error: Exception | None = None
    try:
        manifest = _read(folder, problem, found)
        if not other_laws:
            _check_laws(folder, manifest, problem)
    except InputError as misfit:
        error = misfit
    except (OSError, KeyError, ValueError, TypeError) as broken:
        error = InputError(f"{folder} holds no complete checkpoint: {broken}")
    agree(problem.comm, error)
    found.put_into(problem)


@dataclass
class _Places:
    """Positions of the owned nodes ``[n, 3]`` and cells ``[c, 3]``, in units of the largest coordinate."""

    nodes: Array
    cells: Array

    @classmethod
    def of(cls, problem: MechanicsProblem) -> "_Places":
        """Measure a problem; collective."""
        mesh, V = problem.body.mesh, problem.V
        x = V.tabulate_dof_coordinates()[: V.dofmap.index_map.size_local]
        owned = np.arange(mesh.topology.index_map(mesh.topology.dim).size_local, dtype=np.int32)
        middles = dolfinx.mesh.compute_midpoints(mesh, mesh.topology.dim, owned)
        unit = problem.comm.allreduce(float(np.abs(x).max(initial=0.0)), op=MPI.MAX) or 1.0
        return cls(x / unit, middles / unit)


@dataclass
class _Found:
    """What has been read so far, in the order of this rank's nodes and cells."""

    places: _Places
    time: float
    u: Array
    cell_unknowns: Array
    has_node: np.ndarray
    has_cell: np.ndarray
    regions: dict[str, dict[str, Array]]
    updates: dict[str, int]

    @classmethod
    def empty(cls, problem: MechanicsProblem, places: _Places) -> "_Found":
        regions = {}
        for tag, region in problem.regions.items():
            q = len(region.fields.points)
            values = zip(("state", "stress", "tangent"), (region.history.committed, *region.committed), strict=True)
            regions[tag] = {name: np.zeros((len(region.cells), q, *array.shape[1:])) for name, array in values}
        return cls(
            places=places,
            time=0.0,
            u=np.zeros((len(places.nodes), problem.body.mesh.geometry.dim)),
            cell_unknowns=np.zeros((len(places.cells), problem.formulation.cell_dofs.shape[1])),
            has_node=np.zeros(len(places.nodes), dtype=bool),
            has_cell=np.zeros(len(places.cells), dtype=bool),
            regions=regions,
            updates={},
        )

    def put_into(self, problem: MechanicsProblem) -> None:
        """Make this the committed state; collective."""
        dim = self.u.shape[1]
        problem.u.x.array.reshape(-1, dim)[: len(self.u)] = self.u
        problem.u.x.scatter_forward()
        unknown = problem.formulation.unknown
        unknown.x.array[problem.formulation.cell_dofs[: len(self.cell_unknowns)]] = self.cell_unknowns
        unknown.x.scatter_forward()
        for tag, region in problem.regions.items():
            everywhere = np.arange(len(region.cells))
            region.restore(everywhere, *(self.regions[tag][key] for key in ("state", "stress", "tangent")))
            region.history.updates = self.updates[tag]
        problem.time = self.time
        problem.restore()


def _size(problem: MechanicsProblem) -> dict[str, int]:
    """Return the numbers that tell one mesh and degree from most others."""
    topology = problem.body.mesh.topology
    return {
        "cells": topology.index_map(topology.dim).size_global,
        "nodes": problem.V.dofmap.index_map.size_global,
        "points a cell": len(problem.fields.points),
        "unknowns of single cells": problem.formulation.cell_dofs.shape[1],
    }


def _identities(problem: MechanicsProblem) -> dict[str, str]:
    return {tag: region.material.identity for tag, region in problem.regions.items()}


def _check_laws(folder: Path, manifest: dict[str, Any], problem: MechanicsProblem) -> None:
    """Refuse a state that another law has written: the layouts of two networks are alike, their meaning is not."""
    written = manifest.get("laws", {})  # a checkpoint of an early pointlaw names none
    for tag, here in _identities(problem).items():
        if written.get(tag) != here:
            raise InputError(
                f"{folder}: the state of region '{tag}' was written by {written.get(tag, 'a law without a name')}, the "
                f"law of this problem is {here}; if it can read that state, load it with other_laws=True."
            )


def _write_shard(file: Any, problem: MechanicsProblem, places: _Places) -> None:
    cells = len(places.cells)
    file["node"], file["cell"] = places.nodes, places.cells
    file["u"] = problem.u.x.array.reshape(-1, problem.body.mesh.geometry.dim)[: len(places.nodes)]
    file["cell_unknowns"] = problem.formulation.unknown.x.array[problem.formulation.cell_dofs[:cells]]
    for tag, region in problem.regions.items():
        group = file.create_group(f"regions/{tag}")
        group["cell"] = places.cells[region.cells]
        values = zip(("state", "stress", "tangent"), (region.history.committed, *region.committed), strict=True)
        for name, array in values:
            group[name] = array.reshape(len(region.cells), len(region.fields.points), *array.shape[1:])
        group.attrs["layout"] = json.dumps(region.material.state_layout.sizes)
        group.attrs["updates"] = region.history.updates


def _read(folder: Path, problem: MechanicsProblem, found: _Found) -> dict[str, Any]:
    """Fill ``found`` and return the manifest."""
    manifest: dict[str, Any] = json.loads((folder / "latest.json").read_text())
    found.time = float(manifest["time"])
    if manifest["size"] != _size(problem):
        raise InputError(f"{folder} was written for a mesh of {manifest['size']}; this problem has {_size(problem)}.")
    has = {tag: np.zeros(len(region.cells), dtype=bool) for tag, region in problem.regions.items()}
    for rank in range(manifest["ranks"]):
        with h5py.File(folder / f"{manifest['name']}.rank{rank}.h5", "r") as file:
            here, there = _matches(found.places.nodes, file["node"][()])
            found.u[here] = file["u"][()][there]
            found.has_node[here] = True
            here, there = _matches(found.places.cells, file["cell"][()])
            found.cell_unknowns[here] = file["cell_unknowns"][()][there]
            found.has_cell[here] = True
            if set(file["regions"]) != set(problem.regions):
                raise InputError(f"{folder} is of a problem with the regions {sorted(file['regions'])}.")
            for tag, region in problem.regions.items():
                group = file[f"regions/{tag}"]
                if json.loads(group.attrs["layout"]) != region.material.state_layout.sizes:
                    raise InputError(
                        f"{folder}: the law of region '{tag}' had the state {group.attrs['layout']}, "
                        f"this one has {region.material.state_layout.sizes}."
                    )
                here, there = _matches(found.places.cells[region.cells], group["cell"][()])
                for key, array in found.regions[tag].items():
                    array[here] = group[key][()][there]
                found.updates[tag] = int(group.attrs["updates"])
                has[tag][here] = True
    if not all(mask.all() for mask in (found.has_node, found.has_cell, *has.values())):
        raise InputError(f"{folder} does not cover this mesh; it was written for another one.")
    return manifest


def _matches(wanted: Array, present: Array) -> tuple[np.ndarray, np.ndarray]:
    """Return indices in ``wanted[n, 3]`` and in ``present[k, 3]`` of positions that are the same up to rounding."""
    here, there = np.empty(0, dtype=np.intp), np.empty(0, dtype=np.intp)
    left = np.arange(len(wanted))
    # A position that rounding moves over the edge of one grid lies well inside a cell of the other.
    for shift in (0.0, 0.5):
        _, mine, theirs = np.intersect1d(_keys(wanted[left], shift), _keys(present, shift), return_indices=True)
        here, there = np.append(here, left[mine]), np.append(there, theirs)
        left = np.delete(left, mine)
    return here, there


def _keys(x: Array, shift: float) -> np.ndarray:
    rounded = np.ascontiguousarray(np.floor(x * 2.0**30 + shift)).astype(np.int64)
    return rounded.view([("", np.int64)] * rounded.shape[1]).ravel()

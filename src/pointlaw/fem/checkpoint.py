"""The last converged state on disk, and a restart from it on any number of ranks.

Each rank writes one shard, keyed by the positions of cells in the undeformed body and of the nodes in each cell (the
lips of a crack share places, not cells), so that another partition finds its values again. The manifest names the
shards only when all ranks have finished theirs.
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
from pointlaw.fem.arc_length import ArcLength
from pointlaw.fem.observe import Observer, at_least_one
from pointlaw.fem.problem import MechanicsProblem, StepReport
from pointlaw.fem.solution import Solution
from pointlaw.tensors import Array

# Positions that rounding may part, in units of the largest coordinate.
_NEAR = 2.0**-29


class Checkpoint(Observer):
    """Write the state of a run into a folder after accepted steps; the newest complete one stays.

    Parameters
    ----------
    folder
        Where to write; made if missing.
    every
        Write each n-th accepted step, ``1`` or more; the last one of a run is always written, unless the run ends by an
        error that one rank alone has.
    """

    def __init__(self, folder: str | Path, *, every: int = 1):
        self.folder, self.every = Path(folder), at_least_one("Checkpoint", every)
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


def save_checkpoint(folder: str | Path, problem: MechanicsProblem | ArcLength) -> None:
    """Write the committed state of a problem, with load factor and direction of an :class:`ArcLength`; collective.

    Raises ``OSError`` on all ranks if it cannot be written.
    """
    folder, comm, laws = Path(folder), problem.comm, _identities(problem)
    name = f"t{problem.time:.12g}"
    shard = folder / f"{name}.rank{comm.rank}.h5"
    places = _Places.of(problem)
    direction = problem.direction if isinstance(problem, ArcLength) else None
    error: Exception | None = None
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with h5py.File(shard.with_suffix(".part"), "w") as file:
            _write_shard(file, problem, places)
            if direction is not None:
                file["direction"] = direction
        shard.with_suffix(".part").replace(shard)
    except OSError as problem_of_disk:
        error = OSError(f"The checkpoint {shard} cannot be written: {problem_of_disk}")
    agree(comm, error)
    if comm.rank == 0:
        try:
            size = _size(problem)
            manifest = {"time": problem.time, "ranks": comm.size, "name": name, "size": size, "laws": laws}
            if isinstance(problem, ArcLength):
                manifest["path"] = {"load": problem.load, "moved": problem.moved}
            part = folder / "latest.part"
            part.write_text(json.dumps(manifest))
            part.replace(folder / "latest.json")
            for old in folder.glob("t*.rank*.h5"):
                if not old.name.startswith(f"{name}.rank"):
                    old.unlink()
        except OSError as problem_of_disk:
            error = OSError(f"The checkpoint {folder} cannot be written: {problem_of_disk}")
    agree(comm, error)


def load_checkpoint(folder: str | Path, problem: MechanicsProblem | ArcLength, *, other_laws: bool = False) -> None:
    """Put a saved state into a problem of the same mesh, laws and degree, on any number of ranks; collective.

    The laws are compared by their ``identity``: class, what they wrap, and the weights of networks, but not the
    parameters of formulas. With ``other_laws`` any law whose state has the same layout goes on from the saved one.

    An :class:`ArcLength` goes on along its path, in its direction, from the checkpoint of another one. A
    :class:`MechanicsProblem` takes such a checkpoint too; its time is then the load factor.

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
    """Positions of nodes ``[n, 3]`` and cells ``[c, 3]`` of a rank, ghosts included.

    Their unit is the largest coordinate. ``cell_nodes[c, k]`` are the nodes of each cell; the first ``owned`` cells
    belong to the rank.
    """

    nodes: Array
    cells: Array
    cell_nodes: np.ndarray
    owned: int

    @classmethod
    def of(cls, problem: MechanicsProblem | ArcLength) -> "_Places":
        """Measure a problem; collective."""
        mesh, V = problem.body.mesh, problem.V
        x = V.tabulate_dof_coordinates()
        cells = V.dofmap.list
        middles = dolfinx.mesh.compute_midpoints(mesh, mesh.topology.dim, np.arange(len(cells), dtype=np.int32))
        unit = problem.comm.allreduce(float(np.abs(x).max(initial=0.0)), op=MPI.MAX) or 1.0
        return cls(x / unit, middles / unit, cells, mesh.topology.index_map(mesh.topology.dim).size_local)

    def matches(self, file: Any) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
        """Find the cells of a shard: their indices here and there, and those of their nodes, ``[cells, k]`` each."""
        nodes = file["node"][()]
        here, there = _matches(self.cells, file["cell"][()])
        mine, theirs = self.cell_nodes[here], file["cell_nodes"][()][there]
        # The order of the nodes in a cell is that of the mesh file, but on the edges of elements of degree 3 and more.
        turned = np.flatnonzero(np.abs(self.nodes[mine] - nodes[theirs]).max(axis=(1, 2), initial=0.0) > _NEAR)
        apart = np.abs(self.nodes[mine[turned]][:, :, None] - nodes[theirs[turned]][:, None]).max(axis=3)
        theirs[turned] = np.take_along_axis(theirs[turned], apart.argmin(axis=2), axis=1)
        same = np.abs(self.nodes[mine] - nodes[theirs]).max(axis=(1, 2), initial=0.0) <= _NEAR
        return here[same], there[same], mine[same], theirs[same]


@dataclass
class _Found:
    """What has been read so far, in the order of this rank's nodes and cells."""

    places: _Places
    u: Array
    direction: Array
    cell_unknowns: Array
    has_cell: np.ndarray
    regions: dict[str, dict[str, Array]]
    updates: dict[str, int]
    time: float = 0.0
    path: dict[str, Any] | None = None

    @classmethod
    def empty(cls, problem: MechanicsProblem | ArcLength, places: _Places) -> "_Found":
        regions = {}
        for tag, region in problem.regions.items():
            q = len(region.fields.points)
            values = zip(("state", "stress", "tangent"), (region.history.committed, *region.committed), strict=True)
            regions[tag] = {name: np.zeros((len(region.cells), q, *array.shape[1:])) for name, array in values}
        return cls(
            places=places,
            u=np.zeros((len(places.nodes), problem.body.mesh.geometry.dim)),
            direction=np.zeros((len(places.nodes), problem.body.mesh.geometry.dim)),
            cell_unknowns=np.zeros((len(places.cells), problem.formulation.cell_dofs.shape[1])),
            has_cell=np.zeros(len(places.cells), dtype=bool),
            regions=regions,
            updates={},
        )

    def put_into(self, problem: MechanicsProblem | ArcLength) -> None:
        """Make this the committed state; collective."""
        problem.u.x.array[:] = self.u.ravel()
        problem.formulation.unknown.x.array[problem.formulation.cell_dofs] = self.cell_unknowns
        for tag, region in problem.regions.items():
            everywhere = np.arange(len(region.cells))
            region.restore(everywhere, *(self.regions[tag][key] for key in ("state", "stress", "tangent")))
            region.history.updates = self.updates[tag]
        plain = problem.problem if isinstance(problem, ArcLength) else problem
        plain.time = self.time if self.path is None else self.path["load"]
        plain.restore()
        if isinstance(problem, ArcLength) and self.path is not None:
            problem.resume(self.time, self.direction if self.path["moved"] else None)


def _size(problem: MechanicsProblem | ArcLength) -> dict[str, int]:
    """Return the numbers that tell one mesh and degree from most others."""
    topology = problem.body.mesh.topology
    return {
        "cells": topology.index_map(topology.dim).size_global,
        "nodes": problem.V.dofmap.index_map.size_global,
        "points a cell": len(problem.fields.points),
        "unknowns of single cells": problem.formulation.cell_dofs.shape[1],
    }


def _identities(problem: MechanicsProblem | ArcLength) -> dict[str, str]:
    return {tag: region.material.identity for tag, region in problem.regions.items()}


def _check_laws(folder: Path, manifest: dict[str, Any], problem: MechanicsProblem | ArcLength) -> None:
    """Refuse a state that another law has written: the layouts of two networks are alike, their meaning is not."""
    written = manifest.get("laws", {})  # a checkpoint of an early pointlaw names none
    for tag, here in _identities(problem).items():
        if written.get(tag) != here:
            raise InputError(
                f"{folder}: the state of region '{tag}' was written by {written.get(tag, 'a law without a name')}, the "
                f"law of this problem is {here}; if it can read that state, load it with other_laws=True."
            )


def _write_shard(file: Any, problem: MechanicsProblem | ArcLength, places: _Places) -> None:
    # The committed values: those of the functions may be of a step that is being tried.
    unknowns, dofs = problem.committed_unknowns, problem.formulation.displacement_dofs()
    file["node"], file["cell"] = places.nodes, places.cells[: places.owned]
    file["cell_nodes"] = places.cell_nodes[: places.owned]
    file["u"] = (unknowns if dofs is None else unknowns[dofs]).reshape(-1, problem.body.mesh.geometry.dim)
    file["cell_unknowns"] = unknowns[problem.formulation.cell_dofs[: places.owned]]
    for tag, region in problem.regions.items():
        group = file.create_group(f"regions/{tag}")
        group["cell"] = places.cells[region.cells]
        values = zip(("state", "stress", "tangent"), (region.history.committed, *region.committed), strict=True)
        for name, array in values:
            group[name] = array.reshape(len(region.cells), len(region.fields.points), *array.shape[1:])
        group.attrs["layout"] = json.dumps(region.material.state_layout.sizes)
        group.attrs["updates"] = region.history.updates


def _read(folder: Path, problem: MechanicsProblem | ArcLength, found: _Found) -> dict[str, Any]:
    """Fill ``found`` and return the manifest."""
    manifest: dict[str, Any] = json.loads((folder / "latest.json").read_text())
    found.time, found.path = float(manifest["time"]), manifest.get("path")
    if manifest["size"] != _size(problem):
        raise InputError(f"{folder} was written for a mesh of {manifest['size']}; this problem has {_size(problem)}.")
    if isinstance(problem, ArcLength) and found.path is None:
        raise InputError(
            f"{folder} was written by a MechanicsProblem and knows no direction along a path: "
            "load it into the problem, and make the ArcLength from that."
        )
    has = {tag: np.zeros(len(region.cells), dtype=bool) for tag, region in problem.regions.items()}
    for rank in range(manifest["ranks"]):
        with h5py.File(folder / f"{manifest['name']}.rank{rank}.h5", "r") as file:
            if "cell_nodes" not in file:
                raise InputError(
                    f"{folder} was written by an early pointlaw, whose checkpoints do not tell nodes at one place "
                    "apart; run from the start, and write a new one."
                )
            here, there, mine, theirs = found.places.matches(file)
            if found.has_cell[here].any() or len(np.unique(_keys(file["cell"][()], 0.0))) < len(file["cell"]):
                raise InputError(f"{folder}: cells that lie at one place cannot be told apart.")
            found.u[mine] = file["u"][()][theirs]
            if found.path is not None and found.path["moved"]:
                found.direction[mine] = file["direction"][()][theirs]
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
    if not all(mask.all() for mask in (found.has_cell, *has.values())):
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

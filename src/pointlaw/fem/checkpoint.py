"""The last converged state on disk, and a restart from it on any number of ranks.

Each rank writes one shard, keyed by the numbers that cells and nodes had in the mesh file, so that another partition
finds its values again. Shards appear under their final name only when all ranks have finished theirs.
"""

from pointlaw.fem.mpi import MPI, agree  # isort: skip

import json
from pathlib import Path
from typing import TYPE_CHECKING

import h5py
import numpy as np

from pointlaw.errors import InputError
from pointlaw.fem.observe import Observer
from pointlaw.fem.problem import MechanicsProblem, StepReport
from pointlaw.tensors import Array

if TYPE_CHECKING:
    from pointlaw.fem.march import Solution


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

    def finish(self, problem: MechanicsProblem, solution: "Solution") -> None:
        """Write the last accepted step, also of a run that failed."""
        if self._count and self._written != problem.time:
            self._write(problem)

    def _write(self, problem: MechanicsProblem) -> None:
        save_checkpoint(self.folder, problem)
        self._written = problem.time


def save_checkpoint(folder: str | Path, problem: MechanicsProblem) -> None:
    """Write the committed state of a problem; collective. Raises ``OSError`` on all ranks if a disk is full."""
    folder, comm = Path(folder), problem.comm
    folder.mkdir(parents=True, exist_ok=True)
    name = f"t{problem.time:.12g}"
    shard = folder / f"{name}.rank{comm.rank}.h5"
    error: Exception | None = None
    try:
        with h5py.File(shard.with_suffix(".part"), "w") as file:
            file["node"], file["position"], file["u"] = _nodes(problem)
            file["cell"], file["cell_unknowns"] = _cell_unknowns(problem)
            for tag, region in problem.regions.items():
                group = file.create_group(f"regions/{tag}")
                group["cell"] = problem.body.mesh.topology.original_cell_index[region.cells]
                per_cell = (len(region.cells), len(region.fields.points), -1)
                layout = region.material.state_layout
                state = region.history.committed
                group["state"] = state.reshape(*per_cell[:2], layout.size)
                stress, tangent = region.committed
                group["stress"] = stress.reshape(*per_cell[:2], stress.shape[1])
                group["tangent"] = tangent.reshape(*per_cell[:2], *tangent.shape[1:])
                group.attrs["layout"] = json.dumps(layout.sizes)
                group.attrs["updates"] = region.history.updates
        shard.with_suffix(".part").replace(shard)
    except OSError as problem_of_disk:
        error = OSError(f"The checkpoint {shard} cannot be written: {problem_of_disk}")
    agree(comm, error)
    if comm.rank == 0:
        manifest = {"time": problem.time, "ranks": comm.size, "name": name}
        part = folder / "latest.part"
        part.write_text(json.dumps(manifest))
        part.replace(folder / "latest.json")
        for old in folder.glob("t*.rank*.h5"):
            if not old.name.startswith(f"{name}.rank"):
                old.unlink()
    comm.Barrier()


def load_checkpoint(folder: str | Path, problem: MechanicsProblem) -> None:
    """Put a saved state into a problem of the same mesh, laws and degree, on any number of ranks; collective.

    Raises ``InputError`` on all ranks if the folder holds no complete checkpoint, or one of another problem.
    """
    folder = Path(folder)
    error: Exception | None = None
    try:
        _load(folder, problem)
    except (OSError, KeyError, json.JSONDecodeError) as broken:
        error = InputError(f"{folder} holds no complete checkpoint: {broken}")
    except InputError as misfit:
        error = misfit
    agree(problem.comm, error)
    problem.u.x.scatter_forward()
    problem.formulation.unknown.x.scatter_forward()
    problem.restore()


def _load(folder: Path, problem: MechanicsProblem) -> None:
    manifest = json.loads((folder / "latest.json").read_text())
    shards = [folder / f"{manifest['name']}.rank{rank}.h5" for rank in range(manifest["ranks"])]
    nodes, _, _ = _nodes(problem)
    dim = problem.body.mesh.geometry.dim
    u = problem.u.x.array.reshape(-1, dim)[: len(nodes)]
    found_nodes = np.zeros(len(nodes), dtype=bool)
    found = {tag: np.zeros(len(region.cells), dtype=bool) for tag, region in problem.regions.items()}
    for shard in shards:
        with h5py.File(shard, "r") as file:
            here, there = _matches(nodes, file["node"][()])
            u[here] = file["u"][()][there]
            found_nodes[here] = True
            numbers, _ = _cell_unknowns(problem)
            here, there = _matches(numbers, file["cell"][()])
            dofs = problem.formulation.cell_dofs[here]
            if file["cell_unknowns"].shape[1:] != dofs.shape[1:]:
                raise InputError(f"{folder} was written with another formulation.")
            problem.formulation.unknown.x.array[dofs] = file["cell_unknowns"][()][there]
            if set(file["regions"]) != set(problem.regions):
                raise InputError(f"{folder} is of a problem with the regions {sorted(file['regions'])}.")
            for tag, region in problem.regions.items():
                group = file[f"regions/{tag}"]
                if json.loads(group.attrs["layout"]) != region.material.state_layout.sizes:
                    raise InputError(
                        f"{folder}: the law of region '{tag}' had the state {group.attrs['layout']}, "
                        f"this one has {region.material.state_layout.sizes}."
                    )
                here, there = _matches(problem.body.mesh.topology.original_cell_index[region.cells], group["cell"][()])
                region.restore(here, *(group[key][()][there] for key in ("state", "stress", "tangent")))
                region.history.updates = int(group.attrs["updates"])
                found[tag][here] = True
    if not all(mask.all() for mask in (found_nodes, *found.values())):
        raise InputError(f"{folder} does not cover this mesh; it was written for another one.")
    problem.time = float(manifest["time"])


def _nodes(problem: MechanicsProblem) -> tuple[np.ndarray, Array, Array]:
    """Return keys ``[n, 3]``, coordinates and displacements of the owned nodes.

    The key is the position in units of 1e-9 of the body, because nodes of degree 2 have no number in the mesh file.
    """
    dim = problem.body.mesh.geometry.dim
    owned = problem.V.dofmap.index_map.size_local
    x = problem.V.tabulate_dof_coordinates()[:owned]
    size = problem.comm.allreduce(float(np.abs(x).max(initial=0.0)), op=MPI.MAX) or 1.0
    return np.round(x / size * 2**30).astype(np.int64), x, problem.u.x.array.reshape(-1, dim)[:owned]


def _cell_unknowns(problem: MechanicsProblem) -> tuple[np.ndarray, Array]:
    """Return the numbers of the owned cells in the mesh file and their unknowns ``[cells, k]``."""
    topology = problem.body.mesh.topology
    owned = topology.index_map(topology.dim).size_local
    values = problem.formulation.unknown.x.array[problem.formulation.cell_dofs[:owned]]
    return topology.original_cell_index[:owned], values


def _matches(wanted: np.ndarray, present: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return positions in ``wanted`` and in ``present`` of their common keys, numbers ``[n]`` or rows ``[n, k]``."""
    wanted, present = (_sortable(keys) for keys in (wanted, present))
    _, here, there = np.intersect1d(wanted, present, return_indices=True)
    return here, there


def _sortable(keys: np.ndarray) -> np.ndarray:
    if keys.ndim == 1:
        return keys
    return np.ascontiguousarray(keys).view([("", keys.dtype)] * keys.shape[1]).ravel()

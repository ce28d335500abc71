"""Cells and their values on rank 0, for pictures of meshes that fit one machine."""

from pointlaw.fem.mpi import MPI  # isort: skip  # noqa: F401 - MPI first

import basix
import numpy as np

from pointlaw.fem.problem import MechanicsProblem
from pointlaw.tensors import Array


def gather_cells(problem: MechanicsProblem, values: Array, *, scale: float = 0.0) -> tuple[Array, Array] | None:
    """Return the corners and values of all cells on rank 0, ``None`` on the others; collective.

    Parameters
    ----------
    problem
        The problem whose mesh is meant.
    values : [owned cells, ...]
        One entry for each cell of this rank.
    scale : float
        Factor of the displacement that is added to the corners; 0 draws the undeformed body.

    Returns
    -------
    corners : [cells, corners, gdim]
        Corners of each cell; of quadrilaterals in the order around the cell; unit of length.
    values : [cells, ...]
        The values in the same order.
    """
    mesh = problem.body.mesh
    owned = mesh.topology.index_map(mesh.topology.dim).size_local
    count = len(basix.geometry(mesh.basix_cell()))
    order = [0, 1, 3, 2] if mesh.topology.cell_name() == "quadrilateral" else list(range(count))
    dim = mesh.geometry.dim
    corners = mesh.geometry.x[mesh.geometry.dofmaps[0][:owned, order], :dim].copy()
    if scale:
        # The first dofs of a Lagrange cell are its corners, in the order of the geometry.
        dofs = problem.u.function_space.dofmap.list[:owned, order]
        corners += scale * problem.u.x.array.reshape(-1, dim)[dofs]
    parts = mesh.comm.gather((corners, np.asarray(values)[:owned]))
    if parts is None:
        return None
    return np.concatenate([p[0] for p in parts]), np.concatenate([p[1] for p in parts])

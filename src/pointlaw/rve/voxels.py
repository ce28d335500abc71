"""Meshes of voxel images: one quadrilateral or hexahedron a voxel, voids left out, no mesher needed.

Opposite faces match by construction, and cells are numbered as the voxels are (last axis fastest), so that local fields
can be laid back over the image.
"""

from pointlaw.fem.mpi import MPI  # isort: skip

from collections.abc import Collection, Mapping, Sequence
from typing import Any

import basix.ufl
import dolfinx
import numpy as np
import ufl

from pointlaw.errors import InputError
from pointlaw.fem.tagged_mesh import TaggedMesh
from pointlaw.tensors import Array


def voxel_mesh(
    image: np.ndarray,
    size: Sequence[float] | Array,
    *,
    voids: Collection[int] = (),
    names: Mapping[str, int] | None = None,
    source: str = "the voxel image",
    comm: Any = None,
) -> TaggedMesh:
    """Return the mesh of a voxel image whose tags are the cell tags.

    Parameters
    ----------
    image : int [nx, ny] or [nx, ny, nz]
        Tag of each voxel; the first axis is x.
    size : [d]
        Lengths of the box, unit of length.
    voids : collection of int
        Tags whose voxels are left out.
    names
        Names of the tags.
    source
        What messages call the mesh.
    comm
        MPI communicator, ``COMM_SELF`` if omitted; a larger one spreads the mesh for a simulation of the whole.
    """
    comm = MPI.COMM_SELF if comm is None else comm
    dim = image.ndim
    if dim not in (2, 3) or image.size == 0:
        raise InputError(f"A voxel image has 2 or 3 axes and at least one voxel; got shape {image.shape}.")
    solid = np.flatnonzero(~np.isin(image, list(voids)).ravel())
    if not len(solid):
        raise InputError(f"All voxels of {source} are void (tags {sorted(voids)}); there is nothing to mesh.")
    place = np.stack(np.unravel_index(solid, image.shape), axis=1)
    # The corners of a cell in DOLFINx' order: x fastest.
    corners = np.stack(np.unravel_index(np.arange(2**dim), (2,) * dim)[::-1], axis=1)
    nodes_shape = tuple(n + 1 for n in image.shape)
    cells = np.ravel_multi_index(tuple(np.moveaxis(place[:, None] + corners, 2, 0)), nodes_shape)
    used, cells = np.unique(cells, return_inverse=True)
    lengths = np.asarray(size, dtype=float)
    x = np.stack(np.unravel_index(used, nodes_shape), axis=1) / np.array(image.shape) * lengths
    kind = {2: "quadrilateral", 3: "hexahedron"}[dim]
    domain = ufl.Mesh(basix.ufl.element("Lagrange", kind, 1, shape=(dim,)))
    cells = cells.reshape(-1, 2**dim).astype(np.int64)
    if comm.rank:
        cells, x = cells[:0], x[:0]
    mesh = dolfinx.mesh.create_mesh(comm, cells, domain, np.ascontiguousarray(x))
    owned = np.arange(mesh.topology.index_map(dim).size_local, dtype=np.int32)
    values = image.ravel()[solid][mesh.topology.original_cell_index[owned]].astype(np.int32)
    tags = dolfinx.mesh.meshtags(mesh, dim, owned, values)
    named = {name: (dim, int(tag)) for name, tag in (names or {}).items() if tag not in voids}
    return TaggedMesh(mesh, tags, None, named, source, (np.zeros(dim), lengths))

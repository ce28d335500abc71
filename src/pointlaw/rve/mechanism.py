"""Whether the solid of a cell can move without strain: parts that hang loose, or turn about hinges.

Cells that share facets move as one, so a motion without strain is a rigid motion of each such part. Parts agree where
they touch, in points (or edges), and the boundary condition has to admit the motion: a small linear system in the rigid
motions, whatever the laws and the units are. Stiffnesses would tell as much only up to the round-off of their pivots.
"""

from pointlaw.fem.mpi import MPI  # isort: skip  # noqa: F401 - MPI before DOLFINx

import dolfinx
import numpy as np
from numpy.typing import NDArray
from scipy import sparse
from scipy.sparse import csgraph, linalg

from pointlaw.tensors import Array

Indices = NDArray[np.intp]
NO_RESISTANCE = 1e-10  # squared, of motions of size one; a motion without strain leaves squares of round-off


def loose_parts(mesh: dolfinx.mesh.Mesh, cell_nodes: NDArray[np.int32], x: Array, P: sparse.csr_array) -> list[Array]:
    """Return the middles ``[d]`` of the parts that can move without strain, the smallest part first.

    Parameters
    ----------
    mesh
        The solid, on one rank.
    cell_nodes : int [cells, k]
        Nodes of each cell.
    x : [n, d]
        Coordinates of the nodes, unit of length.
    P : sparse [n, free]
        The admissible fluctuations of the nodes, for one component.
    """
    count, part = _parts(mesh)
    if count == 1:
        return []  # the constraints leave out the rigid motions of the whole
    pairs = np.unique(np.stack([np.repeat(part, cell_nodes.shape[1]), cell_nodes.ravel()]), axis=1)
    owner, node = pairs  # which part has which node
    middles = np.stack([np.bincount(owner, x[node, axis]) for axis in range(x.shape[1])], axis=1)
    middles /= np.bincount(owner)[:, None]
    motion = _null_vector(_conditions(owner, node, _rigid(owner, x[node], middles), P))
    if motion is None:
        return []
    motion = motion.reshape(count, -1)
    order = np.argsort(np.bincount(owner), kind="stable")
    d = x.shape[1]
    motion[:, :d] -= motion[order[-1], :d].copy()  # which part the held node is on says nothing
    moving = np.linalg.norm(motion, axis=1) > 1e-6 * np.abs(motion).max()
    return [middles[k] for k in order if moving[k]]


def _parts(mesh: dolfinx.mesh.Mesh) -> tuple[int, Indices]:
    """Return the number of parts whose cells hang together in facets, and the part of each cell."""
    tdim = mesh.topology.dim
    mesh.topology.create_connectivity(tdim - 1, tdim)
    links = mesh.topology.connectivity(tdim - 1, tdim)
    inner = links.offsets[:-1][np.diff(links.offsets) == 2]
    cells = mesh.topology.index_map(tdim).size_local
    pairs = (np.ones(len(inner)), (links.array[inner], links.array[inner + 1]))
    count, part = csgraph.connected_components(sparse.coo_array(pairs, shape=(cells, cells)), directed=False)
    return int(count), part.astype(np.intp)


def _rigid(owner: Indices, x: Array, middles: Array) -> sparse.csr_array:
    """Return the displacements ``[p·d, parts·q]`` of nodes at ``x[p, d]`` by the rigid motions of their parts.

    A part turns about its middle, and by as much as moves its farthest node by one.
    """
    (p, d), parts = x.shape, len(middles)
    away = x - middles[owner]
    radius = np.zeros(parts)
    np.maximum.at(radius, owner, np.linalg.norm(away, axis=1))
    away /= radius[owner, None]
    planes = ((0, 1),) if d == 2 else ((0, 1), (2, 0), (1, 2))
    q = d + len(planes)
    moved = np.zeros((p, d, q))
    moved[:, range(d), range(d)] = 1.0
    for k, (i, j) in enumerate(planes, start=d):
        moved[:, i, k], moved[:, j, k] = -away[:, j], away[:, i]
    rows = np.broadcast_to(np.arange(p * d).reshape(p, d, 1), moved.shape)
    columns = np.broadcast_to((q * owner)[:, None, None] + np.arange(q), moved.shape)
    entries = (moved.ravel(), (rows.ravel(), columns.ravel()))
    return sparse.csr_array(sparse.coo_array(entries, shape=(p * d, parts * q)))


def _conditions(owner: Indices, node: Indices, rigid: sparse.csr_array, P: sparse.csr_array) -> sparse.csr_array:
    """Return the matrix whose null space are motions that agree where parts touch, and that are ``P w``."""
    d, n = rigid.shape[0] // len(owner), P.shape[0]
    P = P.copy()
    P.eliminate_zeros()
    first = np.full(n, len(owner))
    np.minimum.at(first, node, np.arange(len(owner)))
    again = np.flatnonzero(first[node] != np.arange(len(owner)))
    agree = _rows(rigid, again, d) - _rows(rigid, first[node[again]], d)
    # A free unknown is the value of a node; what follows from those values must be the motion itself.
    lonely = np.flatnonzero((np.diff(P.indptr) == 1) & (np.add.reduceat(np.append(P.data, 0.0), P.indptr[:-1]) == 1.0))
    unknown, where = np.unique(P.indices[P.indptr[lonely]], return_index=True)
    value = sparse.coo_array((np.ones(len(unknown)), (unknown, lonely[where])), shape=P.shape[::-1])
    follow = sparse.csr_array(sparse.eye_array(n) - P @ sparse.csr_array(value))
    follow.eliminate_zeros()
    bound = np.flatnonzero(np.diff(follow.indptr))
    admitted = sparse.kron(follow[bound], sparse.eye_array(d)) @ _rows(rigid, first, d)
    return sparse.csr_array(sparse.vstack([agree, admitted]))


def _rows(matrix: sparse.csr_array, points: Indices, d: int) -> sparse.csr_array:
    """Return the ``d`` rows of each of these points."""
    return matrix[(d * points[:, None] + np.arange(d)).ravel()]


def _null_vector(conditions: sparse.csr_array) -> Array | None:
    """Return a unit vector that is nowhere opposed, one out of all of them, or ``None`` if there is none."""
    normal = sparse.csc_array(conditions.T @ conditions)
    size = normal.shape[0]
    shift = 1e-13 * float(normal.diagonal().max())
    factor = linalg.splu(normal + sparse.csc_array(shift * sparse.eye_array(size)))
    vector = np.random.default_rng(0).normal(size=size)
    for _ in range(8):  # inverse iteration
        vector = factor.solve(vector)
        vector /= np.linalg.norm(vector)
    resistance = float(np.square(conditions @ vector).sum())
    return vector if resistance < NO_RESISTANCE else None

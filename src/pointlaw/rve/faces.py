"""The nodes of a cell and the six (four) faces of its box: which nodes lie on them, and who meets whom across.

A node of one face is carried over to the opposite face and expressed by the nodes there: by one node where the meshes
match, by the shape functions of the facet it falls into where they do not.
"""

from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray
from scipy import sparse
from scipy.spatial import cKDTree

from pointlaw.errors import MeshError
from pointlaw.tensors import Array

AXES = "xyz"
Indices = NDArray[np.intp]


@dataclass(frozen=True, eq=False)
class Nodes:
    """What a constraint has to know of a mesh.

    Attributes
    ----------
    x : [n, d]
        Coordinates of the displacement nodes, unit of length.
    facets : [b, k]
        Nodes of the facets of the boundary (of voids too).
    face_weights : callable
        ``face_weights(axis, side) -> [n]``: integral of each node's shape function over a face of the box.
    tolerance : float
        Distance, as a share of the largest edge of the box, below which two places are the same.
    """

    x: Array
    facets: Indices
    face_weights: Callable[[int, int], Array]
    tolerance: float = 1e-6
    source: str = "the mesh"
    lower: Array = field(init=False)
    upper: Array = field(init=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "lower", self.x.min(axis=0))
        object.__setattr__(self, "upper", self.x.max(axis=0))

    @property
    def dim(self) -> int:
        """Dimension ``d``."""
        return self.x.shape[1]

    @property
    def reach(self) -> float:
        """Distance below which two places are the same, unit of length."""
        return self.tolerance * float((self.upper - self.lower).max())

    def on_face(self, axis: int, side: int) -> NDArray[np.bool_]:
        """Return which nodes ``[n]`` lie on the lower (``side`` 0) or upper (1) face across ``axis``."""
        bound = (self.lower, self.upper)[side][axis]
        return np.abs(self.x[:, axis] - bound) <= self.reach

    def face_facets(self, axis: int, side: int) -> Indices:
        """Return the facets ``[f, k]`` of the boundary that lie in a face of the box."""
        inside: Indices = self.facets[self.on_face(axis, side)[self.facets].all(axis=1)]
        return inside

    def across(self, axis: int) -> tuple[Indices, sparse.csr_array]:
        """Return who follows whom across ``axis``.

        Returns
        -------
        slaves : [s]
            Nodes of the face with more nodes (of the upper face if both have as many).
        weights : sparse [s, n]
            Their values by the values of the nodes of the other face; every row sums to one.

        Raises
        ------
        MeshError
            If a node has no counterpart, because one face has solid where the other has none.
        """
        sides = [np.flatnonzero(self.on_face(axis, side)) for side in (0, 1)]
        follower = 0 if len(sides[0]) > len(sides[1]) else 1
        slaves, masters = sides[follower], sides[1 - follower]
        target = self.x[slaves].copy()
        target[:, axis] = (self.lower, self.upper)[1 - follower][axis]
        distance, nearest = cKDTree(self.x[masters]).query(target)
        met = distance <= self.reach
        rows, columns, values = [np.flatnonzero(met)], [masters[nearest[met]]], [np.ones(int(met.sum()))]
        facets = self.face_facets(axis, 1 - follower)
        for row in np.flatnonzero(~met):
            nodes, shares = self._within(target[row], facets, axis)
            rows.append(np.full(len(nodes), row))
            columns.append(nodes)
            values.append(shares)
        self._require_cover(axis, (slaves, masters), met)
        entries = (np.concatenate(values), (np.concatenate(rows), np.concatenate(columns)))
        return slaves, sparse.csr_array(entries, shape=(len(slaves), len(self.x)))

    def _within(self, place: Array, facets: Indices, axis: int) -> tuple[Indices, Array]:
        """Return nodes and shape functions of the facet that ``place[d]`` falls into."""
        along = np.delete(np.arange(self.dim), axis)
        corners = self.x[facets][:, :, along]
        low, high = corners.min(axis=1), corners.max(axis=1)
        near = np.flatnonzero(((place[along] >= low - self.reach) & (place[along] <= high + self.reach)).all(axis=1))
        for facet in near:
            origin, size = low[facet], (high[facet] - low[facet]).max()
            local, where = (corners[facet] - origin) / size, (place[along] - origin) / size
            shares = _shape_functions(local, where)
            # A quadratic facet's shape functions change sign inside it: its corners, which come first, decide.
            hull = _shape_functions(local[:3], where) if len(shares) == 6 else shares
            if len(along) == 1 or len(shares) == 9 or hull.min() >= -self.tolerance:
                keep = np.abs(shares) > 1e-12
                return facets[facet][keep], shares[keep]
        raise MeshError(
            f"The faces of {self.source} across {AXES[axis]} cannot be matched: the place "
            f"{np.round(place, 6).tolist()} lies on solid on one face only. A periodic cell needs the same solid on "
            "opposite faces; mesh it periodically, or use LinearDisplacement."
        )

    def _require_cover(self, axis: int, sides: tuple[Indices, Indices], met: NDArray[np.bool_]) -> None:
        """Raise ``MeshError`` if the masters' face has solid that no slave is mapped to."""
        if met.all() and len(sides[0]) == len(sides[1]):
            return
        areas = [float(self.face_weights(axis, side).sum()) for side in (0, 1)]
        if abs(areas[0] - areas[1]) > 1e-6 * max(areas):
            raise MeshError(
                f"The faces of {self.source} across {AXES[axis]} cannot be matched: the solid on them measures "
                f"{areas[0]:.6g} and {areas[1]:.6g}. A periodic cell needs the same solid on opposite faces."
            )


def _monomials(points: Array, count: int) -> Array:
    """Return the ``count`` monomials ``[p, count]`` that span the shape functions of a facet with so many nodes."""
    if points.shape[1] == 1:
        return points ** np.arange(count)
    s, t = points[:, 0], points[:, 1]
    one = np.ones_like(s)
    spans = {
        3: [one, s, t],
        4: [one, s, t, s * t],
        6: [one, s, t, s * t, s * s, t * t],
        9: [one, s, t, s * t, s * s, t * t, s * s * t, s * t * t, s * s * t * t],
    }
    if count not in spans:
        raise MeshError(f"Facets with {count} nodes cannot be matched by interpolation; use degree 1 or 2.")
    return np.stack(spans[count], axis=1)


def _shape_functions(nodes: Array, place: Array) -> Array:
    """Return the values ``[k]`` at ``place[d − 1]`` of the Lagrange basis of ``nodes[k, d − 1]``."""
    vandermonde = _monomials(nodes, len(nodes))
    values: Array = np.linalg.solve(vandermonde.T, _monomials(place[None], len(nodes))[0])
    return values

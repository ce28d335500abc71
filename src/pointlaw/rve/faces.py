"""The nodes of a cell and the six (four) faces of its box: which nodes lie on them, and who meets whom across.

A node of one face follows its partner on the opposite face where the meshes match; where they do not, the nodes of one
face follow those of the other on the average (see :mod:`pointlaw.rve.mortar`).
"""

from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray
from scipy import sparse
from scipy.spatial import cKDTree

from pointlaw.errors import MeshError
from pointlaw.fem.tagged_mesh import rounded
from pointlaw.rve.mortar import Face, lagrange, tie
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
    source : str
        What messages call the mesh.
    box : (lower[d], upper[d]), optional
        The box; that of the nodes if nobody said.
    tolerance : float
        Distance, as a share of the largest edge of the box, below which two places are the same.

    Raises
    ------
    MeshError
        If nodes lie outside the box.
    """

    x: Array
    facets: Indices
    face_weights: Callable[[int, int], Array]
    source: str = "the mesh"
    box: tuple[Array, Array] | None = None
    tolerance: float = 1e-6
    lower: Array = field(init=False)
    upper: Array = field(init=False)

    def __post_init__(self) -> None:
        first, last = self.x.min(axis=0), self.x.max(axis=0)
        lower, upper = (first, last) if self.box is None else self.box
        object.__setattr__(self, "lower", lower)
        object.__setattr__(self, "upper", upper)
        if (first < lower - self.reach).any() or (last > upper + self.reach).any():
            raise MeshError(
                f"{self.source} reaches from {self.told(first)} to {self.told(last)}, beyond its box from "
                f"{self.told(lower)} to {self.told(upper)}; a mesh that was moved needs a TaggedMesh with its new box."
            )

    @property
    def dim(self) -> int:
        """Dimension ``d``."""
        return self.x.shape[1]

    @property
    def reach(self) -> float:
        """Distance below which two places are the same, unit of length."""
        return self.tolerance * float((self.upper - self.lower).max())

    def told(self, place: Array) -> list[float]:
        """Return a place ``[d]`` as messages name it."""
        return rounded(place, float((self.upper - self.lower).max()), 4).tolist()

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
            Their values by the values of the nodes of the other face, and of nodes on the edges of their own face
            where the meshes do not match; every row sums to one.

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
        if met.all() and len(slaves) == len(masters):
            entries = (np.ones(len(slaves)), (np.arange(len(slaves)), masters[nearest]))
            return slaves, sparse.csr_array(entries, shape=(len(slaves), len(self.x)))
        self._require_same_solid(axis)
        return slaves, self._tied(axis, follower, slaves, target)

    def _tied(self, axis: int, follower: int, slaves: Indices, target: Array) -> sparse.csr_array:
        """Return the rows of slaves whose face does not match: edges by interpolation, the rest on the average."""
        along = np.delete(np.arange(self.dim), axis)
        facets = [self.face_facets(axis, side) for side in (follower, 1 - follower)]
        edge = np.zeros(len(self.x), dtype=bool)
        for other in along.tolist():
            edge |= self.on_face(other, 0) | self.on_face(other, 1)
        weights = sparse.lil_array((len(slaves), len(self.x)))
        for row in np.flatnonzero(edge[slaves]):
            nodes, shares = self._within(target[row], facets[1], axis)
            weights[[row], nodes] = shares
        rows = np.flatnonzero(~edge[slaves])
        if len(rows):
            inside, y = slaves[rows], self.x[:, along]
            own, others = tie(Face(facets[0], y), Face(facets[1], y), inside, self.reach ** len(along))
            right = others - own
            right[:, inside] = 0.0
            try:
                shares = np.linalg.solve(own[:, inside], right)
            except np.linalg.LinAlgError:  # a node that no solid faces
                raise self._unmatched(axis, "the solid on one lies beside that on the other") from None
            shares[np.abs(shares) < 1e-14] = 0.0
            weights[rows] = sparse.lil_array(shares)
        return sparse.csr_array(weights)

    def _within(self, place: Array, facets: Indices, axis: int) -> tuple[Indices, Array]:
        """Return nodes and shape functions of the facet that ``place[d]`` falls into."""
        along = np.delete(np.arange(self.dim), axis)
        corners = self.x[facets][:, :, along]
        low, high = corners.min(axis=1), corners.max(axis=1)
        near = np.flatnonzero(((place[along] >= low - self.reach) & (place[along] <= high + self.reach)).all(axis=1))
        for facet in near:
            shares = lagrange(corners[facet], place[None, along])[0]
            # A quadratic facet's shape functions change sign inside it: its corners, which come first, decide.
            hull = lagrange(corners[facet][:3], place[None, along])[0] if len(shares) == 6 else shares
            if len(along) == 1 or len(shares) == 9 or hull.min() >= -self.tolerance:
                keep = np.abs(shares) > 1e-12
                return facets[facet][keep], shares[keep]
        raise self._unmatched(axis, f"the place {self.told(place)} lies on solid on one face only")

    def solid(self, axis: int) -> tuple[float, float]:
        """Return how much solid lies on the lower and on the upper face across ``axis``, unit of length^(d − 1)."""
        lower, upper = (float(self.face_weights(axis, side).sum()) for side in (0, 1))
        return lower, upper

    def same_solid(self, axis: int) -> bool:
        """Return whether opposite faces have the same amount of solid."""
        lower, upper = self.solid(axis)
        return abs(lower - upper) <= 1e-6 * max(lower, upper)

    def _require_same_solid(self, axis: int) -> None:
        """Raise ``MeshError`` if opposite faces have not the same amount of solid."""
        if not self.same_solid(axis):
            lower, upper = self.solid(axis)
            raise self._unmatched(axis, f"the solid on them measures {lower:.6g} and {upper:.6g}")

    def _unmatched(self, axis: int, why: str) -> MeshError:
        return MeshError(
            f"The faces of {self.source} across {AXES[axis]} cannot be matched: {why}. A periodic cell needs the same "
            "solid on opposite faces; mesh it periodically, fill the voids with a soft law, or use LinearDisplacement."
        )

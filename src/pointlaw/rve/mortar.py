"""Tying two faces whose meshes do not match: equal on the average, not node by node.

The values on one face follow those on the other so that ``∫ ψ (w_follower − w_leader) dA = 0`` for as many functions ψ
as the follower has nodes inside the face. The ψ sum to one, hence a uniform traction does no work on the jump and a
uniform stress stays an equilibrium, which tying node by node would spoil (Belgacem 1999, doi 10.1007/s002110050468).
"""

from dataclasses import dataclass

import basix
import numpy as np
from numpy.typing import NDArray

from pointlaw.errors import MeshError
from pointlaw.tensors import Array

Indices = NDArray[np.intp]
DEGREE = 8  # of the quadrature: exact for products of biquadratic functions


@dataclass(frozen=True, eq=False)
class Face:
    """One side: facets ``[f, k]`` (corners first) of nodes with coordinates ``y[n, d − 1]`` within the face."""

    facets: Indices
    y: Array

    def corners(self, facet: int) -> Array:
        """Return the corners of a facet in the order in which they follow each other, ``[c, d − 1]``."""
        nodes = self.facets[facet]
        order = {2: [0, 1], 3: [0, 1, 2], 6: [0, 1, 2], 4: [0, 1, 3, 2], 9: [0, 1, 3, 2]}
        corners: Array = self.y[nodes[[0, 1] if self.y.shape[1] == 1 else order[len(nodes)]]]
        return corners

    def shape_functions(self, facet: int, places: Array) -> Array:
        """Return the shape functions ``[p, k]`` of a facet's nodes at ``places[p, d − 1]``."""
        return lagrange(self.y[self.facets[facet]], places)


def lagrange(nodes: Array, places: Array) -> Array:
    """Return the Lagrange basis ``[p, k]`` of ``nodes[k, d − 1]`` at ``places[p, d − 1]``."""
    origin = nodes.min(axis=0)
    size = (nodes.max(axis=0) - origin).max()
    vandermonde = _monomials((nodes - origin) / size, len(nodes))
    values: Array = np.linalg.solve(vandermonde.T, _monomials((places - origin) / size, len(nodes)).T).T
    return values


def tie(follower: Face, leader: Face, inside: Indices, smallest: float) -> tuple[Array, Array]:
    """Return the matrices of ``∫ ψ_i (w_follower − w_leader) dA``.

    Parameters
    ----------
    follower, leader : Face
        The two sides; nodes are numbered alike in both.
    inside : [i]
        Nodes of the follower that lie on no edge of the face; each has its ψ.
    smallest : float
        Overlaps below this measure are round-off.

    Returns
    -------
    own, other : [i, n]
        Integrals of ψ times the shape functions of the follower's and of the leader's nodes.
    """
    count = len(follower.y)
    position = np.full(count, -1)
    position[inside] = np.arange(len(inside))
    own, other = np.zeros((len(inside), count)), np.zeros((len(inside), count))
    boxes = leader.y[leader.facets].min(axis=1), leader.y[leader.facets].max(axis=1)
    for facet, nodes in enumerate(follower.facets):
        low, high = follower.y[nodes].min(axis=0), follower.y[nodes].max(axis=0)
        spread, rows = _multipliers(nodes, follower.y, position, inside)
        for partner in np.flatnonzero(((boxes[0] <= high) & (boxes[1] >= low)).all(axis=1)).tolist():
            places, weights = _overlap(follower.corners(facet), leader.corners(partner))
            if weights.sum() <= smallest:
                continue
            mine, theirs = follower.shape_functions(facet, places), leader.shape_functions(partner, places)
            test = spread @ (mine * weights[:, None]).T
            own[np.ix_(rows, nodes)] += test @ mine
            other[np.ix_(rows, leader.facets[partner])] += test @ theirs
    return own, other


def _multipliers(nodes: Indices, y: Array, position: Indices, inside: Indices) -> tuple[Array, Indices]:
    """Return ψ of a facet by its shape functions ``[r, k]``, and the rows they belong to; they sum to one.

    The share of a node on an edge of the face goes to the facet's inner nodes, or to the nearest one of the face.
    """
    inner = position[nodes] >= 0
    if inner.any():
        spread = np.eye(len(nodes))[inner]
        spread[:, ~inner] = 1.0 / inner.sum()
        return spread, position[nodes[inner]]
    nearest = inside[np.argmin(np.linalg.norm(y[inside] - y[nodes].mean(axis=0), axis=1))]
    return np.ones((1, len(nodes))), position[[nearest]]


def _overlap(one: Array, two: Array) -> tuple[Array, Array]:
    """Return quadrature points ``[p, d − 1]`` and weights of what two convex facets share."""
    if one.shape[1] == 1:
        low, high = max(one.min(), two.min()), min(one.max(), two.max())
        points, weights = basix.make_quadrature(basix.CellType.interval, DEGREE)
        return low + max(high - low, 0.0) * points, max(high - low, 0.0) * weights
    polygon = _clip(one, two)
    points, weights = basix.make_quadrature(basix.CellType.triangle, DEGREE)
    places, sizes = [np.empty((0, 2))], [np.empty(0)]
    for k in range(1, len(polygon) - 1):
        edges = np.stack([polygon[k] - polygon[0], polygon[k + 1] - polygon[0]])
        places.append(polygon[0] + points @ edges)
        sizes.append(weights * abs(np.linalg.det(edges)))
    return np.concatenate(places), np.concatenate(sizes)


def _clip(subject: Array, window: Array) -> Array:
    """Return the part of a convex polygon ``[c, 2]`` inside another one (Sutherland & Hodgman 1974)."""
    after = np.roll(window, -1, axis=0)
    area = np.sum(window[:, 0] * after[:, 1] - window[:, 1] * after[:, 0])
    for a, b in zip(window, after, strict=True):
        if len(subject) == 0:
            break
        normal = np.array([a[1] - b[1], b[0] - a[0]]) * np.sign(area)
        height = (subject - a) @ normal
        kept = []
        for k, (p, h) in enumerate(zip(subject, height, strict=True)):
            q, g = subject[k - 1], height[k - 1]
            if h * g < 0.0:
                kept.append(q + g / (g - h) * (p - q))
            if h >= 0.0:
                kept.append(p)
        subject = np.array(kept).reshape(-1, 2)
    return subject


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
        raise MeshError(f"Facets with {count} nodes cannot be tied; use displacements of degree 1 or 2.")
    return np.stack(spans[count], axis=1)

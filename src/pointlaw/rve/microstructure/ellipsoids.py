"""Ellipsoids in a periodic box: where their images are, and how far they are from each other."""

import itertools
from typing import Protocol

import numpy as np

from pointlaw.tensors import Array

_SHARES = np.linspace(0.0, 1.0, 65)[1:-1]


class Ellipsoids(Protocol):
    """Ellipsoids (ellipses in 2D) with ``centres[k, d]`` and semi-axes ``radii[k, d]`` along ``axes[k, d, d]``.

    ``size[d]`` are the lengths of the box; all are in the unit of length.
    """

    centres: Array
    radii: Array
    axes: Array
    size: Array

    @property
    def fraction(self) -> float:
        """Volume fraction."""
        ...


def shape_matrices(radii: Array, axes: Array) -> Array:
    """Return ``R diag(a²) Rᵀ`` ``[k, d, d]`` of ellipsoids with semi-axes ``radii[k, d]`` along ``axes[k, d, d]``."""
    return np.einsum("kij,kj,klj->kil", axes, radii**2, axes)


def images(size: Array) -> Array:
    """Return the shifts ``[3^d, d]`` to the box and its neighbours."""
    return np.array(list(itertools.product((-1.0, 0.0, 1.0), repeat=len(size)))) * size


def separations(centre: Array, shape: Array, others: Array, shapes: Array, size: Array) -> Array:
    """Return for each of ``others[k, d]`` how far it is from the first, over all periodic images, ``[k]``.

    The contact function of Perram & Wertheim (1985, doi 10.1016/0021-9991(85)90171-8): 1 where two ellipsoids touch,
    less where they overlap. Its maximum is taken over samples, so that a close pass may be called an overlap.
    """
    away = centre - others[:, None] + images(size)  # [k, images, d]
    sphere = np.eye(len(centre))
    if np.allclose(shape / shape[0, 0], sphere) and np.allclose(shapes / shapes[:, :1, :1], sphere):
        reach = np.sqrt(shape[0, 0]) + np.sqrt(shapes[:, 0, 0])
        squared: Array = (np.square(away).sum(axis=2) / reach[:, None] ** 2).min(axis=1)
        return squared
    nearest = np.full(len(others), np.inf)
    for k in range(len(others)):
        mixed = (1.0 - _SHARES)[:, None, None] * shapes[k] + _SHARES[:, None, None] * shape
        inverse = np.linalg.inv(mixed)
        contact = (_SHARES * (1.0 - _SHARES))[:, None] * np.einsum("pi,sij,pj->sp", away[k], inverse, away[k])
        nearest[k] = contact.max(axis=0).min()
    return nearest

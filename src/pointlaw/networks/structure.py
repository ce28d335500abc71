"""Directions and structural tensors: what an anisotropic energy may depend on.

An energy of the right Cauchy–Green tensor ``C = FᵀF`` is objective. With a positive semi-definite tensor ``G`` the
arguments ``√(G:C)`` and ``√(G:cof C)`` are convex in ``F`` and in ``cof F``; for ``G = n⊗n`` they are the stretch of a
fibre ``n`` and of an area normal to ``n``. All tensors here have trace 1, so that every argument is 1 at rest.
"""

import itertools

import numpy as np

from pointlaw.tensors import IDENTITY, Array, to_mandel

ORBITS = {"100": (1, 0, 0), "110": (1, 1, 0), "111": (1, 1, 1)}

OF_C, OF_COFACTOR, OF_J = slice(0, 6), slice(6, 12), slice(12, 13)
ARGUMENTS = 13  # C and cof C in Mandel order, then J = det F


def cubic_rotations() -> Array:
    """Return the 24 rotations of the cube, ``[24, 3, 3]``."""
    found = []
    for order in itertools.permutations(range(3)):
        for signs in itertools.product((1.0, -1.0), repeat=3):
            matrix = np.zeros((3, 3))
            matrix[range(3), order] = signs
            if np.linalg.det(matrix) > 0:
                found.append(matrix)
    return np.array(found)


def orbit(name: str) -> Array:
    """Return the directions of a cubic orbit as unit vectors ``[q, 3]``, one of each pair ±n.

    ``"100"`` are the 3 edges of the cube, ``"110"`` the 6 diagonals of its faces, ``"111"`` its 4 diagonals.
    Raises ``ValueError`` for another name.
    """
    if name not in ORBITS:
        raise ValueError(f"the orbit '{name}' is unknown; known are {', '.join(ORBITS)}")
    images = np.round(cubic_rotations() @ np.array(ORBITS[name], float)).astype(int)
    lines = {max(tuple(v), tuple(-v)) for v in images}
    directions = np.array(sorted(lines, reverse=True), float)
    return directions / np.linalg.norm(directions, axis=1, keepdims=True)


def fibre(direction: Array) -> Array:
    """Return ``n⊗n`` of unit vectors ``[..., 3]`` in Mandel order, ``[..., 6]``."""
    return to_mandel(direction[..., :, None] * direction[..., None, :])


def of_C(tensors: Array) -> Array:
    """Return rows ``[q, 13]`` that take ``G:C`` of tensors ``[q, 6]``."""
    return _rows(tensors, OF_C)


def of_cofactor(tensors: Array) -> Array:
    """Return rows ``[q, 13]`` that take ``G:cof C`` of tensors ``[q, 6]``."""
    return _rows(tensors, OF_COFACTOR)


def of_J() -> Array:
    """Return the row ``[1, 13]`` that takes ``J``."""
    return _rows(np.ones((1, 1)), OF_J)


SPHERE: Array = IDENTITY[None] / 3.0  # tr C / 3 and tr cof C / 3: the first two invariants, 1 at rest


def _rows(values: Array, where: slice) -> Array:
    rows = np.zeros((len(values), ARGUMENTS))
    rows[:, where] = values
    return rows

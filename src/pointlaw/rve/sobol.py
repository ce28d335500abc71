"""Sobol's sequence: points that fill a cube more evenly than random ones, point ``i`` from ``i`` alone.

A point is the exclusive or of the direction numbers that its Gray code names, so that any rank can make any point
without those before it. A seed shifts the whole sequence digit by digit, which keeps its evenness.
"""

import numpy as np
from numpy.typing import NDArray

from pointlaw.errors import InputError
from pointlaw.tensors import Array

BITS = 30
# Primitive polynomials and first direction numbers of Joe & Kuo 2008, doi 10.1137/070709359, one row a dimension:
# degree, inner coefficients as a binary number, m_1 … m_degree. The first dimension is van der Corput's sequence.
_JOE_KUO = (
    (1, 0, (1,)),
    (2, 1, (1, 3)),
    (3, 1, (1, 3, 1)),
    (3, 2, (1, 1, 1)),
    (4, 1, (1, 1, 3, 3)),
    (4, 4, (1, 3, 5, 13)),
    (5, 2, (1, 1, 5, 5, 17)),
    (5, 4, (1, 1, 5, 5, 5)),
    (5, 7, (1, 1, 7, 11, 19)),
)
DIMENSIONS = len(_JOE_KUO) + 1


def sobol(indices: list[int], dimensions: int, *, seed: int | None = None) -> Array:
    """Return the points ``[n, dimensions]`` with these indices, each coordinate in ``[0, 1)``.

    Parameters
    ----------
    indices : list of int
        Positions in the sequence, ``0 <= i < 2**30``.
    dimensions : int
        At most ``DIMENSIONS``.
    seed : int, optional
        Shift of the sequence; the plain sequence, which begins at the origin, if omitted.

    Notes
    -----
    Raises ``InputError`` for an index or a number of dimensions outside these.
    """
    if not 1 <= dimensions <= DIMENSIONS:
        raise InputError(f"sobol: {dimensions} dimensions; there are direction numbers for 1 to {DIMENSIONS}.")
    if any(not 0 <= i < 1 << BITS for i in indices):
        raise InputError(f"sobol: index {max(indices, key=abs)} must lie between 0 and 2^{BITS} - 1.")
    gray = np.array([i ^ (i >> 1) for i in indices], dtype=np.int64)
    digits = (gray[:, None] >> np.arange(BITS)) & 1
    shift = np.zeros(dimensions, dtype=np.int64)
    if seed is not None:
        shift = np.random.default_rng(seed).integers(0, 1 << BITS, size=dimensions)
    points = np.empty((len(indices), dimensions))
    for d in range(dimensions):
        chosen = np.where(digits.astype(bool), _directions(d), 0)
        points[:, d] = (np.bitwise_xor.reduce(chosen, axis=1) ^ shift[d]) / float(1 << BITS)
    return points


def _directions(dimension: int) -> NDArray[np.int64]:
    """Return the ``BITS`` direction numbers of one dimension, each scaled to ``BITS`` binary digits."""
    if dimension == 0:
        return np.array([1 << (BITS - 1 - k) for k in range(BITS)], dtype=np.int64)
    degree, inner, first = _JOE_KUO[dimension - 1]
    numbers = [m << (BITS - 1 - k) for k, m in enumerate(first)]
    for k in range(degree, BITS):
        new = numbers[k - degree] ^ (numbers[k - degree] >> degree)
        for j in range(1, degree):
            if (inner >> (degree - 1 - j)) & 1:
                new ^= numbers[k - j]
        numbers.append(new)
    return np.array(numbers, dtype=np.int64)

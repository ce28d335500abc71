"""Small linear algebra of every row of a batch: norms and systems of equations."""

import contextlib

import numpy as np

from pointlaw.tensors import Array

SMALL_PIVOT = 1e-3  # relative to the largest entry of its equation: below it, equations are exchanged


def row_norm(vectors: Array) -> Array:
    """Return the Euclidean norm ``[p]`` of each row of ``vectors[p, m]``."""
    return np.sqrt(np.einsum("pi,pi->p", vectors, vectors))


def solve_rows(matrices: Array, right: Array) -> Array:
    """Solve ``matrices[p, k, k] · x = right`` for every row, ``right`` being ``[p, k]`` or ``[p, k, q]``.

    A singular row becomes NaN and leaves the others alone, where ``numpy.linalg.solve`` would raise for the batch.

    Notes
    -----
    Elimination with the rows of the batch as the inner loop, many times faster than a LAPACK call a row for the small
    ``k`` of constitutive laws. It does not exchange equations; rows with a small pivot are solved by LAPACK instead.
    """
    columns = right[..., None] if right.ndim == 2 else right
    a, b = np.moveaxis(matrices, 0, -1).copy(), np.moveaxis(columns, 0, -1).copy()
    smallest = SMALL_PIVOT * np.abs(a).max(axis=1, initial=0.0)
    sound = np.ones(len(matrices), dtype=bool)
    with np.errstate(all="ignore"):
        for i in range(len(a)):
            sound &= np.abs(a[i, i]) > smallest[i]
            for j in range(i + 1, len(a)):
                factor = a[j, i] / a[i, i]
                a[j, i + 1 :] -= factor * a[i, i + 1 :]
                b[j] -= factor * b[i]
        for i in reversed(range(len(a))):
            b[i] /= a[i, i]
            for j in range(i):
                b[j] -= a[j, i] * b[i]
    answer = np.ascontiguousarray(np.moveaxis(b, -1, 0))
    if not sound.all():
        answer[~sound] = _exchanging(matrices[~sound], np.broadcast_to(columns, answer.shape)[~sound])
    return answer[..., 0] if right.ndim == 2 else answer


def _exchanging(matrices: Array, columns: Array) -> Array:
    """Solve with exchange of equations, by LAPACK; singular rows are NaN."""
    try:
        return np.linalg.solve(matrices, columns)
    except np.linalg.LinAlgError:
        answer = np.full(columns.shape, np.nan)
    for row, (matrix, column) in enumerate(zip(matrices, columns, strict=True)):
        with contextlib.suppress(np.linalg.LinAlgError):
            answer[row] = np.linalg.solve(matrix, column)
    return answer

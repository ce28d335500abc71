"""Small linear algebra of every row of a batch: norms and systems of equations."""

import numpy as np

from pointlaw.tensors import Array


def row_norm(vectors: Array) -> Array:
    """Return the Euclidean norm ``[p]`` of each row of ``vectors[p, m]``."""
    return np.sqrt(np.einsum("pi,pi->p", vectors, vectors))


def solve_rows(matrices: Array, right: Array) -> Array:
    """Solve ``matrices[p, k, k] · x = right`` for every row, ``right`` being ``[p, k]`` or ``[p, k, q]``.

    A singular row becomes NaN and leaves the others alone, where ``numpy.linalg.solve`` would raise for the batch.
    """
    columns = right[..., None] if right.ndim == 2 else right
    try:
        answer = np.linalg.solve(matrices, columns)
    except np.linalg.LinAlgError:
        answer = np.full(columns.shape, np.nan)
        for row, (matrix, column) in enumerate(zip(matrices, columns, strict=True)):
            try:
                answer[row] = np.linalg.solve(matrix, column)
            except np.linalg.LinAlgError:
                continue
    return answer[..., 0] if right.ndim == 2 else answer

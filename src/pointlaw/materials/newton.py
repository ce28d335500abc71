"""Small nonlinear systems, one a point, solved for a whole batch: Newton with line search and a verdict per row.

Rows that have converged stop working, rows whose residual would grow take a shorter step, and rows that get stuck are
reported; no row knows of another. The law gives the residual and the Newton direction, in NumPy or any other way.
"""

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from pointlaw.materials.rows import row_norm
from pointlaw.tensors import Array

Rows = NDArray[np.intp]
Residual = Callable[[Array, Rows], Array]
Direction = Callable[[Array, Array, Rows], Array]

HOPELESS = 1e100  # a residual this large comes from absurd input; no iteration is spent on it
STALLED = 1e-7  # a row that cannot improve any more counts as solved if its residual is below this


def newton_rows(
    residual: Residual,
    direction: Direction,
    start: Array,
    *,
    tolerance: float = 1e-12,
    iterations: int = 60,
    halvings: int = 12,
) -> tuple[Array, NDArray[np.bool_]]:
    """Solve ``residual(x) = 0`` for every row.

    Parameters
    ----------
    residual : callable
        ``residual(x[q, n], rows[q]) -> r[q, n]``, scaled so that 1 is a large residual; NaN where ``x`` is not allowed.
    direction : callable
        ``direction(x[q, n], r[q, n], rows[q]) -> step[q, n]``, the Newton step ``−J⁻¹ r``.
    start : [p, n]
        First guess, with finite residual.
    tolerance : float
        A row is solved when the Euclidean norm of its residual is at most this, or when rounding lets it fall no
        further and it is below 1e-7.
    iterations, halvings : int
        Largest number of Newton steps, and of halvings of one step.

    Returns
    -------
    x : [p, n]
    solved : [p]
    """
    x = start.copy()
    rows: Rows = np.arange(len(x))
    values = residual(x, rows)
    size = row_norm(values)
    solved = size <= tolerance
    rows = rows[~solved & (size < HOPELESS)]
    values, size = values[rows], size[rows]
    for _ in range(iterations):
        if len(rows) == 0:
            break
        base = x[rows]
        step = direction(base, values, rows)
        moved, new_values, new_size = _search(residual, base, step, values, size, rows, halvings)
        stuck = ~(new_size < size)
        x[rows] = moved
        done = (new_size <= tolerance) | (stuck & (size <= STALLED))
        solved[rows[done]] = True
        alive = ~done & ~stuck
        rows, values, size = rows[alive], new_values[alive], new_size[alive]
    return x, solved


def _search(
    residual: Residual, base: Array, step: Array, values: Array, size: Array, rows: Rows, halvings: int
) -> tuple[Array, Array, Array]:
    """Return x, residual and its norm after the longest of the steps 1, ½, ¼ … that lessens the residual enough."""
    moved = base + step
    new_values = residual(moved, rows)
    new_size = row_norm(new_values)
    waiting = np.flatnonzero(~(new_size <= (1.0 - 1e-4) * size))
    share = 1.0
    for _ in range(halvings):
        if len(waiting) == 0:
            return moved, new_values, new_size
        share *= 0.5
        tried = base[waiting] + share * step[waiting]
        tried_values = residual(tried, rows[waiting])
        tried_size = row_norm(tried_values)
        better = tried_size <= (1.0 - 1e-4 * share) * size[waiting]
        here = waiting[better]
        moved[here], new_values[here], new_size[here] = tried[better], tried_values[better], tried_size[better]
        waiting = waiting[~better]
    moved[waiting], new_values[waiting], new_size[waiting] = base[waiting], values[waiting], size[waiting]
    return moved, new_values, new_size

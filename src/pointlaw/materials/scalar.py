"""One scalar equation a point, solved for a whole batch: Newton inside a bracket that only shrinks.

Every row has its own bracket and its own verdict, and converged rows are left alone, so the answer for a row does not
depend on its neighbours. Where Newton would leave the bracket, or the slope misleads it, the row bisects.
"""

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from pointlaw.tensors import Array

Residual = Callable[[Array, NDArray[np.intp] | slice], tuple[Array, Array]]


def decreasing_root(
    residual: Residual, start: Array, upper: Array, *, tolerance: Array, iterations: int = 100
) -> tuple[Array, Array, NDArray[np.bool_]]:
    """Find the zero of ``residual`` in ``[0, upper]`` for every row.

    Parameters
    ----------
    residual : callable
        ``residual(x[q], rows) -> (value[q], derivative[q])`` for the ``q`` rows named; positive at 0, negative at
        ``upper``.
    start : [p]
        First guess, moved into the bracket if it lies outside.
    upper : [p]
        Upper end of the bracket.
    tolerance : [p]
        A row has converged when ``|value| ≤ tolerance``; it then takes the Newton step it has already paid for.
    iterations : int
        Largest number of evaluations; bisection alone halves the bracket this often.

    Returns
    -------
    root, slope, converged : [p]
        The zeros, the derivative there, and which rows reached the tolerance.
    """
    x = np.where((start > 0.0) & (start < upper), start, 0.5 * upper)
    low, high, slopes = np.zeros_like(x), upper.copy(), np.empty_like(x)
    converged = np.zeros(len(x), dtype=bool)
    rows: NDArray[np.intp] | slice = slice(None)
    for _ in range(iterations):
        here = x[rows]
        value, slope = residual(here, rows)
        above = value > 0.0
        low[rows] = bottom = np.where(above, here, low[rows])
        high[rows] = top = np.where(above, high[rows], here)
        newton = here - value / slope
        done = np.abs(value) <= tolerance[rows]
        inside = (newton > bottom) & (newton < top)
        # On convergence a step out of the bracket is round-off: keep the value that met the tolerance.
        x[rows] = np.where(inside, newton, np.where(done, here, 0.5 * (bottom + top)))
        slopes[rows] = slope
        if not done.any():
            continue
        converged[rows] = done
        if done.all():
            break
        rows = np.flatnonzero(~converged)
    return x, slopes, converged

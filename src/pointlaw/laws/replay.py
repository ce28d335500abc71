"""Lead a law along strain histories of different length, step by step, and look at its state on the way.

The density needs the states of a law along its training paths; the guard needs the state that a fallback would have
had, had it been asked from the start.
"""

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from pointlaw.materials import Material, PointStatus
from pointlaw.tensors import Array

Rows = NDArray[np.intp]


def replay(material: Material, time: Array, strain: Array, count: Rows | None = None) -> Iterator[tuple[Rows, Array]]:
    """Yield after each step the rows that made it and the states ``[n, s]`` of all rows.

    Parameters
    ----------
    material : Material
        The law that is led.
    time, strain : [n, t], [n, t, m]
        Histories; column 0 is the virgin material, each further one a step.
    count : [n], optional
        Number of columns that are meant, row by row; all of them if omitted.

    Notes
    -----
    The array of states is the same object every time. A row that fails keeps its last good state and goes no further.
    """
    n, t = time.shape
    count = np.full(n, t) if count is None else count
    state, alive = material.initial_state(n), np.ones(n, dtype=bool)
    for k in range(1, int(count.max(initial=0))):
        rows = np.flatnonzero(alive & (count > k))
        for dt, part in _alike(time[rows, k] - time[rows, k - 1]):
            some = rows[part]
            answer = material.update(strain[some, k], state[some], dt, tangent=False)
            good = np.asarray(answer.status) != PointStatus.FAILED
            state[some[good]], alive[some] = answer.state[good], good
        yield rows[alive[rows]], state


def state_after(material: Material, time: Array, strain: Array, count: Rows) -> tuple[Array, NDArray[np.bool_]]:
    """Return the states ``[n, s]`` after all steps of the histories, and the rows ``[n]`` that failed on the way.

    See :func:`replay`; the state of a row that failed is the one before that step.
    """
    state, made = material.initial_state(len(time)), np.zeros(len(time), dtype=np.intp)
    for rows, state in replay(material, time, strain, count):  # noqa: B007 - the last one is wanted
        made[rows] += 1
    return state, made < count - 1


def _alike(dt: Array) -> list[tuple[float, Rows]]:
    """Return the steps of ``dt[p]`` that differ by more than round-off, each with its rows: a law takes one dt."""
    scale = float(dt.max(initial=0.0)) or 1.0
    lengths, group = np.unique(np.round(dt / scale, 9), return_inverse=True)
    parts = [np.flatnonzero(group == g) for g in range(len(lengths))]
    return [(float(dt[part[0]]), part) for part in parts]

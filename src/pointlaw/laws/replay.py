"""Lead a law along strain histories of different length, step by step, and look at its state on the way.

The density needs the states of a law along its training paths; the guard needs the state that a fallback would have
had, had it been asked from the start.
"""

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from pointlaw.materials import Material
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
    The array of states is the same object every time. A row that fails goes on with what it answered.
    """
    n, t = time.shape
    count = np.full(n, t) if count is None else count
    state = material.initial_state(n)
    for k in range(1, t):
        rows = np.flatnonzero(count > k)
        if len(rows) == 0:
            return
        dt = time[rows, k] - time[rows, k - 1]
        # One call for all rows whose steps are equal to round-off; a law takes one dt.
        scale = float(dt.max()) or 1.0
        lengths, group = np.unique(np.round(dt / scale, 9), return_inverse=True)
        for g in range(len(lengths)):
            part = np.flatnonzero(group == g)
            answer = material.update(strain[rows[part], k], state[rows[part]], float(dt[part[0]]), tangent=False)
            state[rows[part]] = answer.state
        yield rows, state


def state_after(material: Material, time: Array, strain: Array, count: Rows) -> Array:
    """Return the states ``[n, s]`` after all steps of the histories; see :func:`replay`."""
    state = material.initial_state(len(time))
    for _, state in replay(material, time, strain, count):  # noqa: B007 - the last one is wanted
        pass
    return state

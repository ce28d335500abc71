"""Drive a law along prescribed strains, all paths as one batch, and keep what it answers.

Strain control needs no solver, only a loop over the steps; stress and mixed control are the business of
``pointlaw.paths.drive``.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from pointlaw.errors import InputError
from pointlaw.materials import Material
from pointlaw.materials.base import StatusArray
from pointlaw.tensors import Array


@dataclass(frozen=True)
class Answers:
    """What a law answered along ``n`` paths.

    ``stress[n, t, m]``; ``tangent[n, t, m, m]`` or None; ``status[n, t]``; ``state[n, s]`` at the last time. Row 0
    is the virgin material, asked with a step of no strain.
    """

    stress: Array
    tangent: Array | None
    status: StatusArray
    state: Array


def respond(material: Material, time: Array, strain: Array, *, tangent: bool = False) -> Answers:
    """Return the answers of ``material`` along ``strain[n, t, m]`` at the times ``time[n, t]`` or ``[t]``.

    The first row is the start: its stress is the answer of the virgin material at that strain, its state is not kept.
    Every further row is one step from the row before. Steps of different length in one batch are asked group by
    group, since a law takes one ``dt``. Raises ``InputError`` for wrong shapes.
    """
    n, t, m = strain.shape
    if m != material.kinematics.size:
        raise InputError(f"The law takes {material.kinematics}; the strain has {m} components.")
    time = np.broadcast_to(time, (n, t))
    answers = Answers(
        stress=np.empty((n, t, m)),
        tangent=np.empty((n, t, m, m)) if tangent else None,
        status=np.empty((n, t), dtype=np.int8),
        state=material.initial_state(n),
    )
    state = answers.state
    for k in range(t):
        dt = time[:, k] - time[:, k - 1] if k else np.diff(time[:, :2], axis=1)[:, 0]
        new = np.empty_like(state)
        for length, rows in _groups(dt):
            reply = material.update(strain[rows, k], state[rows], length, tangent=tangent)
            answers.stress[rows, k], new[rows] = reply.stress, reply.state
            answers.status[rows, k] = np.asarray(reply.status)
            if answers.tangent is not None and reply.tangent is not None:
                answers.tangent[rows, k] = reply.tangent
        if k:
            state = new
    answers.state[...] = state
    return answers


def _groups(dt: Array) -> list[tuple[float, NDArray[np.intp]]]:
    """Return the different step lengths (to round-off) with their rows."""
    lengths, group = np.unique(np.round(dt / dt.max(), 9), return_inverse=True)
    rows = [np.flatnonzero(group == g) for g in range(len(lengths))]
    return [(float(dt[part[0]]), part) for part in rows]

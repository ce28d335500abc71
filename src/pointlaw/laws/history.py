"""The strain history of a point in a bounded number of rows, kept inside the state of a law.

A history begins with the undeformed body. As long as there is room every step is a row. When the buffer is full, the
row is dropped that lies nearest to what the line between its neighbours says of *its time*: corners stay, and so does
the moment where a ramp becomes a hold, since laws that depend on the rate need it; points of straight lines walked at
one rate go. The largest distance that was ever dropped is remembered. All of it is a function of the state alone.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from pointlaw.errors import InputError
from pointlaw.tensors import Array, Kinematics


@dataclass(frozen=True)
class StrainHistory:
    """Layout and arithmetic of the buffer: ``length`` rows of time and strain, their number, and the loss.

    The row of a point is ``count, loss, time[length], strain[length · m]``.
    """

    length: int
    kinematics: Kinematics

    def __post_init__(self) -> None:
        if self.length < 4:
            raise InputError(f"A strain history of length = {self.length} rows is too short; take 4 or more.")

    @property
    def size(self) -> int:
        """Numbers a point."""
        return 2 + self.length * (1 + self.kinematics.size)

    def initial(self, points: int) -> Array:
        """Return the history ``[points, size]`` of undeformed points: one row, at time zero."""
        rows = np.zeros((points, self.size))
        rows[:, 0] = 1.0
        self._strain(rows)[:, 0] = self.kinematics.reference
        return rows

    def append(self, rows: Array, strain: Array, dt: float) -> Array:
        """Return the histories ``[p, size]`` with ``strain[p, m]`` added, ``dt`` after the last row."""
        new = rows.copy()
        full = np.flatnonzero(new[:, 0] >= self.length)
        if len(full):
            new[full] = self._thinned(new[full])
        each = np.arange(len(new))
        place = new[:, 0].astype(np.intp)
        new[each, 2 + place] = new[each, 1 + place] + dt
        self._strain(new)[each, place] = strain
        new[:, 0] += 1.0
        return new

    def last(self, rows: Array) -> Array:
        """Return the last strain ``[p, m]``."""
        return self._strain(rows)[np.arange(len(rows)), rows[:, 0].astype(np.intp) - 1]

    def read(self, rows: Array) -> tuple[NDArray[np.intp], Array, Array]:
        """Return the number of rows ``[p]``, times ``[p, length]`` and strains ``[p, length, m]``."""
        return rows[:, 0].astype(np.intp), rows[:, 2 : 2 + self.length], self._strain(rows)

    def loss(self, rows: Array) -> Array:
        """Return the largest distance ``[p]`` of a dropped strain from the line that replaced it, at its time.

        It is measured when the strain is dropped; where one line replaced several, their distances may add up.
        """
        return rows[:, 1]

    def _strain(self, rows: Array) -> Array:
        return rows[:, 2 + self.length :].reshape(len(rows), self.length, self.kinematics.size)

    def _thinned(self, rows: Array) -> Array:
        """Return full histories with one row less: neither the first nor the last."""
        time, strain = rows[:, 2 : 2 + self.length], self._strain(rows)
        # Not the nearest point of the chord but the one of the same time: a fallback is led along chords at even rates.
        chord, middle = strain[:, 2:] - strain[:, :-2], strain[:, 1:-1] - strain[:, :-2]
        share = (time[:, 1:-1] - time[:, :-2]) / np.maximum(time[:, 2:] - time[:, :-2], 1e-300)
        distance = np.linalg.norm(middle - share[..., None] * chord, axis=2)
        drop = 1 + np.argmin(distance, axis=1)
        kept = np.arange(self.length - 1)
        source = kept + (kept >= drop[:, None])
        thin = rows.copy()
        thin[:, 0] -= 1.0
        thin[:, 1] = np.maximum(rows[:, 1], distance.min(axis=1))
        thin[:, 2 : 1 + self.length] = np.take_along_axis(time, source, axis=1)
        self._strain(thin)[:, :-1] = np.take_along_axis(strain, source[..., None], axis=1)
        return thin

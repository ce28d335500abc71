"""What a material point went through: the answer of :func:`~pointlaw.paths.drive`."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from pointlaw.errors import NotConverged
from pointlaw.materials.base import StateLayout, StatusArray
from pointlaw.tensors import Array, Kinematics


@dataclass(frozen=True, eq=False)
class Record:
    """Histories of ``n`` points at ``t`` times; row 0 is the virgin material.

    Attributes
    ----------
    times : [t]
        Unit of time.
    strain, stress : [n, t, m]
        Conjugate strain and stress (unit of stress) in the order of ``kinematics``; NaN after a failure.
    state : [n, t, s]
        Internal variables, split by ``state_layout``; NaN after a failure.
    status : [n, t], int8
        One ``PointStatus`` a time; ``FAILED`` from the failing step on.
    tangent : [n, t, m, m] or None
        Consistent tangent of the last (sub)step that ends at each time, unit of stress.
    cuts : [n]
        How often a step of the path was cut.
    reached : [n]
        Index of the last time that was reached.
    reasons : tuple of n str
        Why the path stopped, empty if it did not.
    kinematics, state_layout
        Of the material.
    """

    times: Array
    strain: Array
    stress: Array
    state: Array
    status: StatusArray
    tangent: Array | None
    cuts: NDArray[np.intp]
    reached: NDArray[np.intp]
    reasons: tuple[str, ...]
    kinematics: Kinematics
    state_layout: StateLayout

    @property
    def ok(self) -> bool:
        """Whether every path reached its end."""
        return not any(self.reasons)

    def variable(self, name: str) -> Array:
        """Return the internal variable ``name``, shape ``[n, t, size]``."""
        return self.state[..., self.state_layout[name]]

    def raise_if_failed(self) -> "Record":
        """Return the record, or raise :class:`~pointlaw.errors.NotConverged` naming the first path that stopped."""
        stopped = [reason for reason in self.reasons if reason]
        if stopped:
            rest = f" ({len(stopped)} of {len(self.reasons)} paths stopped.)" if len(stopped) > 1 else ""
            raise NotConverged(stopped[0] + rest, self)
        return self

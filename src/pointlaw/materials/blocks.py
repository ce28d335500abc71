"""Laws that evaluate a batch in blocks which stay in the cache, writing straight into the caller's arrays.

A law gives :meth:`BlockedMaterial.update_block`; this class cuts the batch, silences the overflow of absurd input,
turns rows that are not finite into ``FAILED`` ones, and offers both doors of the contract without a copy.
"""

import math
from abc import abstractmethod

import numpy as np

from pointlaw.materials.base import Material, PointStatus, Response, StatusArray, finite_rows
from pointlaw.tensors import Array

_FAILED = np.int8(PointStatus.FAILED)


class BlockedMaterial(Material):
    """A law evaluated ``block`` points at a time.

    Its temporaries are those of one block, whatever the size of the batch. The stress of a FAILED row is NaN, so that
    nobody can take it for an answer.
    """

    block: int = 1024

    @abstractmethod
    def update_block(self, strain: Array, state: Array, dt: float, out: Response) -> StatusArray | None:
        """Write the answer for one block into ``out`` and return its status, ``None`` if every row is fine.

        Every entry of ``out.stress``, ``out.state`` and, unless it is ``None``, ``out.tangent`` must be written; rows
        that are not finite become ``FAILED`` afterwards. ``out.dt_factor`` may be set.
        """

    def update(self, strain: Array, state: Array, dt: float, *, tangent: bool = True) -> Response:
        """Answer into new arrays; see :meth:`Material.update`."""
        points, size = len(strain), self.kinematics.size
        out = _unchecked(
            np.empty((points, size)),
            np.empty((points, size, size)) if tangent else None,
            np.empty((points, self.state_layout.size)),
        )
        self.update_into(strain, state, dt, out, tangent=tangent)
        return out

    def update_into(self, strain: Array, state: Array, dt: float, out: Response, *, tangent: bool = True) -> None:
        """Answer into ``out``, block after block; see :meth:`Material.update_into`."""
        points = len(strain)
        status = np.full(points, np.int8(PointStatus.FINE))
        factor = math.inf
        moduli = out.tangent if tangent else None
        with np.errstate(over="ignore", invalid="ignore", divide="ignore", under="ignore"):
            for first in range(0, points, self.block):
                rows = slice(first, min(first + self.block, points))
                part = _unchecked(out.stress[rows], None if moduli is None else moduli[rows], out.state[rows])
                given = self.update_block(strain[rows], state[rows], dt, part)
                if given is not None:
                    status[rows] = given
                finite = finite_rows(part.stress) & finite_rows(part.state)
                if part.tangent is not None:
                    finite &= finite_rows(part.tangent)
                if given is not None or not finite.all():
                    status[rows][~finite] = _FAILED
                    part.stress[status[rows] == _FAILED] = np.nan
                factor = min(factor, part.dt_factor)
        out.status, out.dt_factor = status, factor


def _unchecked(stress: Array, tangent: Array | None, state: Array) -> Response:
    """Return a ``Response`` over arrays that are still to be written, without the check of its constructor."""
    out = object.__new__(Response)
    out.stress, out.tangent, out.state, out.status, out.dt_factor = stress, tangent, state, None, math.inf
    return out

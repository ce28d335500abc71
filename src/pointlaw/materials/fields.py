"""Parameters that differ from point to point: their values travel in the state, so that rows stay independent.

A solver may evaluate any subset of the points, so a law cannot look its parameters up by row number. Instead the values
are written into the state by ``initial_state`` and only read afterwards; whoever passes the state passes them along.
"""

from collections.abc import Callable, Mapping

import numpy as np
from numpy.typing import ArrayLike

from pointlaw.errors import InputError
from pointlaw.materials import checks
from pointlaw.materials.base import Material, PointStatus, Response, StatusArray, extended
from pointlaw.materials.blocks import BlockedMaterial
from pointlaw.tensors import Array


def spread(what: str, values: Array, points: int) -> Array:
    """Return ``values[n, ...]`` repeated so that each serves ``points/n`` consecutive points, shape ``[points, ...]``.

    The points of a region come cell by cell, so ``n`` may be the number of points, of cells (each value serves the
    quadrature points of one cell), or one. A rank without points may give no values. Raises ``InputError`` when
    ``points`` is no multiple of ``n``.
    """
    if len(values) == 0 and points == 0:
        return values
    if len(values) == 0 or points % len(values):
        raise InputError(
            f"{what}: {len(values)} values do not fit {points} points; give one for every point, for every cell of "
            "this rank's region in its order, or for all."
        )
    return np.repeat(values, points // len(values), axis=0)


class WithFields(BlockedMaterial):
    """A law whose parameters differ from cell to cell or point to point.

    >>> from pointlaw.materials import J2
    >>> law = WithFields(J2, {"yield_stress": [200.0, 250.0]}, E=210e3, nu=0.3)

    Parameters
    ----------
    law : callable
        ``law(**parameters) -> Material``, such as a law's class; all laws it makes must have the same layout.
    fields : mapping of str to [n]
        Values of the parameters that vary; ``n`` as for :func:`spread`.
    **parameters
        The others.

    Notes
    -----
    The points are grouped by equal values and each group is one call, so the cost grows with the number of *distinct*
    values in a batch (about 0.1 ms each); grains, phases and layers are cheap. A field that differs at every point is
    better given to ``Scaled``, to ``Rotated``, or to a law of ``pointlaw.materials.autodiff``, which treats parameters
    as arrays. Every distinct value is
    checked by the law's own constructor at once, so a wrong one is reported here.
    """

    block = 1 << 30  # grouping wants the whole batch; the laws inside cut it into blocks

    def __init__(self, law: Callable[..., Material], fields: Mapping[str, ArrayLike], /, **parameters: object):
        name = getattr(law, "__name__", "law")
        if not fields:
            raise InputError(f"WithFields({name}): name at least one field.")
        twice = sorted(fields.keys() & parameters.keys())
        if twice:
            raise InputError(f"WithFields({name}): {twice} are given both as fields and as plain parameters.")
        columns = {key: np.atleast_1d(checks.array(f"WithFields({name})", key, value)) for key, value in fields.items()}
        length = max(len(value) for value in columns.values())
        if length == 0:
            raise InputError(f"WithFields({name}): a rank without points still gives one value of each field.")
        for key, value in columns.items():
            if value.ndim != 1 or len(value) not in (1, length):
                raise InputError(f"WithFields({name}): field {key} has shape {value.shape}; expected [{length}].")
        self.names = tuple(columns)
        self.values = np.stack([np.broadcast_to(value, length) for value in columns.values()], axis=1)
        self.fields = {key: values.tolist() for key, values in columns.items()}
        self.parameters = parameters
        self._make, self._name = law, name
        self._laws: dict[tuple[float, ...], Material] = {}
        laws = [self._law(row) for row in np.unique(self.values, axis=0)]
        first = laws[0]
        checks.not_collective("WithFields", first)
        for other in laws[1:]:
            if other.kinematics != first.kinematics or other.state_layout.sizes != first.state_layout.sizes:
                raise InputError(f"WithFields({name}): the laws differ in kinematics or state; use regions.")
        self.kinematics = first.kinematics
        self.symmetric = all(other.symmetric for other in laws)
        self.state_layout = extended({f"parameter_{key}": 1 for key in self.names}, first.state_layout)

    @property
    def identity(self) -> str:
        """Class, and the identity of the laws it makes; see :attr:`Material.identity`."""
        return f"{type(self).__name__}({next(iter(self._laws.values())).identity})"

    def _law(self, row: Array) -> Material:
        key = tuple(float(value) for value in row)
        if key not in self._laws:
            self._laws[key] = self._make(**dict(zip(self.names, key, strict=True)), **self.parameters)
        return self._laws[key]

    def initial_state(self, points: int) -> Array:
        """Return the parameters of every point and the initial state of its law, ``[points, s]``."""
        own = spread(f"WithFields({self._name})", self.values, points)
        state = np.empty((points, self.state_layout.size))
        state[:, : len(self.names)] = own
        for row, rows in _groups(own):
            state[rows, len(self.names) :] = self._law(row).initial_state(len(rows))
        return state

    def reason(self, state: Array, status: StatusArray) -> str:
        """Return what the first of the laws that knows says; see :meth:`Material.reason`."""
        k = len(self.names)
        told = (self._law(row).reason(state[rows, k:], status[rows]) for row, rows in _groups(state[:, :k]))
        return next(filter(None, told), "")

    def update_block(self, strain: Array, state: Array, dt: float, out: Response) -> StatusArray | None:
        """Write the answer, group by group; see :meth:`BlockedMaterial.update_block`."""
        k = len(self.names)
        status = np.full(len(strain), PointStatus.FAILED, dtype=np.int8)
        out.state[:, :k] = state[:, :k]
        for row, rows in _groups(state[:, :k]):
            answer = self._law(row).update(strain[rows], state[rows, k:], dt, tangent=out.tangent is not None)
            out.stress[rows], out.state[rows, k:] = answer.stress, answer.state
            if out.tangent is not None and answer.tangent is not None:
                out.tangent[rows] = answer.tangent
            if answer.status is not None:
                status[rows] = answer.status
            out.dt_factor = min(out.dt_factor, answer.dt_factor)
        return status


def _groups(values: Array) -> list[tuple[Array, Array]]:
    """Return the distinct rows of ``values[p, k]``, each with the indices of the points that have it."""
    if len(values) == 0:
        return []
    distinct, which = np.unique(values, axis=0, return_inverse=True)
    order = np.argsort(which, kind="stable")
    starts = np.searchsorted(which[order], np.arange(1, len(distinct)))
    return list(zip(distinct, np.split(order, starts), strict=True))

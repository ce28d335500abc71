"""The contract of every constitutive law: a pure function on a batch of points.

A law declares its :class:`~pointlaw.tensors.Kinematics` and its :class:`StateLayout` and answers ``update`` with a
:class:`Response`. It never changes what it is given, gives the same answer when asked twice, and treats every row
on its own. The solver, the material-point driver and the RVE know nothing else about a law.
"""

import math
from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from enum import IntEnum
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pointlaw.errors import InputError
from pointlaw.tensors import Array, Kinematics

StatusArray = NDArray[np.int8]


class PointStatus(IntEnum):
    """How a law fared at one point."""

    FAILED = -1
    """No usable answer: the step must be repeated with a smaller increment."""
    OUT_OF_RANGE = 0
    """Usable, but outside the range the law was made or trained for."""
    FINE = 1


class StateLayout(Mapping[str, slice]):
    """Named internal variables of a law and their place in the state row ``[s]``.

    >>> layout = StateLayout(plastic_strain=6, equivalent_plastic_strain=1)
    >>> layout.size, layout["equivalent_plastic_strain"]
    (7, slice(6, 7, None))
    """

    def __init__(self, sizes: Mapping[str, int] | None = None, /, **named: int):
        self._slices: dict[str, slice] = {}
        self.size = 0
        for name, size in {**(sizes or {}), **named}.items():
            if size < 0:
                raise InputError(f"State variable '{name}' has size {size}; sizes are 0 or more.")
            self._slices[name] = slice(self.size, self.size + size)
            self.size += size

    def __getitem__(self, name: str) -> slice:
        return self._slices[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._slices)

    def __len__(self) -> int:
        return len(self._slices)

    def __repr__(self) -> str:
        return f"StateLayout({', '.join(f'{name}={size}' for name, size in self.sizes.items())})"

    @property
    def sizes(self) -> dict[str, int]:
        """Number of components of each variable."""
        return {name: part.stop - part.start for name, part in self._slices.items()}

    def split(self, state: Array) -> dict[str, Array]:
        """Return views ``[..., size]`` of the variables in ``state[..., s]``."""
        return {name: state[..., part] for name, part in self._slices.items()}

    def join(self, **variables: Array) -> Array:
        """Return the state ``[p, s]`` made of ``variables``, each ``[p, size]`` or ``[p]`` for size 1.

        Raises ``InputError`` when a variable is missing or unknown.
        """
        if variables.keys() != self._slices.keys():
            raise InputError(f"The state needs {list(self)}; got {list(variables)}.")
        points = len(next(iter(variables.values()))) if variables else 0
        state = np.empty((points, self.size))
        for name, values in variables.items():
            state[:, self._slices[name]] = np.reshape(values, (points, -1))
        return state


def extended(own: Mapping[str, int], inner: StateLayout, *, last: bool = False) -> StateLayout:
    """Return the layout of a wrapper: its ``own`` variables and those of the law inside, which come first if ``last``.

    An own variable whose name the law inside has taken is called ``outer_…``: no two share a place.
    """
    mine = {}
    for name, size in own.items():
        while name in inner:
            name = f"outer_{name}"
        mine[name] = size
    return StateLayout(inner.sizes | mine if last else mine | inner.sizes)


@dataclass(slots=True)
class Response:
    """What a law answers for ``p`` points.

    Attributes
    ----------
    stress : [p, m]
        Conjugate stress in the order of the law's kinematics, unit of stress.
    tangent : [p, m, m] or None
        Consistent tangent ``dσ/dε``, unit of stress; ``None`` if it was not asked for.
    state : [p, s]
        New internal variables.
    status : [p], int8
        One :class:`PointStatus` a point. Rows that are not finite become ``FAILED`` whatever the law says.
    dt_factor : float
        Largest ratio of the next step to this one that the law accepts; ``inf`` if it has no opinion. A value
        below 1 asks that this step be repeated with that fraction.
    """

    stress: Array
    tangent: Array | None
    state: Array
    status: StatusArray | None = None
    dt_factor: float = math.inf

    def __post_init__(self) -> None:
        finite = finite_rows(self.stress) & finite_rows(self.state)
        if self.tangent is not None:
            finite &= finite_rows(self.tangent)
        fine = np.int8(PointStatus.FINE)
        given = np.full(len(self.stress), fine) if self.status is None else np.asarray(self.status, dtype=np.int8)
        self.status = np.where(finite, given, np.int8(PointStatus.FAILED)).astype(np.int8)


class Material(ABC):
    """A constitutive law, written or learned.

    A subclass sets ``kinematics`` and ``state_layout`` (class attributes, or instance attributes made in
    ``__init__``) and implements :meth:`update`. Laws are final: a variation wraps another law.
    """

    kinematics: Kinematics
    state_layout: StateLayout = StateLayout()

    symmetric: bool = False
    """Whether the tangent is always symmetric; the solver then may use CG instead of GMRES."""

    collective: bool = False
    """Whether all ranks must call :meth:`update` together, also those that have no points."""

    @property
    def identity(self) -> str:
        """Who may read the state of this law: its class and the identities of the laws in it; a checkpoint keeps it.

        It is the same on every rank and in every process. Parameters have no part in it, because a plastic strain is
        one whatever the yield stress, and because fields of parameters differ between ranks. A law whose state has no
        meaning outside itself, such as a network, overrides it with a hash.
        """
        inner = ", ".join(law.identity for law in _laws_in(self))
        return f"{type(self).__name__}({inner})" if inner else type(self).__name__

    @property
    def units(self) -> Any:
        """Units of stress, strain and time, those of the laws in it; ``None`` for formulas, which go with all units.

        A law that was trained in some units sets them. Raises ``InputError`` where the laws in it differ in theirs.
        """
        if "units" in vars(self):
            return vars(self)["units"]
        known = [units for law in _laws_in(self) if (units := law.units) is not None]
        for other in known[1:]:
            if other != known[0]:
                raise InputError(
                    f"{type(self).__name__}: the units of its laws differ, ({known[0]}) and ({other}); convert one of "
                    "them, and write the new units on its card."
                )
        return known[0] if known else None

    @units.setter
    def units(self, units: Any) -> None:
        vars(self)["units"] = units

    def initial_state(self, points: int) -> Array:
        """Return the state ``[points, s]`` of the virgin material; zeros unless the law says otherwise."""
        return np.zeros((points, self.state_layout.size))

    @abstractmethod
    def update(self, strain: Array, state: Array, dt: float, *, tangent: bool = True) -> Response:
        """Answer for a batch of points.

        Parameters
        ----------
        strain : [p, m]
            *Total* strain at the end of the step, in the order of ``kinematics``; dimensionless.
        state : [p, s]
            Internal variables at the beginning of the step; not changed.
        dt : float
            Length of the step, unit of time.
        tangent : bool
            Whether the consistent tangent is wanted (a line search needs the stress alone).
        """

    def reason(self, state: Array, status: StatusArray) -> str:
        """Return why rows of an answer with the new ``state[p, s]`` and ``status[p]`` failed; empty if that is unknown.

        A law that refuses points on purpose says so here: part of a sentence, which follows the number of points.
        """
        return ""

    def update_into(self, strain: Array, state: Array, dt: float, out: Response, *, tangent: bool = True) -> None:
        """Answer like :meth:`update`, but into the arrays of ``out``.

        The solver calls this door; a law that is fast enough for copies to matter overrides it. ``out.tangent`` is
        left alone when ``tangent`` is false. The arrays of ``out`` never overlap ``strain`` or ``state``.
        """
        answer = self.update(strain, state, dt, tangent=tangent)
        out.stress[...] = answer.stress
        out.state[...] = answer.state
        out.status = answer.status
        out.dt_factor = answer.dt_factor
        if tangent and out.tangent is not None:
            if answer.tangent is None:
                raise TypeError(f"{type(self).__name__}.update gave no tangent though it was asked for one.")
            out.tangent[...] = answer.tangent


def _laws_in(law: Material) -> Iterator[Material]:
    """Yield the laws that are attributes of ``law``, alone, in a sequence or a dict, in the order they were set."""
    for value in vars(law).values():
        parts = value.values() if isinstance(value, dict) else value
        for part in parts if isinstance(value, dict | list | tuple) else (value,):
            if isinstance(part, Material):
                yield part


def finite_rows(array: Array) -> NDArray[np.bool_]:
    """Return for each row of ``array[p, ...]`` whether all its entries are finite, shape ``[p]``."""
    if array.size == 0:
        return np.ones(len(array), dtype=bool)
    flat = array.reshape(len(array), -1)
    # 0·inf and 0·NaN are NaN and survive the sum: one pass over the array decides, without a mask of its size.
    with np.errstate(invalid="ignore", over="ignore"):
        return np.isfinite(flat @ np.zeros(flat.shape[1]))

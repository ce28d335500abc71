"""Supports and loads as functions of time.

A value is a number, or a function ``f(t)``, or a function ``f(x, t)`` of the coordinates ``x[3, n]`` and time. The
classes here say what the user wants; the problem turns them into boundary conditions and integrals.
"""

import inspect
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from pointlaw.errors import InputError

Value = float | Callable[..., Any]


@dataclass(frozen=True)
class Point:
    """A place given by its coordinates (unit of length): the node nearest to it, within ``tolerance``.

    Where nodes coincide, as on the lips of a slit, it is all of them.
    """

    x: float
    y: float = 0.0
    z: float = 0.0
    tolerance: float = 1e-8

    def __call__(self, x: np.ndarray) -> np.ndarray:
        """Return which of the coordinates ``x[3, n]`` are within the tolerance, ``[n]``."""
        return self._distance(x) <= self.tolerance

    def onto_node(self, x: np.ndarray, comm: Any) -> "Point":
        """Return the place of the nearest of the nodes ``x[3, n]`` of all ranks, with a tolerance for round-off only.

        Of nodes that are equally near it is the first by its coordinates. If none is within the tolerance, it is this
        point as it is. Collective.
        """
        distance = self._distance(x)
        nearest = min(comm.allgather(float(distance.min(initial=np.inf))))
        if nearest > self.tolerance:
            return self
        small = 1e-12 * max(comm.allgather(float(np.abs(x).max(initial=0.0))))
        near = comm.allgather(x[:, distance <= nearest + small].T.tolist())
        places = [place for part in near for place in part]
        x0, y0, z0 = min(places, key=lambda place: [round(c / small) for c in place])
        return Point(x0, y0, z0, tolerance=small)

    def _distance(self, x: np.ndarray) -> np.ndarray:
        return np.linalg.norm(x - np.array([[self.x], [self.y], [self.z]]), axis=0)


@dataclass(frozen=True)
class Displacement:
    """Prescribed displacement components on a part of the mesh; unit of length.

    ``where`` is a physical name, a facet tag, a :class:`Point`, or a function of the coordinates of nodes. Components
    that are ``None`` stay free.

    >>> Displacement("left", x=0.0), Displacement("right", x=lambda t: 0.01 * t)  # doctest: +ELLIPSIS
    (Displacement(...), Displacement(...))
    """

    where: Any
    x: Value | None = None
    y: Value | None = None
    z: Value | None = None

    @property
    def components(self) -> dict[int, Value]:
        """Prescribed value of each constrained direction."""
        values = {i: value for i, value in enumerate((self.x, self.y, self.z)) if value is not None}
        if not values:
            raise InputError(f"Displacement at {self.where!r} prescribes nothing; give x, y or z.")
        return values


@dataclass(frozen=True)
class Traction:
    """Force per reference area on a part of the boundary, one value a direction; unit of stress."""

    where: Any
    value: Sequence[Value]


@dataclass(frozen=True)
class Pressure:
    """Pressure on a part of the boundary, positive when it pushes; unit of stress.

    At finite strain it follows the deformed surface (Nanson), at small strain it keeps its direction.
    """

    where: Any
    value: Value


@dataclass(frozen=True)
class BodyForce:
    """Force per reference volume, one value a direction, on some cells or the whole body."""

    value: Sequence[Value]
    where: Any = None


Load = Traction | Pressure | BodyForce
LOADS = (Traction, Pressure, BodyForce)


@dataclass
class Evaluator:
    """A user's value, asked in one way: ``at(t)`` for a uniform value, ``over(x, t)`` for one that varies in space."""

    value: Any
    what: str
    varies: bool = field(init=False)

    def __post_init__(self) -> None:
        self.varies = callable(self.value) and _parameters(self.value, self.what) == 2

    def at(self, t: float) -> float:
        """Return the number at time ``t``; raises ``InputError`` if it is not a finite number."""
        value = self.value(t) if callable(self.value) else self.value
        try:
            number = float(value)
        except (TypeError, ValueError):
            raise InputError(f"{self.what} at t = {t:g} is {value!r}, not a number.") from None
        if not np.isfinite(number):
            raise InputError(f"{self.what} at t = {t:g} is {number}; loads are finite numbers.")
        return number

    def over(self, x: np.ndarray, t: float) -> np.ndarray:
        """Return the values ``[n]`` at coordinates ``x[3, n]``; raises ``InputError`` unless finite numbers."""
        given = self.value(x, t)
        try:
            values = np.asarray(given, dtype=float)
        except (TypeError, ValueError):
            raise InputError(f"{self.what} at t = {t:g} is {given!r}, no numbers.") from None
        if values.shape not in ((), (1,), x.shape[1:]):
            raise InputError(
                f"{self.what} at t = {t:g} has the shape {values.shape}, but there are {x.shape[1]} coordinates "
                "x[3, n]: return one number for each, [n]."
            )
        values = np.broadcast_to(values, x.shape[1:])
        if not np.all(np.isfinite(values)):
            raise InputError(f"{self.what} at t = {t:g} has values that are not finite.")
        return values


def _parameters(function: Callable[..., Any], what: str) -> int:
    try:
        parameters = inspect.signature(function).parameters.values()
    except (TypeError, ValueError):
        return 1  # a compiled function of time, such as numpy.sin
    count = sum(p.kind in (p.POSITIONAL_ONLY, p.POSITIONAL_OR_KEYWORD) and p.default is p.empty for p in parameters)
    if count not in (1, 2):
        raise InputError(f"{what} is a function of {count} arguments; use f(t) or f(x, t).")
    return count

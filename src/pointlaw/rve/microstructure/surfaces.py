"""Triply periodic minimal surfaces: gyroid, Schwarz P and D, as a wall or as one of the two channels they part."""

from collections.abc import Callable, Sequence

import numpy as np

from pointlaw.errors import InputError
from pointlaw.rve.microstructure.base import Microstructure, Tags, box
from pointlaw.tensors import Array

SURFACES: dict[str, Callable[[Array, Array, Array], Array]] = {
    "gyroid": lambda x, y, z: np.sin(x) * np.cos(y) + np.sin(y) * np.cos(z) + np.sin(z) * np.cos(x),
    "primitive": lambda x, y, z: np.cos(x) + np.cos(y) + np.cos(z),
    "diamond": lambda x, y, z: np.cos(x) * np.cos(y) * np.cos(z) - np.sin(x) * np.sin(y) * np.sin(z),
}
SAMPLES = 64


class MinimalSurface(Microstructure):
    """Solid on one side of a triply periodic surface, or a wall along it; phases ``solid`` (1) and ``void`` (2).

    Parameters
    ----------
    surface : str
        ``gyroid``, ``primitive`` or ``diamond``.
    fraction : float
        Volume fraction of the solid; met to about 1e-5.
    wall : bool
        A wall of the solid along the surface instead of one side of it.
    periods : int
        Periods along each axis.
    size : float or [3]
        Lengths of the box, unit of length.
    """

    def __init__(
        self,
        surface: str = "gyroid",
        fraction: float = 0.5,
        *,
        wall: bool = False,
        periods: int = 1,
        size: float | Sequence[float] = 1.0,
    ):
        if surface not in SURFACES:
            raise InputError(f"There is no surface '{surface}'; there are {', '.join(SURFACES)}.")
        if not 0.0 < fraction < 1.0 or periods < 1:
            raise InputError(
                f"MinimalSurface: fraction = {fraction} lies between 0 and 1, periods = {periods} is 1 or more."
            )
        self.names = {"solid": 1, "void": 2}
        self.size, self.periods, self.wall = box(size, 3), periods, wall
        self._function = SURFACES[surface]
        points = (np.arange(SAMPLES) + 0.5) / SAMPLES * 2.0 * np.pi
        values = self._function(*np.meshgrid(points, points, points, indexing="ij")).ravel()
        self.level = float(np.quantile(np.abs(values) if wall else values, fraction))

    def tags_at(self, x: Array) -> Tags:
        """Return solid or void for each place."""
        values = self._function(*(2.0 * np.pi * self.periods * x / self.size).T)
        return np.where((np.abs(values) if self.wall else values) <= self.level, 1, 2).astype(np.int32)

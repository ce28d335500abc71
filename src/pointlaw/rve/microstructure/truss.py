"""Truss lattices: round struts between the nodes of a periodic cell."""

from collections.abc import Sequence

import numpy as np
from scipy.optimize import brentq

from pointlaw.errors import InputError
from pointlaw.rve.microstructure.base import Microstructure, Tags, box
from pointlaw.rve.microstructure.ellipsoids import images
from pointlaw.tensors import Array

_H = 0.5
# Struts of one cell as pairs of places, in shares of the box; periodic images complete them.
TRUSSES: dict[str, tuple[tuple[tuple[float, ...], tuple[float, ...]], ...]] = {
    "square": (((0, _H), (1, _H)), ((_H, 0), (_H, 1))),
    "crossed": (((0, 0), (1, 1)), ((0, 1), (1, 0))),
    "cubic": (((0, _H, _H), (1, _H, _H)), ((_H, 0, _H), (_H, 1, _H)), ((_H, _H, 0), (_H, _H, 1))),
    "body_centred": (((0, 0, 0), (1, 1, 1)), ((1, 0, 0), (0, 1, 1)), ((0, 1, 0), (1, 0, 1)), ((0, 0, 1), (1, 1, 0))),
    "octet": (
        *(((0, 0, 0), end) for end in ((_H, _H, 0), (_H, 0, _H), (0, _H, _H))),
        *(((1, 0, 0), end) for end in ((_H, _H, 0), (_H, 0, _H))),
        *(((0, 1, 0), end) for end in ((_H, _H, 0), (0, _H, _H))),
        *(((0, 0, 1), end) for end in ((_H, 0, _H), (0, _H, _H))),
        ((1, 1, 0), (_H, _H, 0)),
        ((1, 0, 1), (_H, 0, _H)),
        ((0, 1, 1), (0, _H, _H)),
        *(
            (start, end)
            for start in ((_H, _H, 0), (_H, _H, 1))
            for end in ((_H, 0, _H), (_H, 1, _H), (0, _H, _H), (1, _H, _H))
        ),
        *((start, end) for start in ((_H, 0, _H), (_H, 1, _H)) for end in ((0, _H, _H), (1, _H, _H))),
    ),
}
SAMPLES = {2: 200, 3: 32}


class Truss(Microstructure):
    """Struts of one radius; phases ``strut`` (1) and ``void`` (2).

    Parameters
    ----------
    kind : str
        ``square``, ``crossed`` (2D), ``cubic``, ``body_centred`` or ``octet``.
    radius : float, optional
        Of the struts, unit of length; or give the ``fraction``.
    fraction : float, optional
        Volume fraction of the struts, met to about 1 %.
    size : float or [d]
        Lengths of the box, unit of length.
    """

    def __init__(
        self,
        kind: str,
        *,
        radius: float | None = None,
        fraction: float | None = None,
        size: float | Sequence[float] = 1.0,
    ):
        if kind not in TRUSSES:
            raise InputError(f"There is no truss '{kind}'; there are {', '.join(TRUSSES)}.")
        if (radius is None) == (fraction is None):
            raise InputError("Truss: give either the radius of the struts or their volume fraction.")
        struts = np.array(TRUSSES[kind], dtype=float)
        self.names = {"strut": 1, "void": 2}
        self.size = box(size, struts.shape[2])
        self.struts: Array = struts * self.size
        self.radius = self._radius_for(fraction) if radius is None else float(radius)
        if not self.radius > 0.0:
            raise InputError(f"Truss: radius = {self.radius} must be positive.")

    def tags_at(self, x: Array) -> Tags:
        """Return strut or void for each place."""
        return np.where(self.distance(x) <= self.radius, 1, 2).astype(np.int32)

    def distance(self, x: Array) -> Array:
        """Return the distance ``[n]`` of places ``x[n, d]`` to the nearest axis of a strut, unit of length."""
        squared = np.full(len(x), np.inf)
        for start, end in self.struts:
            along = end - start
            low, high = np.minimum(start, end), np.maximum(start, end)
            for shift in images(self.size):
                if (low + shift > self.size).any() or (high + shift < 0.0).any():
                    continue  # does not even touch the box
                away = x - (start + shift)
                share = np.clip(away @ (along / (along @ along)), 0.0, 1.0)
                away -= share[:, None] * along
                np.minimum(squared, np.einsum("nd,nd->n", away, away), out=squared)
        return np.sqrt(squared)

    def _radius_for(self, fraction: float | None) -> float:
        if fraction is None or not 0.0 < fraction < 1.0:
            raise InputError(f"Truss: fraction = {fraction} must lie between 0 and 1.")
        grid = [(np.arange(SAMPLES[self.dim]) + 0.5) / SAMPLES[self.dim] * length for length in self.size]
        x = np.stack(np.meshgrid(*grid, indexing="ij"), axis=-1).reshape(-1, self.dim)
        away = self.distance(x)
        small = 1e-6 * float(self.size.max())
        if np.mean(away <= small) >= fraction:
            raise InputError(f"Truss: fraction = {fraction} is too small for a radius to be found; give the radius.")
        return float(brentq(lambda r: float(np.mean(away <= r)) - fraction, 0.0, float(away.max()), xtol=small))

"""Layers: the microstructure with a closed form."""

from collections.abc import Sequence

import numpy as np

from pointlaw.errors import InputError
from pointlaw.rve.microstructure.base import Microstructure, Tags, box
from pointlaw.tensors import Array


class Laminate(Microstructure):
    """Layers across one axis, phases ``layer_1``, ``layer_2``, … with tags 1, 2, ….

    Parameters
    ----------
    fractions : sequence of float
        Thickness of each layer as a share of the box.
    axis : int
        Normal of the layers.
    dim : int
        2 or 3.
    size : float or [d]
        Lengths of the box, unit of length.
    """

    def __init__(self, fractions: Sequence[float], *, axis: int = 0, dim: int = 2, size: float | Sequence[float] = 1.0):
        shares = np.asarray(fractions, dtype=float)
        if not (len(shares) and (shares > 0.0).all() and abs(shares.sum() - 1.0) < 1e-9):
            raise InputError(f"Laminate: fractions = {list(fractions)} must be positive and sum to 1.")
        if axis not in range(dim):
            raise InputError(f"Laminate: axis = {axis} must be one of {list(range(dim))}.")
        self.size, self.axis = box(size, dim), axis
        self.ends = np.cumsum(shares)[:-1] * self.size[axis]
        self.names = {f"layer_{k + 1}": k + 1 for k in range(len(shares))}

    def tags_at(self, x: Array) -> Tags:
        """Return the layer of each place."""
        return (np.searchsorted(self.ends, x[:, self.axis], side="right") + 1).astype(np.int32)

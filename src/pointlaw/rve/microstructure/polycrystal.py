"""Polycrystals: periodic Voronoi cells with an orientation for each grain."""

from collections.abc import Sequence

import numpy as np
from scipy.spatial import cKDTree

from pointlaw.errors import InputError
from pointlaw.materials import Material, Rotated, random_rotations
from pointlaw.rve.microstructure.base import Microstructure, Tags, box
from pointlaw.tensors import Array


class Polycrystal(Microstructure):
    """Voronoi grains around random seeds, periodic; phases ``grain_1``, ``grain_2``, … with tags 1, 2, ….

    Parameters
    ----------
    grains : int
        Number of grains.
    dim : int
        2 or 3.
    size : float or [d]
        Lengths of the box, unit of length.
    seed : int
        Of places and orientations.

    Attributes
    ----------
    centres : [grains, d]
        Seeds of the cells, unit of length.
    orientations : [grains, 3, 3]
        Rotation from crystal to sample axes, uniform over all rotations.
    """

    def __init__(self, grains: int, *, dim: int = 3, size: float | Sequence[float] = 1.0, seed: int):
        if grains < 1 or dim not in (2, 3):
            raise InputError(f"Polycrystal: grains = {grains} is at least 1 and dim = {dim} is 2 or 3.")
        self.size = box(size, dim)
        self.centres: Array = np.random.default_rng(seed).random((grains, dim)) * self.size
        self.orientations = random_rotations(grains, seed=seed)
        self.names = {f"grain_{k + 1}": k + 1 for k in range(grains)}
        self._tree = cKDTree(self.centres, boxsize=self.size)

    def tags_at(self, x: Array) -> Tags:
        """Return the grain whose centre is nearest."""
        return (self._tree.query(x % self.size)[1] + 1).astype(np.int32)

    def phases(self, crystal: Material) -> dict[str | int, Material]:
        """Return the law of each grain by its tag: ``crystal`` turned by the grain's orientation."""
        return {k + 1: Rotated(crystal, rotation) for k, rotation in enumerate(self.orientations)}

"""Ellipsoidal inclusions in a matrix: discs, ellipses, spheres, ellipsoids, continued periodically across the faces."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from pointlaw.errors import InputError
from pointlaw.fem.tagged_mesh import TaggedMesh, rounded
from pointlaw.rve.microstructure.base import Microstructure, Tags, box
from pointlaw.rve.microstructure.conforming import mesh_inclusions
from pointlaw.rve.microstructure.ellipsoids import images, separations, shape_matrices
from pointlaw.tensors import Array

MATRIX, INCLUSION = 1, 2


class Inclusions(Microstructure):
    """Ellipsoids (ellipses in 2D) in a matrix; phases ``matrix`` (1) and ``inclusion`` (2).

    Parameters
    ----------
    centres : [k, d]
        Centres in the box, unit of length.
    radii : float, [k] or [k, d]
        Radius of each disc or sphere, or the semi-axes of each ellipse or ellipsoid, unit of length.
    axes : [k, d, d], optional
        Rotations; column ``i`` is the direction of semi-axis ``i``. In 2D also angles ``[k]`` in degrees.
    size : float or [d]
        Lengths of the box, unit of length.

    Raises
    ------
    InputError
        If two inclusions overlap (across the faces too), or one is larger than the box.
    """

    def __init__(
        self,
        centres: ArrayLike,
        radii: ArrayLike,
        *,
        axes: ArrayLike | None = None,
        size: float | Sequence[float] = 1.0,
    ):
        self.centres: Array = np.atleast_2d(np.asarray(centres, dtype=float))
        count, dim = self.centres.shape
        if dim not in (2, 3):
            raise InputError(f"Inclusions: centres have shape {self.centres.shape}; they are [k, 2] or [k, 3].")
        self.names = {"matrix": MATRIX, "inclusion": INCLUSION}
        self.size = box(size, dim)
        given = np.asarray(radii, dtype=float)
        self.radii: Array = np.broadcast_to(given[:, None] if given.ndim == 1 else given, (count, dim)).copy()
        if not (np.isfinite(self.centres).all() and np.isfinite(self.radii).all() and (self.radii > 0.0).all()):
            raise InputError("Inclusions: centres must be finite and radii positive.")
        self.axes = _rotations(axes, count, dim)
        self.shapes = shape_matrices(self.radii, self.axes)
        if (2.0 * self.radii.max(axis=1, initial=0.0) > self.size.min()).any():
            raise InputError(
                f"Inclusions: an inclusion of radius {self.radii.max():.4g} is larger than the box of size {self.size}."
            )
        for k in range(1, count):
            gaps = separations(self.centres[k], self.shapes[k], self.centres[:k], self.shapes[:k], self.size)
            if (gaps < 1.0 - 1e-9).any():
                other = int(np.argmin(gaps))
                told = rounded(self.centres, float(self.size.max()), 4).tolist()
                raise InputError(
                    f"Inclusions {other} at {told[other]} and {k} at {told[k]} overlap (periodic images count); "
                    "move or shrink one."
                )

    @property
    def round(self) -> bool:
        """Whether all inclusions are discs or spheres."""
        return bool(np.allclose(self.radii / self.radii[:, :1], 1.0))

    @property
    def fraction(self) -> float:
        """Volume fraction of the inclusions."""
        unit = np.pi if self.dim == 2 else 4.0 / 3.0 * np.pi
        return float(unit * self.radii.prod(axis=1).sum() / self.size.prod())

    def tags_at(self, x: Array) -> Tags:
        """Return matrix or inclusion for each place."""
        tags = np.full(len(x), MATRIX, dtype=np.int32)
        for centre, shape in zip(self.centres, self.shapes, strict=True):
            round_ = np.linalg.inv(np.linalg.cholesky(shape)).T  # turns the ellipsoid into the unit ball
            reach = np.sqrt(np.diagonal(shape))
            for image in images(self.size):
                place = centre + image
                if (place + reach < 0.0).any() or (place - reach > self.size).any():
                    continue
                near = np.flatnonzero((np.abs(x - place) <= reach).all(axis=1))
                away = (x[near] - place) @ round_
                tags[near[np.einsum("ni,ni->n", away, away) <= 1.0]] = INCLUSION
        return tags

    def conforming_mesh(self, element_size: float, *, voids: bool = False, comm: Any = None) -> TaggedMesh:
        """Return a mesh of simplices that follows the inclusions and is periodic; needs gmsh.

        ``element_size`` is the edge length of the elements, unit of length; ``voids`` leaves the inclusions empty.
        """
        return mesh_inclusions(self, element_size, self.names, voids=voids, comm=comm)


def _rotations(axes: ArrayLike | None, count: int, dim: int) -> Array:
    if axes is None:
        return np.tile(np.eye(dim), (count, 1, 1))
    given = np.asarray(axes, dtype=float)
    if dim == 2 and given.ndim == 1:
        angle = np.radians(given)
        return np.stack([np.cos(angle), -np.sin(angle), np.sin(angle), np.cos(angle)], axis=1).reshape(-1, 2, 2)
    if given.shape != (count, dim, dim):
        raise InputError(f"Inclusions: axes have shape {given.shape}; {count} rotations are [{count}, {dim}, {dim}].")
    return given

"""What every microstructure can do: say which phase is where, be turned into voxels, counted and meshed.

The voxel image is a microstructure itself, and the one that all others can be turned into; so it lives here, too.
"""

from abc import ABC, abstractmethod
from collections.abc import Collection, Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from pointlaw.errors import InputError
from pointlaw.fem.tagged_mesh import TaggedMesh
from pointlaw.rve.voxels import voxel_mesh
from pointlaw.tensors import Array

Tags = NDArray[np.int32]


class Microstructure(ABC):
    """A periodic arrangement of phases in a box.

    Attributes
    ----------
    size : [d]
        Lengths of the box, unit of length; it spans from the origin.
    names : dict
        Name and tag of each phase.
    """

    size: Array
    names: Mapping[str, int]

    @property
    def dim(self) -> int:
        """Dimension ``d``, 2 or 3."""
        return len(self.size)

    @abstractmethod
    def tags_at(self, x: Array) -> Tags:
        """Return the phase tags ``[n]`` at places ``x[n, d]`` inside the box."""

    def image(self, resolution: int | Sequence[int]) -> "Image":
        """Return the phases at the centres of voxels; ``resolution`` is their number along the first or each axis."""
        shape = self.shape(resolution)
        centres = [(np.arange(n) + 0.5) * length / n for n, length in zip(shape, self.size, strict=True)]
        x = np.stack(np.meshgrid(*centres, indexing="ij"), axis=-1).reshape(-1, self.dim)
        return Image(self.tags_at(x).reshape(shape), self.size, names=self.names)

    def mesh(
        self, resolution: int | Sequence[int], *, voids: Collection[str | int] = (), comm: Any = None
    ) -> TaggedMesh:
        """Return the voxel mesh; phases named in ``voids`` (names or tags) are left out."""
        image = self.image(resolution)
        tags = [self.tag(void) for void in voids]
        name = f"the {type(self).__name__} of {'×'.join(map(str, image.voxels.shape))} voxels"
        return voxel_mesh(image.voxels, self.size, voids=tags, names=self.names, source=name, comm=comm)

    def tag(self, phase: str | int) -> int:
        """Return the tag of a phase; raises ``InputError`` for an unknown name."""
        if isinstance(phase, int | np.integer):
            return int(phase)
        if phase not in self.names:
            raise InputError(f"{type(self).__name__} has no phase '{phase}'; it has {list(self.names)}.")
        return self.names[phase]

    def shape(self, resolution: int | Sequence[int]) -> tuple[int, ...]:
        """Return the number of voxels along each axis; a single number gives nearly cubic voxels."""
        given = np.asarray(resolution)
        if given.dtype.kind not in "iu" or given.shape not in ((), (self.dim,)) or given.min() < 1:
            raise InputError(
                f"resolution = {resolution} must be a whole number of at least 1, or {self.dim} of them, one an axis."
            )
        if given.ndim:
            return tuple(int(n) for n in given)
        edge = self.size[0] / int(given)
        return tuple(max(1, round(length / edge)) for length in self.size)


class Image(Microstructure):
    """A microstructure given by a tag for each voxel.

    Parameters
    ----------
    voxels : int [nx, ny] or [nx, ny, nz]
        Tags; the first axis is x.
    size : float or [d]
        Lengths of the box, unit of length.
    names
        Name and tag of each phase; where given, the image may hold no other tag.

    Raises
    ------
    InputError
        If the tags are not integers, or the image holds a tag without a name.
    """

    def __init__(
        self, voxels: ArrayLike, size: float | Sequence[float] | Array, *, names: Mapping[str, int] | None = None
    ):
        values = np.asarray(voxels)
        if values.ndim not in (2, 3) or values.size == 0:
            raise InputError(f"A voxel image has 2 or 3 axes and at least one voxel; got shape {values.shape}.")
        whole = np.issubdtype(values.dtype, np.integer) or values.dtype == bool
        if not whole and not np.array_equal(values, np.round(values)):
            raise InputError("A voxel image holds phase tags, whole numbers; this one has fractions or NaN.")
        self.voxels: Tags = values.astype(np.int32)
        self.size = box(size, values.ndim)
        found = [int(tag) for tag in np.unique(self.voxels)]
        self.names = {f"phase_{tag}": tag for tag in found} if names is None else dict(names)
        unknown = sorted(set(found) - set(self.names.values()))
        if unknown:
            raise InputError(
                f"The voxel image has the tags {unknown}, which no phase is named for; named are {dict(self.names)}."
            )

    def tags_at(self, x: Array) -> Tags:
        """Return the tags of the voxels that ``x[n, d]`` lie in."""
        shape = np.array(self.voxels.shape)
        place = np.floor(x / self.size * shape).astype(int) % shape
        tags: Tags = self.voxels[tuple(place.T)]
        return tags

    def shifted(self, *offset: int) -> "Image":
        """Return the image of the same medium with its origin moved by so many voxels along each axis."""
        rolled = np.roll(self.voxels, [-n for n in offset], axis=tuple(range(len(offset))))
        return Image(rolled, self.size, names=self.names)

    def tiled(self, *counts: int) -> "Image":
        """Return the image repeated so many times along each axis: the resolved medium."""
        return Image(np.tile(self.voxels, counts), self.size * np.array(counts), names=self.names)

    def fraction(self, phase: str | int) -> float:
        """Return the volume fraction of a phase."""
        return float(np.mean(self.voxels == self.tag(phase)))


def box(size: float | Sequence[float] | Array, dim: int) -> Array:
    """Return the lengths ``[dim]`` of a box; raises ``InputError`` unless they are positive."""
    lengths = np.broadcast_to(np.asarray(size, dtype=float), (dim,)).copy()
    if not (np.isfinite(lengths).all() and (lengths > 0.0).all()):
        raise InputError(f"size = {size} must be positive lengths.")
    return lengths

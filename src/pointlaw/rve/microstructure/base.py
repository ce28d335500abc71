"""What every microstructure can do: say which phase is where, be counted, turned into voxels and meshed."""

from abc import ABC, abstractmethod
from collections.abc import Collection, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from pointlaw.errors import InputError
from pointlaw.fem.tagged_mesh import TaggedMesh
from pointlaw.rve.voxels import voxel_mesh
from pointlaw.tensors import Array

if TYPE_CHECKING:
    from pointlaw.rve.microstructure.image import Image

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
        from pointlaw.rve.microstructure.image import Image

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
        if isinstance(resolution, int | np.integer):
            edge = self.size[0] / resolution
            counts = [max(1, round(length / edge)) for length in self.size]
        else:
            counts = [int(n) for n in resolution]
        if len(counts) != self.dim or min(counts) < 1:
            raise InputError(f"resolution = {resolution} must be a number or {self.dim} numbers of at least 1.")
        return tuple(counts)


def box(size: float | Sequence[float] | Array, dim: int) -> Array:
    """Return the lengths ``[dim]`` of a box; raises ``InputError`` unless they are positive."""
    lengths = np.broadcast_to(np.asarray(size, dtype=float), (dim,)).copy()
    if not (np.isfinite(lengths).all() and (lengths > 0.0).all()):
        raise InputError(f"size = {size} must be positive lengths.")
    return lengths

"""Voxel images read from files: .npy, .tif and .vti."""

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from pointlaw.errors import EnvironmentProblem, InputError
from pointlaw.rve.microstructure.base import Image
from pointlaw.tensors import Array


def read_image(
    path: str | Path, size: float | Sequence[float] | None = None, *, names: Mapping[str, int] | None = None
) -> Image:
    """Read a voxel image.

    Parameters
    ----------
    path
        ``.npy`` (axes x, y, z), ``.tif`` (pages are z, rows are y from top to bottom, columns x; needs Pillow) or
        ``.vti`` (needs PyVista; its first cell or point array, and its spacing).
    size
        Lengths of the box, unit of length; if omitted, one a voxel (``.vti``: as the file says).
    names
        Name and tag of each phase.

    Raises
    ------
    InputError
        If the file is missing or of another kind, or holds tags that are not named.
    EnvironmentProblem
        If the package that reads it is not installed.
    """
    path = Path(path)
    if not path.is_file():
        raise InputError(f"There is no voxel file {path}.")
    readers = {".npy": _read_npy, ".tif": _read_tif, ".tiff": _read_tif, ".vti": _read_vti}
    if path.suffix not in readers:
        raise InputError(f"{path} is no voxel image that can be read; use one of {', '.join(readers)}.")
    voxels, spacing = readers[path.suffix](path)
    try:
        return Image(voxels, spacing * np.array(voxels.shape) if size is None else size, names=names)
    except InputError as error:
        raise InputError(f"{path}: {error}") from None


def _read_npy(path: Path) -> tuple[np.ndarray, Array]:
    try:
        voxels = np.load(path, allow_pickle=False)
    except ValueError as error:
        raise InputError(f"{path} is no array of numbers: {error}") from None
    return voxels, np.ones(voxels.ndim)


def _read_tif(path: Path) -> tuple[np.ndarray, Array]:
    try:
        from PIL import Image as Pillow
        from PIL import ImageSequence
    except ImportError:
        raise EnvironmentProblem(f"Reading {path} needs Pillow: pip install pillow.") from None
    with Pillow.open(path) as file:
        pages = [np.array(page) for page in ImageSequence.Iterator(file)]
    # A page is [rows downwards, columns]; our axes are x, y upwards, z.
    stack = np.stack([page[::-1].T for page in pages], axis=-1)
    voxels = stack[..., 0] if len(pages) == 1 else stack
    return voxels, np.ones(voxels.ndim)


def _read_vti(path: Path) -> tuple[np.ndarray, Array]:
    try:
        import pyvista
    except ImportError:
        raise EnvironmentProblem(f"Reading {path} needs PyVista: pip install 'pointlaw[plot]'.") from None
    grid = pyvista.read(path)
    data, points = (grid.cell_data, 0) if len(grid.cell_data) else (grid.point_data, 1)
    if not len(data):
        raise InputError(f"{path} holds no array.")
    shape = [max(n - 1 + points, 1) for n in grid.dimensions]
    voxels = np.asarray(data[data.keys()[0]]).reshape(shape, order="F")
    spacing = np.asarray(grid.spacing, dtype=float)
    flat = shape[2] == 1
    return (voxels[..., 0], spacing[:2]) if flat else (voxels, spacing)

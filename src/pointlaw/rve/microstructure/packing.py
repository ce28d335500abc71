"""Arrangements of inclusions that do not overlap: at random one after the other, and on lattices."""

from collections.abc import Sequence

import numpy as np

from pointlaw.errors import InputError
from pointlaw.materials import checks
from pointlaw.rve.microstructure.base import box
from pointlaw.rve.microstructure.ellipsoids import separations, shape_matrices
from pointlaw.rve.microstructure.inclusions import Inclusions
from pointlaw.tensors import Array

# Random sequential addition of equal discs and spheres stops near these fractions (Feder 1980,
# doi 10.1016/0022-5193(80)90358-6; Zhang & Torquato 2013, doi 10.1103/PhysRevE.88.053312).
JAMMING = {2: 0.547, 3: 0.384}
RESTARTS = 10

LATTICES: dict[str, tuple[tuple[float, ...], ...]] = {
    "square": ((0.5, 0.5),),
    "hexagonal": ((0.25, 0.25), (0.75, 0.75)),  # in a box of 1 : √3
    "cubic": ((0.5, 0.5, 0.5),),
    "body_centred": ((0.25, 0.25, 0.25), (0.75, 0.75, 0.75)),
    "face_centred": ((0.25, 0.25, 0.25), (0.75, 0.75, 0.25), (0.75, 0.25, 0.75), (0.25, 0.75, 0.75)),
}


def random_inclusions(
    fraction: float,
    count: int,
    *,
    dim: int = 2,
    spread: float = 0.0,
    aspect: float = 1.0,
    gap: float = 0.0,
    size: float | Sequence[float] = 1.0,
    seed: int,
    attempts: int = 2000,
) -> Inclusions:
    """Throw inclusions into a periodic box one after the other, the largest first, each where there is room.

    Parameters
    ----------
    fraction : float
        Volume fraction; met exactly.
    count : int
        Number of inclusions.
    dim : int
        2 (discs, ellipses) or 3 (spheres, spheroids).
    spread : float
        Coefficient of variation of the radii, log-normal; 0 for equal ones.
    aspect : float
        Length of the first semi-axis over the others; the direction is uniform.
    gap : float
        Smallest distance of two inclusions, unit of length.
    size : float or [d]
        Lengths of the box, unit of length.
    seed : int
        Same seed, same microstructure.
    attempts : int
        Places tried for one inclusion before all are taken out again, at most ten times.

    Raises
    ------
    InputError
        If the inclusions do not fit.
    """
    checks.positive("random_inclusions", aspect=aspect)
    checks.non_negative("random_inclusions", spread=spread, gap=gap)
    lengths = box(size, dim)
    if not 0.0 < fraction < 1.0 or count < 1:
        raise InputError(
            f"random_inclusions: fraction = {fraction} lies between 0 and 1, count = {count} is at least 1."
        )
    rng = np.random.default_rng(seed)
    width = np.sqrt(np.log1p(spread**2))
    radii = np.sort(np.exp(width * rng.normal(size=count)))[::-1]
    unit = np.pi if dim == 2 else 4.0 / 3.0 * np.pi
    radii *= (fraction * lengths.prod() / (unit * (radii**dim).sum() * aspect)) ** (1.0 / dim)
    semi: Array = np.repeat(radii[:, None], dim, axis=1)
    semi[:, 0] *= aspect
    if 2.0 * semi.max() > lengths.min():
        raise InputError(
            f"A volume fraction of {fraction:g} cannot be packed: {count} inclusions need a semi-axis of "
            f"{semi.max():.3g}, more than the box of size {lengths.tolist()} has room for. Use more inclusions or a "
            "smaller fraction."
        )
    for _ in range(RESTARTS):
        found = _throw(semi, lengths, gap, rng, attempts)
        if found is not None:
            return Inclusions(found[0], semi, axes=found[1], size=size)
    raise InputError(
        f"A volume fraction of {fraction:g} cannot be packed at random: {count} inclusions found no room in "
        f"{RESTARTS} × {attempts} attempts (equal discs or spheres jam near {JAMMING[dim]}). Use a smaller fraction or "
        "gap, or a lattice."
    )


def lattice_inclusions(
    lattice: str, fraction: float, *, cells: int | Sequence[int] = 1, length: float = 1.0
) -> Inclusions:
    """Put equal discs or spheres on a lattice.

    Parameters
    ----------
    lattice : str
        ``square``, ``hexagonal`` (2D, box 1 : √3), ``cubic``, ``body_centred`` or ``face_centred``.
    fraction : float
        Volume fraction.
    cells : int or [d]
        Number of unit cells along each axis.
    length : float
        Edge of the unit cell along x, unit of length.
    """
    if lattice not in LATTICES:
        raise InputError(f"There is no lattice '{lattice}'; there are {', '.join(LATTICES)}.")
    sites = np.array(LATTICES[lattice])
    dim = sites.shape[1]
    edges = length * np.array([1.0, np.sqrt(3.0)] if lattice == "hexagonal" else [1.0] * dim)
    counts = np.broadcast_to(np.asarray(cells, dtype=int), (dim,))
    unit = np.pi if dim == 2 else 4.0 / 3.0 * np.pi
    if not 0.0 < fraction < 1.0 or counts.min() < 1:
        raise InputError(
            f"lattice_inclusions: fraction = {fraction} lies between 0 and 1, cells = {cells} is 1 or more."
        )
    radius = (fraction * edges.prod() / (len(sites) * unit)) ** (1.0 / dim)
    blocks = np.stack(np.meshgrid(*map(np.arange, counts), indexing="ij"), axis=-1).reshape(-1, 1, dim)
    try:
        return Inclusions(((blocks + sites) * edges).reshape(-1, dim), radius, size=(counts * edges).tolist())
    except InputError as error:
        raise InputError(
            f"A volume fraction of {fraction:g} cannot be packed on a {lattice} lattice: {error}"
        ) from None


def _throw(
    semi: Array, lengths: Array, gap: float, rng: np.random.Generator, attempts: int
) -> tuple[Array, Array] | None:
    """Return centres and axes, or ``None`` when one inclusion found no room."""
    count, dim = semi.shape
    centres, axes = np.empty((count, dim)), np.empty((count, dim, dim))
    shapes = np.empty((count, dim, dim))
    round_ = bool(np.allclose(semi / semi[:, :1], 1.0))
    for k in range(count):
        for _ in range(attempts):
            turn = np.eye(dim) if round_ else _direction(rng, dim)
            place = rng.random(dim) * lengths
            shape = shape_matrices(semi[k : k + 1] + 0.5 * gap, turn[None])[0]
            if k == 0 or (separations(place, shape, centres[:k], shapes[:k], lengths) >= 1.0).all():
                centres[k], axes[k], shapes[k] = place, turn, shape
                break
        else:
            return None
    return centres, axes


def _direction(rng: np.random.Generator, dim: int) -> Array:
    """Return a rotation that is uniform over all rotations."""
    matrix, triangle = np.linalg.qr(rng.normal(size=(dim, dim)))
    matrix = matrix * np.sign(np.diagonal(triangle))
    if np.linalg.det(matrix) < 0.0:
        matrix[:, -1] *= -1.0
    return matrix

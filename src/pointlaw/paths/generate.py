"""Generators of strain paths: proportional, cyclic, random walk, Gaussian process.

A random path is made from its seed and its index alone: path 17 is the same path whether it is drawn by itself, among
a thousand, or on another rank. All generators start at the undeformed body and bound what they draw; at finite strain
the path is added to the identity.
"""

from collections.abc import Iterable

import numpy as np
from numpy.typing import ArrayLike

from pointlaw.errors import InputError
from pointlaw.materials import checks
from pointlaw.paths.path import StrainPath
from pointlaw.tensors import SMALL_STRAIN_3D, Array, Kinematics

Indices = int | Iterable[int]


def through(
    points: ArrayLike, *, steps: int, duration: float = 1.0, kinematics: Kinematics = SMALL_STRAIN_3D
) -> StrainPath:
    """Go in straight lines from the undeformed body through ``points``.

    Parameters
    ----------
    points : [n, k, m] or [k, m]
        Strains (at finite strain: ``F − I``) where the direction changes.
    steps : int
        Equal steps of every line.
    duration : float
        Time of the whole path, unit of time.
    kinematics : Kinematics
        Which strain this is.
    """
    corners = np.asarray(points, dtype=float)
    corners = corners[None] if corners.ndim == 2 else corners
    if corners.ndim != 3 or corners.shape[-1] != kinematics.size or corners.shape[1] == 0:
        raise InputError(f"through: points has shape {corners.shape}; it must be (n, k ≥ 1, {kinematics.size}).")
    checks.whole("through", steps=steps)
    checks.positive("through", duration=duration)
    corners = np.concatenate([np.zeros_like(corners[:, :1]), corners], axis=1)
    coarse = StrainPath(np.linspace(0.0, duration, corners.shape[1]), corners, kinematics).refine(steps)
    return StrainPath(coarse.times, coarse.strain + kinematics.reference, kinematics)


def proportional(
    directions: ArrayLike,
    *,
    amplitude: ArrayLike,
    steps: int,
    duration: float = 1.0,
    kinematics: Kinematics = SMALL_STRAIN_3D,
) -> StrainPath:
    """Load along fixed directions up to a strain of norm ``amplitude`` (a number, or one a path).

    ``directions[n, m]`` (or ``[m]``) are scaled to length one. Raises ``InputError`` for a direction of length zero.
    """
    return through(_scaled(directions, amplitude)[:, None], steps=steps, duration=duration, kinematics=kinematics)


def cyclic(
    directions: ArrayLike,
    *,
    amplitude: ArrayLike,
    cycles: int,
    steps: int,
    ratio: float = -1.0,
    duration: float = 1.0,
    kinematics: Kinematics = SMALL_STRAIN_3D,
) -> StrainPath:
    """Cycle along fixed directions between ``amplitude`` and ``ratio · amplitude``, and return to zero.

    ``directions[n, m]`` are scaled to length one; each of the ``2·cycles + 1`` lines has ``steps`` steps.
    """
    checks.whole("cyclic", cycles=cycles)
    ends = np.array([1.0, ratio] * cycles + [0.0])
    corners = _scaled(directions, amplitude)[:, None] * ends[:, None]
    return through(corners, steps=steps, duration=duration, kinematics=kinematics)


def random_directions(indices: Indices, *, seed: int, kinematics: Kinematics = SMALL_STRAIN_3D) -> Array:
    """Return directions ``[n, m]`` of length one, uniform on the sphere; ``indices`` as in :func:`random_walk`."""
    drawn = [_generator(seed, i).standard_normal(kinematics.size) for i in _listed(indices)]
    return _scaled(np.reshape(drawn, (-1, kinematics.size)), 1.0)


def random_walk(
    indices: Indices,
    *,
    seed: int,
    steps: int,
    step_size: float,
    bound: float,
    duration: float = 1.0,
    kinematics: Kinematics = SMALL_STRAIN_3D,
) -> StrainPath:
    """Walk in steps of random direction and of norm at most ``step_size``, never beyond a strain of norm ``bound``.

    Parameters
    ----------
    indices : int or iterable of int
        Which paths of this seed: ``n`` means ``range(n)``.
    seed : int
        Path ``i`` depends on ``(seed, i)`` alone.
    steps : int
        Number of steps.
    step_size, bound : float
        Largest norm of a step and of the strain (at finite strain of ``F − I``, below 1).
    duration : float
        Time of the whole path, unit of time.
    kinematics : Kinematics
        Which strain this is.
    """
    checks.whole("random_walk", steps=steps)
    checks.positive("random_walk", step_size=step_size, bound=bound, duration=duration)
    _bounded("random_walk", bound, kinematics)
    listed = _listed(indices)
    moves = np.empty((len(listed), steps, kinematics.size))
    for row, index in enumerate(listed):
        rng = _generator(seed, index)
        drawn = rng.standard_normal((steps, kinematics.size))
        # Lengths between a quarter and the whole step: small steps belong to what a law has to answer.
        moves[row] = drawn / _norm(drawn)[:, None] * (step_size * rng.uniform(0.25, 1.0, (steps, 1)))
    walk = np.zeros((len(listed), steps + 1, kinematics.size))
    for k in range(steps):
        here = walk[:, k]
        outside = _norm(here + moves[:, k]) > bound
        there = here + np.where(outside[:, None], -moves[:, k], moves[:, k])
        # Pulling a point back onto a ball brings no two points further apart: the step stays within step_size.
        walk[:, k + 1] = there * np.minimum(1.0, bound / np.maximum(_norm(there), 1e-300))[:, None]
    return StrainPath(np.linspace(0.0, duration, steps + 1), walk + kinematics.reference, kinematics)


def gaussian_process(
    indices: Indices,
    *,
    seed: int,
    steps: int,
    bound: float,
    correlation: float = 0.2,
    step_size: float = np.inf,
    duration: float = 1.0,
    kinematics: Kinematics = SMALL_STRAIN_3D,
) -> StrainPath:
    """Draw smooth paths: each component a Gaussian process with squared-exponential covariance, zero at the start.

    Parameters
    ----------
    indices, seed, steps, duration, kinematics
        As in :func:`random_walk`.
    bound : float
        Largest norm of the strain. The root mean square far from the start is half of it; a path that goes beyond
        is shrunk as a whole.
    correlation : float
        Correlation time as a share of the duration.
    step_size : float
        Largest norm of a step; a path with a longer one is shrunk as a whole.

    Notes
    -----
    Mozaffar et al. 2019, doi 10.1073/pnas.1911815116, and Logarzo et al. 2021, doi 10.1016/j.cma.2020.113482, train
    path-dependent networks on random paths of this kind.
    """
    checks.whole("gaussian_process", steps=steps)
    checks.positive("gaussian_process", bound=bound, correlation=correlation, duration=duration)
    if not step_size > 0.0:
        raise InputError(f"gaussian_process: step_size = {step_size} must be > 0.")
    _bounded("gaussian_process", bound, kinematics)
    time = np.linspace(0.0, 1.0, steps + 1)[1:]
    covariance = np.exp(-0.5 * np.square((time[:, None] - time) / correlation))
    start = np.exp(-0.5 * np.square(time / correlation))
    covariance -= start[:, None] * start  # given the value zero at the start
    root = np.linalg.cholesky(covariance + 1e-10 * np.eye(steps))
    listed = _listed(indices)
    walk = np.zeros((len(listed), steps + 1, kinematics.size))
    for row, index in enumerate(listed):
        # One product a path: a product over all paths would round differently with their number.
        walk[row, 1:] = root @ _generator(seed, index).standard_normal((steps, kinematics.size))
    walk *= 0.5 * bound / np.sqrt(kinematics.size)
    largest = np.maximum(_norm(walk).max(axis=1), 1e-300)
    longest = np.maximum(_norm(np.diff(walk, axis=1)).max(axis=1), 1e-300)
    walk *= np.minimum(1.0, np.minimum(bound / largest, step_size / longest))[:, None, None]
    return StrainPath(np.linspace(0.0, duration, steps + 1), walk + kinematics.reference, kinematics)


def _generator(seed: int, index: int) -> np.random.Generator:
    if seed < 0 or index < 0:
        raise InputError(f"A random path needs a seed and an index of 0 or more; got seed {seed}, index {index}.")
    return np.random.Generator(np.random.PCG64(np.random.SeedSequence([seed, index])))


def _listed(indices: Indices) -> list[int]:
    listed = list(range(indices)) if isinstance(indices, int | np.integer) else [int(i) for i in indices]
    if not listed:
        raise InputError("A generator of paths needs at least one index; got none.")
    return listed


def _norm(vectors: Array) -> Array:
    return np.sqrt(np.square(vectors).sum(axis=-1))


def _scaled(directions: ArrayLike, amplitude: ArrayLike) -> Array:
    vectors = np.atleast_2d(np.asarray(directions, dtype=float))
    length = _norm(vectors)
    if not (np.isfinite(length) & (length > 0.0)).all():
        raise InputError(f"Direction {int(np.argmin(length))} has length {length.min()}; it must be finite and not 0.")
    return vectors * (np.broadcast_to(np.asarray(amplitude, dtype=float), length.shape) / length)[:, None]


def _bounded(name: str, bound: float, kinematics: Kinematics) -> None:
    if kinematics.finite and bound >= 1.0:
        raise InputError(f"{name}: bound = {bound} must be below 1 at finite strain, or det F could become negative.")

"""Mixed paths of a computed lattice cell: where they end, and what the beams answer along them.

The public data are five simple paths. A law that learned these alone may err between them, so the cell is led along
others: straight ones, with every component prescribed, and such whose sides are free, as in a tensile test. Where
struts align with the pull a little more or less contraction is all that counts, and a law must know where the valley
of the energy is; on paths with free sides the beams find it themselves.
"""

import itertools
import multiprocessing
import os
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor

import numpy as np
import torch

from beam_material import BeamCell
from beams import Beams, Cell
from lattice_data import REST, Paths
from pointlaw.paths import LoadPath, drive
from pointlaw.tensors import FINITE_STRAIN_3D

Answers = list[tuple[np.ndarray, np.ndarray]]  # of each path F[t, 9] and P[t, 9], Pa, without rest
STEPS = 8  # of a path to train on or to ask; every second point is trained on, the last among them
EARLY = 1.2  # exponent of the load factor: smaller steps near rest, where struts buckle
# Displacement gradients at the end of paths that combine stretches and shears within the range of the data.
NAMED = {
    "tension, shear": [[0.3, 0.3, 0], [0, -0.12, 0], [0, 0, -0.12]],
    "compr., shear": [[-0.3, 0.3, 0], [0, 0.02, 0], [0, 0, 0.02]],
    "biaxial, shear": [[0.25, 0.25, 0], [0, 0.25, 0], [0, 0, -0.4]],
    "planar, shear": [[0.35, 0, 0.25], [0, 0, 0], [0, 0, -0.25]],
    "volume, tension": [[0.3, 0, 0], [0, 0.15, 0], [0, 0, 0.15]],
    "volume, shear": [[0.2, 0.3, 0], [0, 0.2, 0], [0, 0, 0.2]],
    "compr., compr.": [[-0.3, 0, 0], [0, -0.15, 0], [0, 0, 0.02]],
    "three shears": [[0.1, 0.2, 0.2], [0, 0, 0.2], [0, 0, -0.1]],
    "all": [[0.2, 0.15, -0.1], [0.1, -0.1, 0.2], [0.05, -0.1, 0.1]],
}
NEAR = 3e-3  # of the stiffness: stress of a side that counts as free; it is trained on as it is, so it need not vanish
CUTS, ITERATIONS = 2, 15  # of a step whose free sides are not found


def mixed(cell: Cell, ends: np.ndarray, steps: int) -> Answers:
    """Return what the beams answer along straight paths from rest to ``ends[b, 3, 3]``.

    Points at which the beams found no equilibrium are left out.
    """
    return _on_all_cores(_straight, cell, _ramps(ends, steps))


def free_sided(cell: Cell, ends: np.ndarray, steps: int) -> Answers:
    """Return what the beams answer along paths to ``ends[b, 3, 3]``, where components that are not a number are free.

    A path whose beams or sides find no equilibrium ends there.
    """
    return _on_all_cores(_with_free_sides, cell, _ramps(ends, steps))


def _ramps(ends: np.ndarray, steps: int) -> np.ndarray:
    """Return ``F[b, t, 3, 3]`` from rest to the displacement gradients ``ends[b, 3, 3]``."""
    share = np.linspace(0.0, 1.0, steps + 1)[None, :, None, None] ** EARLY
    return np.eye(3) + share * ends[:, None]


def _on_all_cores(run: Callable[[Cell, np.ndarray], Answers], cell: Cell, F: np.ndarray) -> Answers:
    """Return the answers of ``run`` for all paths, each core with a share of them."""
    cores = len(os.sched_getaffinity(0))
    with ProcessPoolExecutor(cores, mp_context=multiprocessing.get_context("spawn")) as pool:
        parts = pool.map(run, itertools.repeat(cell), np.array_split(F, min(cores, len(F))))
        return [path for part in parts for path in part]


def _straight(cell: Cell, F: np.ndarray) -> Answers:
    """Lead some paths in a process of its own."""
    torch.set_num_threads(1)
    P, settled = Beams(cell).run(F)
    settled[:, 0] = False
    return [
        (f[fine].reshape(-1, 9), cell.tension * p[fine].reshape(-1, 9))
        for f, p, fine in zip(F, P, settled, strict=True)
    ]


def _with_free_sides(cell: Cell, F: np.ndarray) -> Answers:
    """Lead some paths in a process of its own."""
    torch.set_num_threads(1)
    target = F.reshape(*F.shape[:2], 9)
    free = np.isnan(target[:, -1:])
    load = LoadPath(np.linspace(0.0, 1.0, F.shape[1]), np.where(free, 0.0, target), free, FINITE_STRAIN_3D)
    record = drive(BeamCell(cell), load, tolerance=NEAR, max_cuts=CUTS, iterations=ITERATIONS)
    reached = [slice(1, last + 1) for last in record.reached]
    return [(record.strain[k, rows], record.stress[k, rows]) for k, rows in enumerate(reached)]


def named_and_drawn(cell: Cell, count: int, free: int, paths: Paths) -> Paths:
    """Return the named mixed paths, ``count`` drawn ones and ``free`` with free sides, none of them to train on.

    Those that the beams do not follow to the end are left out.
    """
    ends = np.concatenate([np.array(list(NAMED.values())), drawn(count, 1, paths).reshape(-1, 3, 3)])
    answers = mixed(cell, ends, STEPS) + (free_sided(cell, drawn_free(free, 1), STEPS) if free else [])
    names = [*NAMED, *(f"drawn {k}" for k in range(count)), *(f"free sides {k}" for k in range(free))]
    return {name: path for name, path in zip(names, answers, strict=True) if len(path[0]) == STEPS}


def drawn(count: int, seed: int, paths: Paths) -> np.ndarray:
    """Return displacement gradients ``[count, 3, 3]`` at the end of mixed paths within the range of the public ones.

    One half has three random stretches, one with contraction, or two, and some shears. The other half lies about
    points of the public paths: where the sides are free, a little less or more contraction is all that counts.
    Stretches are between 0.4 and 1.75, volumes above 0.35.
    """
    rng, found = np.random.default_rng(seed), []
    public = np.concatenate([F for F, _ in paths.values()]) - REST
    while len(found) < count:
        gradient = _anywhere(rng) if len(found) % 2 else _nearby(rng, public[rng.integers(len(public))].reshape(3, 3))
        order = rng.permutation(3)
        gradient = gradient[order][:, order]
        F = np.eye(3) + gradient
        sizes = np.linalg.svd(F)[1]
        if np.linalg.det(F) > 0.35 and sizes[2] > 0.4 and sizes[0] < 1.75:
            found.append(gradient)
    return np.array(found)


def drawn_free(count: int, seed: int) -> np.ndarray:
    """Return displacement gradients ``[count, 3, 3]`` at the end of paths with one free side or two, which are nan.

    One edge of the cube is stretched, or two, by amounts within the range of the public paths, most with some shears.
    """
    rng, found = np.random.default_rng(seed), np.zeros((count, 3, 3))
    for gradient in found:
        stretch = rng.uniform(-0.3, 0.5)
        sides = [stretch, stretch * rng.uniform(-0.5, 1.0) if rng.random() < 0.6 else np.nan, np.nan]
        gradient[:] = np.triu(rng.uniform(-0.4, 0.4, (3, 3)) * (rng.random((3, 3)) < 0.4), 1)
        np.fill_diagonal(gradient, sides)
        order = rng.permutation(3)
        gradient[:] = gradient[order][:, order]
    return found


def _anywhere(rng: np.random.Generator) -> np.ndarray:
    """Return stretches of one of three kinds, with shears."""
    stretch = rng.uniform(-0.35, 0.5)
    diagonal = [
        rng.uniform(-0.35, 0.5, 3),
        stretch * np.array([1.0, -rng.uniform(0.0, 0.8), -rng.uniform(0.0, 0.8)]),
        stretch * np.array([1.0, rng.uniform(0.3, 1.0), -rng.uniform(-0.3, 1.2)]),
    ][rng.integers(3)]
    shears = rng.uniform(-0.5, 0.5, (3, 3)) * (rng.random((3, 3)) < 0.3)
    np.fill_diagonal(shears, 0.0)
    if not shears.any() and rng.random() < 0.6:
        shears[0, 1] = rng.uniform(0.1, 0.5)
    return np.diag(diagonal) + shears


def _nearby(rng: np.random.Generator, gradient: np.ndarray) -> np.ndarray:
    """Return a gradient with some of its components changed, by up to 0.03 or by up to 0.3."""
    most = 0.03 if rng.random() < 0.4 else 0.3
    return gradient + rng.uniform(-most, most, (3, 3)) * (rng.random((3, 3)) < 0.35)

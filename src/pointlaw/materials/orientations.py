"""Crystal orientations: Bunge angles and uniform random rotations.

A rotation ``R[3, 3]`` turns crystal axes into sample axes: its columns are the crystal's axes seen from the sample, so
a vector of the crystal ``a`` is ``R·a`` in the sample. It is what :class:`~pointlaw.materials.Rotated` takes.
"""

import numpy as np

from pointlaw.tensors import Array


def bunge_rotation(phi1: Array | float, Phi: Array | float, phi2: Array | float) -> Array:
    """Return ``R[..., 3, 3]`` (crystal to sample) for Bunge's angles in degrees.

    ``R = Rz(φ1)·Rx(Φ)·Rz(φ2)``, the transpose of Bunge's g (Bunge 1982, doi 10.1016/C2013-0-11769-2).
    """
    return _about(2, phi1) @ _about(0, Phi) @ _about(2, phi2)


def random_rotations(count: int, *, seed: int) -> Array:
    """Return ``count`` rotations ``[count, 3, 3]``, uniform over all rotations.

    Unit quaternions from four normal numbers (Shoemake 1992, doi 10.1016/B978-0-08-050755-2.50036-1).
    """
    q = np.random.default_rng(seed).normal(size=(count, 4))
    w, x, y, z = (q / np.linalg.norm(q, axis=1, keepdims=True)).T
    rows = [
        [1.0 - 2.0 * (y * y + z * z), 2.0 * (x * y - w * z), 2.0 * (x * z + w * y)],
        [2.0 * (x * y + w * z), 1.0 - 2.0 * (x * x + z * z), 2.0 * (y * z - w * x)],
        [2.0 * (x * z - w * y), 2.0 * (y * z + w * x), 1.0 - 2.0 * (x * x + y * y)],
    ]
    return np.moveaxis(np.array(rows), 2, 0)


def _about(axis: int, degrees: Array | float) -> Array:
    """Return the rotation ``[..., 3, 3]`` about a coordinate axis."""
    angle = np.radians(np.asarray(degrees, dtype=float))
    matrix = np.zeros((*angle.shape, 3, 3))
    i, j = (axis + 1) % 3, (axis + 2) % 3
    matrix[..., axis, axis] = 1.0
    matrix[..., i, i] = matrix[..., j, j] = np.cos(angle)
    matrix[..., j, i] = np.sin(angle)
    matrix[..., i, j] = -np.sin(angle)
    return matrix

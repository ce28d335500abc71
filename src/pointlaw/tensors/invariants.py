"""Invariants of symmetric second-order tensors in Mandel order ``[..., 6]``; units follow the argument."""

import numpy as np

from pointlaw.tensors.mandel import IDENTITY, Array, from_mandel


def trace(vector: Array) -> Array:
    """Return the trace ``[...]``."""
    return np.asarray(vector)[..., :3].sum(axis=-1)


def deviator(vector: Array) -> Array:
    """Return the deviatoric part ``[..., 6]``."""
    return vector - trace(vector)[..., None] / 3.0 * IDENTITY


def norm(vector: Array) -> Array:
    """Return the Frobenius norm ``[...]``, which in Mandel order is the Euclidean norm."""
    return np.linalg.norm(vector, axis=-1)


def von_mises(stress: Array) -> Array:
    """Return the von Mises equivalent stress √(3/2 s:s) ``[...]``."""
    return np.sqrt(1.5) * norm(deviator(stress))


def equivalent_strain(strain: Array) -> Array:
    """Return the von Mises equivalent strain √(2/3 e:e) ``[...]``."""
    return np.sqrt(2.0 / 3.0) * norm(deviator(strain))


def principal(vector: Array) -> Array:
    """Return the principal values ``[..., 3]`` in ascending order."""
    return np.linalg.eigvalsh(from_mandel(vector))

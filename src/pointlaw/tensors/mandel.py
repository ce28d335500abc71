"""Symmetric tensors as Mandel vectors, and the doors to Voigt and Abaqus order.

Mandel order is 11, 22, 33, √2·23, √2·13, √2·12, so that the scalar product of two vectors is the double
contraction of the tensors, and a stiffness is an ordinary matrix that is symmetric when the material is.
Plane vectors have 3 components (11, 22, √2·12), axisymmetric ones 4 (rr, zz, θθ, √2·rz).
"""

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]

SQRT2 = float(np.sqrt(2.0))

# Tensor indices of each Mandel component, by number of components.
PAIRS: dict[int, tuple[tuple[int, int], ...]] = {
    1: ((0, 0),),
    3: ((0, 0), (1, 1), (0, 1)),
    4: ((0, 0), (1, 1), (2, 2), (0, 1)),
    6: ((0, 0), (1, 1), (2, 2), (1, 2), (0, 2), (0, 1)),
}

# Abaqus (UMAT) order is 11, 22, 33, 12, 13, 23: position in Mandel order of each component.
UMAT_FROM_MANDEL = np.array([0, 1, 2, 5, 4, 3])

IDENTITY: Array = np.array([1.0, 1.0, 1.0, 0.0, 0.0, 0.0])  # second-order identity, Mandel
VOLUMETRIC: Array = np.outer(IDENTITY, IDENTITY) / 3.0  # fourth-order projections, Mandel
DEVIATORIC: Array = np.eye(6) - VOLUMETRIC
for _constant in (IDENTITY, VOLUMETRIC, DEVIATORIC):
    _constant.setflags(write=False)


def factors(size: int) -> Array:
    """Return the Mandel factor (1 or √2) of each of ``size`` components, shape ``[size]``."""
    return np.array([1.0 if i == j else SQRT2 for i, j in _pairs(size)])


def to_mandel(tensor: Array, size: int = 6) -> Array:
    """Turn symmetric tensors ``[..., d, d]`` into Mandel vectors ``[..., size]``; the unit is kept.

    The symmetric part is taken. Raises ``ValueError`` for a ``size`` that is not 1, 3, 4 or 6.
    """
    tensor = np.asarray(tensor, dtype=float)
    i, j = np.array(_pairs(size)).T
    return 0.5 * (tensor[..., i, j] + tensor[..., j, i]) * factors(size)


def from_mandel(vector: Array) -> Array:
    """Turn Mandel vectors ``[..., m]`` into symmetric tensors ``[..., 3, 3]`` (2×2 for m = 3); the unit is kept."""
    vector = np.asarray(vector, dtype=float)
    size = vector.shape[-1]
    dim = {1: 1, 3: 2}.get(size, 3)
    i, j = np.array(_pairs(size)).T
    tensor = np.zeros((*vector.shape[:-1], dim, dim))
    tensor[..., i, j] = tensor[..., j, i] = vector / factors(size)
    return tensor


def strain_to_umat(strain: Array) -> Array:
    """Mandel strain ``[..., 6]`` to Abaqus order with engineering shear (11, 22, 33, γ12, γ13, γ23)."""
    return np.asarray(strain)[..., UMAT_FROM_MANDEL] * np.array([1, 1, 1, SQRT2, SQRT2, SQRT2])


def strain_from_umat(strain: Array) -> Array:
    """Abaqus strain ``[..., 6]`` with engineering shear to Mandel order."""
    return (np.asarray(strain) / np.array([1, 1, 1, SQRT2, SQRT2, SQRT2]))[..., UMAT_FROM_MANDEL]


def stress_to_umat(stress: Array) -> Array:
    """Mandel stress ``[..., 6]`` to Abaqus order (11, 22, 33, 12, 13, 23)."""
    return np.asarray(stress)[..., UMAT_FROM_MANDEL] / np.array([1, 1, 1, SQRT2, SQRT2, SQRT2])


def stress_from_umat(stress: Array) -> Array:
    """Abaqus stress ``[..., 6]`` to Mandel order."""
    return (np.asarray(stress) * np.array([1, 1, 1, SQRT2, SQRT2, SQRT2]))[..., UMAT_FROM_MANDEL]


def tangent_to_umat(tangent: Array) -> Array:
    """Mandel tangent ``[..., 6, 6]`` to Abaqus DDSDDE ``∂σ/∂(ε, γ)``."""
    scale = np.array([1, 1, 1, SQRT2, SQRT2, SQRT2])
    reordered = np.asarray(tangent)[..., UMAT_FROM_MANDEL, :][..., :, UMAT_FROM_MANDEL]
    return reordered / np.outer(scale, scale)


def tangent_from_umat(ddsdde: Array) -> Array:
    """Abaqus DDSDDE ``[..., 6, 6]`` to the Mandel tangent ``dσ/dε``."""
    scale = np.array([1, 1, 1, SQRT2, SQRT2, SQRT2])
    return (np.asarray(ddsdde) * np.outer(scale, scale))[..., UMAT_FROM_MANDEL, :][..., :, UMAT_FROM_MANDEL]


def rotation(matrix: Array) -> Array:
    """Return the orthogonal ``Q[..., 6, 6]`` that rotates Mandel vectors as ``R·A·Rᵀ`` rotates tensors.

    ``matrix[..., 3, 3]`` is the rotation ``R``. Vectors turn as ``Q @ a``, stiffnesses as ``Q @ C @ Qᵀ``
    (Mehrabadi & Cowin 1990, doi 10.1093/qjmam/43.1.15). Raises ``ValueError`` if ``R`` is no rotation.
    """
    matrix = np.asarray(matrix, dtype=float)
    if matrix.shape[-2:] != (3, 3):
        raise ValueError(f"A rotation has shape [..., 3, 3]; got {matrix.shape}.")
    defect = np.abs(matrix @ np.swapaxes(matrix, -1, -2) - np.eye(3)).max(initial=0.0)
    if not defect < 1e-8 or np.any(np.linalg.det(matrix) < 0):
        raise ValueError(f"The matrix is not a rotation: ‖R·Rᵀ − I‖ = {defect:.2e} or det R < 0; orthonormalise.")
    i, j = np.array(PAIRS[6]).T
    left, right = np.ix_(i, i), np.ix_(j, j)
    rows_ik, rows_jl = matrix[(..., *left)], matrix[(..., *right)]
    rows_il, rows_jk = matrix[(..., *np.ix_(i, j))], matrix[(..., *np.ix_(j, i))]
    f = factors(6)
    # Q_IJ = f_I/f_J · sym(R_ik R_jl), with both orders of an off-diagonal pair counted.
    twice = np.where(i == j, 2.0, 1.0)
    return (rows_ik * rows_jl + rows_il * rows_jk) * np.outer(f, 1.0 / (f * twice))


def _pairs(size: int) -> tuple[tuple[int, int], ...]:
    if size not in PAIRS:
        raise ValueError(f"A Mandel vector has 1, 3, 4 or 6 components; got {size}.")
    return PAIRS[size]

"""Isotropic finite-strain laws in principal logarithmic stretches: one core, no special case for equal stretches.

With ``b = Σ λ_a² n_a⊗n_a`` (elastic trial, or total) and ``e_a = ln λ_a`` a law gives the principal Kirchhoff stresses
``τ_a(e)``, their derivatives ``∂τ_a/∂e_b`` and their divided differences ``(τ_a − τ_b)/(e_a − e_b)``; the core returns
``P = τ·F^(-T)`` and ``∂P/∂F``. All quotients that could become 0/0 for equal stretches are divided differences that the
law knows in closed form, so nothing is perturbed (compare Ogden 1984, *Non-linear elastic deformations*, §6.1.4, and
Simo 1992, doi 10.1016/0045-7825(92)90123-2).
"""

import numpy as np

from pointlaw.tensors import Array

_DIAGONAL = np.array([0, 4, 8])
_PAIR = np.arange(9)
_PAIR_SWAPPED = np.array([0, 3, 6, 1, 4, 7, 2, 5, 8])


def principal_logarithms(b: Array) -> tuple[Array, Array]:
    """Return ``e[p, 3]`` and the principal directions ``n[p, 3, 3]`` (columns) of ``b[p, 3, 3]``; NaN where b ≤ 0."""
    finite = np.isfinite(b).all(axis=(1, 2))
    squares, n = np.linalg.eigh(b if finite.all() else np.where(finite[:, None, None], b, np.eye(3)))
    with np.errstate(invalid="ignore", divide="ignore"):
        e = 0.5 * np.log(np.where(finite[:, None], squares, np.nan))
    return e, n


def sinhc(x: Array) -> Array:
    """Return sinh(x)/x, exact to rounding for every x."""
    zero = x == 0.0
    return np.where(zero, 1.0, np.sinh(x) / np.where(zero, 1.0, x))


def piola_stress(tau: Array, n: Array, inverse: Array) -> Array:
    """Return ``P = Σ τ_a n_a⊗(F⁻¹n_a)``, shape [p, 3, 3], from ``tau[p, 3]``, ``n`` and ``inverse = F⁻¹``."""
    m = inverse @ n
    return (n * tau[:, None, :]) @ m.swapaxes(1, 2)


def piola_tangent(e: Array, n: Array, inverse: Array, tau: Array, moduli: Array, slopes: Array) -> Array:
    """Return ``∂P/∂F`` ``[p, 9, 9]``, row by row.

    Parameters
    ----------
    e : [p, 3]
        Principal logarithmic (trial) stretches.
    n, inverse : [p, 3, 3]
        Principal directions (columns) and F⁻¹.
    tau : [p, 3]
        Principal Kirchhoff stresses, unit of stress.
    moduli : [p, 3, 3]
        ``∂τ_a/∂e_b``.
    slopes : [p, 3, 3]
        ``(τ_a − τ_b)/(e_a − e_b)``; the diagonal is not read.
    """
    points = len(e)
    squares = np.exp(2.0 * e)
    sums, differences = e[:, :, None] + e[:, None, :], e[:, :, None] - e[:, None, :]
    # s_ab = (τ_a − τ_b)/(λ_a² − λ_b²), since λ_a² − λ_b² = 2 exp(e_a + e_b) sinh(e_a − e_b).
    s = slopes / (2.0 * np.exp(sums) * sinhc(differences))
    frame = np.zeros((points, 9, 9))  # δP in the frame n_a ⊗ m_b, from L = δF·F⁻¹ in the frame n_c ⊗ n_d
    frame[:, _PAIR, _PAIR] = (s * squares[:, None, :]).reshape(points, 9)
    frame[:, _PAIR, _PAIR_SWAPPED] = (s * squares[:, :, None] - tau[:, :, None]).reshape(points, 9)
    on_diagonal = moduli.copy()
    on_diagonal[:, [0, 1, 2], [0, 1, 2]] -= tau
    frame[:, _DIAGONAL[:, None], _DIAGONAL[None, :]] = on_diagonal
    m = inverse @ n
    basis = (n[:, :, None, :, None] * m[:, None, :, None, :]).reshape(points, 9, 9)  # rows iJ, columns ab
    return basis @ frame @ basis.swapaxes(1, 2)

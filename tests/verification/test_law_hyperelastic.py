"""Rubber and tissue in homogeneous deformations of constant volume, against closed forms."""

import numpy as np
import pytest

from pointlaw.materials import Gent, HolzapfelGasserOgden, MooneyRivlin, NeoHooke, Ogden

STRETCH = np.array([0.6, 0.9, 1.0, 1.3, 2.0])


def cauchy(law, F):
    """Return σ[p, 3, 3] for F[p, 3, 3]."""
    P = law.update(F.reshape(-1, 9), law.initial_state(len(F)), 1.0).stress.reshape(-1, 3, 3)
    return P @ F.swapaxes(1, 2) / np.linalg.det(F)[:, None, None]


def tension(stretch):
    """Return F = diag(λ, λ^(-1/2), λ^(-1/2))."""
    return np.array([np.diag([x, x**-0.5, x**-0.5]) for x in stretch])


def shear(amount):
    F = np.tile(np.eye(3), (len(amount), 1, 1))
    F[:, 0, 1] = amount
    return F


@pytest.mark.parametrize(("C10", "C01"), [(0.5, 0.0), (0.3, 0.2)])
def test_simple_shear_of_a_mooney_rivlin_solid(C10, C01):
    """Rivlin 1948, doi 10.1098/rsta.1948.0024: σ12 = 2 (C10 + C01) γ, and unequal normal stresses."""
    gamma = np.array([0.1, 0.5, 2.0])
    law = MooneyRivlin(C10, C01, 10.0) if C01 else NeoHooke(2.0 * C10, 10.0)
    s = cauchy(law, shear(gamma))
    assert s[:, 0, 1] == pytest.approx(2.0 * (C10 + C01) * gamma)
    assert s[:, 0, 0] - s[:, 2, 2] == pytest.approx(2.0 * C10 * gamma**2)
    assert s[:, 1, 1] - s[:, 2, 2] == pytest.approx(-2.0 * C01 * gamma**2, abs=1e-14)


def test_tension_of_an_ogden_solid():
    """Ogden 1972, doi 10.1098/rspa.1972.0026: σ1 − σ2 = Σ μ_k (λ^α_k − λ^(−α_k/2)), with his constants for rubber."""
    mu, alpha = (0.63, 0.0012, -0.01), (1.3, 5.0, -2.0)
    s = cauchy(Ogden(mu, alpha, 100.0), tension(STRETCH))
    wanted = sum(m * (STRETCH**a - STRETCH ** (-a / 2.0)) for m, a in zip(mu, alpha, strict=True))
    assert s[:, 0, 0] - s[:, 1, 1] == pytest.approx(wanted, rel=1e-12, abs=1e-12)


def test_tension_of_a_gent_solid():
    """Gent 1996, doi 10.5254/1.3538357: σ1 − σ2 = μ Jm/(Jm − I1 + 3) (λ² − 1/λ)."""
    mu, Jm = 0.4, 5.0
    s = cauchy(Gent(mu, Jm, 100.0), tension(STRETCH))
    first = STRETCH**2 + 2.0 / STRETCH
    assert s[:, 0, 0] - s[:, 1, 1] == pytest.approx(mu * Jm / (Jm - first + 3.0) * (STRETCH**2 - 1.0 / STRETCH))


def test_tension_of_a_tissue_along_its_fibres():
    """Holzapfel, Gasser & Ogden 2000, doi 10.1023/A:1010835316564: fibres add 2 k1 E exp(k2 E²) λ², in tension only."""
    mu, k1, k2 = 0.02, 0.3, 0.8
    s = cauchy(HolzapfelGasserOgden(mu, k1, k2, [1.0, 0.0, 0.0], 1.0), tension(STRETCH))
    E = np.maximum(STRETCH**2 - 1.0, 0.0)
    wanted = mu * (STRETCH**2 - 1.0 / STRETCH) + 2.0 * k1 * E * np.exp(k2 * E**2) * STRETCH**2
    assert s[:, 0, 0] - s[:, 1, 1] == pytest.approx(wanted, rel=1e-12, abs=1e-14)


@pytest.mark.parametrize(
    "law", [NeoHooke(1.0, 7.0), Ogden((0.5, -0.2), (2.0, -3.0), 7.0), Gent(1.0, 9.0, 7.0)], ids=["neo", "ogden", "gent"]
)
def test_pure_volume_change_meets_the_volumetric_energy_alone(law):
    """The mean stress is U′(J) = K/2 (J − 1/J): Simo & Hughes 1998, doi 10.1007/b98904, §9.2."""
    stretch = np.array([0.7, 0.95, 1.4])
    s = cauchy(law, stretch[:, None, None] * np.eye(3))
    J = stretch**3
    assert np.trace(s, axis1=1, axis2=2) / 3.0 == pytest.approx(3.5 * (J - 1.0 / J))
    assert np.abs(s - (3.5 * (J - 1.0 / J))[:, None, None] * np.eye(3)).max() < 1e-13

"""Finite-strain J2: exact in logarithmic strain for a bar, and equal to an independent program on any path."""

import numpy as np
import pytest
from scipy.linalg import expm, logm

from pointlaw.materials import FiniteJ2

E, NU, YIELD, H = 200e3, 0.3, 300.0, 800.0


def drawn(law, stretches):
    """Return Kirchhoff stress of a bar drawn to these stretches with free sides (Newton on the lateral stretch)."""
    state, side, stresses = law.initial_state(1), 1.0, []
    for stretch in stretches:
        for _ in range(30):
            answer = law.update(np.diag([stretch, side, side]).reshape(1, 9), state, 1.0)
            slope = answer.tangent[0, 4, 4] + answer.tangent[0, 4, 8]
            change = -answer.stress[0, 4] / slope
            side += change
            if abs(change) < 1e-15:
                break
        state = answer.state
        stresses.append(answer.stress[0, 0] * stretch)
    return np.array(stresses)


def test_the_kirchhoff_stress_of_a_drawn_bar_is_bilinear_in_logarithmic_strain():
    """τ = E e up to the yield stress, then with the slope E H/(E + H) (Simo 1992, doi 10.1016/0045-7825(92)90123-2)."""
    strain = np.array([0.0005, 0.0015, 0.002, 0.01, 0.1, 0.5, 1.0])
    plastic = YIELD + E * H / (E + H) * (strain - YIELD / E)
    wanted = np.minimum(E * strain, plastic)
    assert drawn(FiniteJ2(E, NU, YIELD, H=H), np.exp(strain)) == pytest.approx(wanted, rel=1e-9)


def independent(F, Fp, alpha):
    """The same algorithm with matrix functions instead of principal values; returns P, Fp, α."""
    G, K = E / (2.0 * (1.0 + NU)), E / (3.0 * (1.0 - 2.0 * NU))
    Fe = F @ np.linalg.inv(Fp)
    strain = 0.5 * logm(Fe.T @ Fe).real
    dev = strain - np.trace(strain) / 3.0 * np.eye(3)
    q = 2.0 * G * np.sqrt(1.5 * np.sum(dev * dev))
    step = max(q - YIELD - H * alpha, 0.0) / (3.0 * G + H)
    flow = 3.0 * G * dev / q if q > 0.0 else dev
    Fp = expm(step * flow) @ Fp
    Fe = F @ np.linalg.inv(Fp)
    mandel = 2.0 * G * (dev - step * flow) + K * np.trace(strain) * np.eye(3)
    # τ = Re M Reᵀ, and Re from the polar decomposition.
    U, _, V = np.linalg.svd(Fe)
    R = U @ V
    return R @ mandel @ R.T @ np.linalg.inv(F).T, Fp, alpha + step


def test_a_tortuous_path_meets_an_independent_implementation():
    law, rng = FiniteJ2(E, NU, YIELD, H=H), np.random.default_rng(5)
    state, F, Fp, alpha = law.initial_state(1), np.eye(3), np.eye(3), 0.0
    for _ in range(15):
        F = expm(0.05 * rng.normal(size=(3, 3))) @ F
        P, Fp, alpha = independent(F, Fp, alpha)
        answer = law.update(F.reshape(1, 9), state, 1.0)
        state = answer.state
        assert answer.stress[0] == pytest.approx(P.ravel(), rel=1e-8, abs=1e-6)
        assert state[0, 6] == pytest.approx(alpha, rel=1e-9)
    assert alpha > 0.2


def test_plastic_flow_keeps_the_volume():
    law, rng = FiniteJ2(E, NU, YIELD, H=H, Q=100.0, b=10.0), np.random.default_rng(6)
    state, F = law.initial_state(20), np.tile(np.eye(3), (20, 1, 1))
    for _ in range(20):
        F = F + 0.05 * rng.normal(size=F.shape)
        state = law.update(F.reshape(-1, 9), state, 1.0).state
    from pointlaw.tensors import from_mandel

    assert np.linalg.det(from_mandel(state[:, :6])) == pytest.approx(1.0, rel=1e-9)
    assert state[:, 6].min() > 0.3

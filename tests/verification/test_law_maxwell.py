"""The hereditary integral of a Prony series, for a history with uneven steps."""

import itertools

import numpy as np
import pytest

from pointlaw.materials import GeneralisedMaxwell
from pointlaw.tensors import DEVIATORIC, VOLUMETRIC

E, NU = 1000.0, 0.35
TAU, G_SHARE, K_SHARE = (0.05, 1.0, 30.0), (0.2, 0.3, 0.1), (0.0, 0.1, 0.2)
LAW = GeneralisedMaxwell(E, NU, TAU, G_SHARE, k=K_SHARE)
TIMES = np.array([0.0, 0.01, 0.5, 0.5003, 4.0, 4.5, 90.0])
STRAINS = np.concatenate([np.zeros((1, 6)), 1e-2 * np.random.default_rng(3).normal(size=(6, 6))])


def integral(t):
    """σ(t) = ∫ C(t − s) dε/ds ds over the straight pieces (Simo & Hughes 1998, doi 10.1007/b98904, ch. 10)."""
    total = np.zeros(6)
    shear, bulk = E / (1.0 + NU), E / (1.0 - 2.0 * NU)
    for k in range(1, len(TIMES)):
        a, b = TIMES[k - 1], min(TIMES[k], t)
        if b <= a:
            break
        slope = (STRAINS[k] - STRAINS[k - 1]) / (TIMES[k] - TIMES[k - 1])

        def moment(shares, a=a, b=b):
            """∫ from a to b of the relaxation function at t − s."""
            whole = (1.0 - sum(shares)) * (b - a)
            return whole + sum(
                w * tau * (np.exp(-(t - b) / tau) - np.exp(-(t - a) / tau)) for w, tau in zip(shares, TAU, strict=True)
            )

        total += (shear * moment(G_SHARE) * DEVIATORIC + bulk * moment(K_SHARE) * VOLUMETRIC) @ slope
    return total


def test_uneven_steps_answer_the_hereditary_integral():
    state = LAW.initial_state(1)
    for k in range(1, len(TIMES)):
        answer = LAW.update(STRAINS[k][None], state, TIMES[k] - TIMES[k - 1])
        state = answer.state
        assert answer.stress[0] == pytest.approx(integral(TIMES[k]), rel=1e-10, abs=1e-12)


def test_cutting_a_straight_step_into_uneven_parts_changes_nothing():
    whole = LAW.update(STRAINS[1][None], LAW.initial_state(1), 3.0)
    state, cuts = LAW.initial_state(1), np.array([0.0, 0.001, 0.2, 0.21, 1.0])
    for early, late in itertools.pairwise(cuts):
        parts = LAW.update(late * STRAINS[1][None], state, 3.0 * (late - early))
        state = parts.state
    assert parts.stress == pytest.approx(whole.stress, rel=1e-12)
    assert parts.state == pytest.approx(whole.state, rel=1e-11, abs=1e-14)


def test_a_held_strain_relaxes_from_the_instantaneous_to_the_equilibrium_stress():
    strain = np.array([[0.0, 0.0, 0.0, 0.0, 0.0, 0.01]])
    jump = LAW.update(strain, LAW.initial_state(1), 0.0)
    assert jump.stress[0, 5] == pytest.approx(E / (1.0 + NU) * 0.01)
    late = LAW.update(strain, jump.state, 1e5)
    assert late.stress[0, 5] == pytest.approx((1.0 - sum(G_SHARE)) * E / (1.0 + NU) * 0.01)

"""Drucker–Prager against the strengths of Mohr–Coulomb that its cone touches."""

import numpy as np
import pytest

from pointlaw.materials import DruckerPrager, PlaneStress, Uniaxial
from pointlaw.paths import LoadPath, drive
from pointlaw.tensors import IDENTITY, deviator, norm, trace

PHI, COHESION = 30.0, 2.0
LAW = DruckerPrager(20e3, 0.2, PHI, 12.0, COHESION)


def test_the_uniaxial_compressive_strength_is_that_of_mohr_coulomb():
    """2 c cos φ/(1 − sin φ): the cone passes the compressive edges (doi 10.1002/9780470694626, §6.4.4)."""
    law = Uniaxial(LAW)
    state = law.initial_state(1)
    for strain in np.linspace(0.0, -2e-3, 21)[1:]:
        answer = law.update(np.array([[strain]]), state, 1.0)
        state = answer.state
    sine, cosine = np.sin(np.radians(PHI)), np.cos(np.radians(PHI))
    assert answer.stress[0, 0] == pytest.approx(-2.0 * COHESION * cosine / (1.0 - sine), rel=1e-10)


HARD = DruckerPrager(20e3, 0.2, PHI, 12.0, COHESION, H=100.0)


def tension_beyond_the_cone(strain, transverse):
    """Return the stress of uniaxial (transverse 0) or equibiaxial (1) tension on the hardening cone, in closed form.

    √J₂ = σ/√3 and p = (1 + transverse) σ/3 on the cone; the strain is elastic plus Δγ ∂(√J₂ + η̄ p)/∂σ₁₁.
    """
    pressure = (1.0 + transverse) / 3.0
    slope = HARD.xi / (1.0 / np.sqrt(3.0) + HARD.eta * pressure)  # of the stress with the cohesion
    flow = (2.0 - transverse) / (2.0 * np.sqrt(3.0)) + HARD.eta_flow / 3.0  # of strain 11 with Δγ
    elastic = (1.0 - 0.2 * transverse) / 20e3
    multiplier = (strain - elastic * slope * COHESION) / (flow + elastic * slope * HARD.H * HARD.xi)
    return slope * (COHESION + HARD.H * HARD.xi * multiplier)


@pytest.mark.parametrize("strain", [1e-3, 1e-2, 1e-1])
def test_free_strains_are_found_from_a_guess_on_the_apex(strain):
    """One step, so that the trial stress lies beyond the apex, where the law has no shear stiffness."""
    guess = HARD.update(np.array([[strain, 0, 0, 0, 0, 0]]), HARD.initial_state(1), 1.0)
    assert np.linalg.matrix_rank(guess.tangent[0]) == 1
    one, two = Uniaxial(HARD), PlaneStress(HARD)
    bar = one.update(np.array([[strain]]), one.initial_state(1), 1.0)
    sheet = two.update(np.array([[strain, strain, 0.0]]), two.initial_state(1), 1.0)
    assert bar.stress[0, 0] == pytest.approx(tension_beyond_the_cone(strain, 0.0), rel=1e-9)
    assert sheet.stress[0] == pytest.approx(tension_beyond_the_cone(strain, 1.0) * np.array([1.0, 1.0, 0.0]), rel=1e-9)
    assert (bar.status, sheet.status) == (1, 1)


def test_a_bar_under_stress_control_is_not_cut_at_the_apex():
    target = np.array([[0.0] * 6, [1e-2, 0, 0, 0, 0, 0]])
    record = drive(HARD, LoadPath(np.array([0.0, 1.0]), target, [False, True, True, True, True, True]))
    assert record.cuts == 0
    assert record.stress[0, -1, 0] == pytest.approx(tension_beyond_the_cone(1e-2, 0.0), rel=1e-9)


def test_hydrostatic_tension_ends_at_the_apex():
    """The apex lies at p = c cot φ."""
    answer = LAW.update(0.01 * IDENTITY[None], LAW.initial_state(1), 1.0)
    assert answer.stress[0] == pytest.approx(COHESION / np.tan(np.radians(PHI)) * IDENTITY, rel=1e-12)


def test_flow_on_the_cone_dilates_as_the_dilation_angle_says():
    """tr Δεp = η̄ Δγ and ‖dev Δεp‖ = Δγ/√2 with η̄ = 6 sin ψ/(√3 (3 − sin ψ))."""
    strain = np.array([[-1e-3, 2e-4, 3e-4, 1e-3, 0.0, 5e-4]])
    plastic = LAW.update(strain, LAW.initial_state(1), 1.0).state[:, :6]
    sine = np.sin(np.radians(12.0))
    eta = 6.0 * sine / (np.sqrt(3.0) * (3.0 - sine))
    assert norm(deviator(plastic))[0] > 1e-4
    assert trace(plastic) == pytest.approx(eta * np.sqrt(2.0) * norm(deviator(plastic)), rel=1e-10)


def test_both_returns_agree_where_the_cone_ends():
    """The stress is continuous across the border between cone and apex."""
    law = DruckerPrager(20e3, 0.2, PHI, 12.0, COHESION, H=500.0)
    shears = np.linspace(0.0, 1e-2, 4001)
    strain = np.zeros((4001, 6))
    strain[:, :3], strain[:, 5] = 1e-3, shears
    answer = law.update(strain, law.initial_state(4001), 1.0)
    at_apex = norm(deviator(answer.stress)) < 1e-9
    assert 0 < at_apex.sum() < 4001
    assert np.abs(np.diff(answer.stress, axis=0)).max() < 30e3 * (shears[1] - shears[0])

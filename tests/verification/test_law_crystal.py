"""FCC crystals: Schmid's law along symmetric axes, Voce hardening in closed form, and Taylor's factor."""

import numpy as np
import pytest

from pointlaw.materials import (
    CrystalPlasticity,
    FiniteCrystalPlasticity,
    Rotated,
    TaylorPolycrystal,
    Uniaxial,
    bunge_rotation,
    random_rotations,
)
from pointlaw.materials.slip import SCHMID, fcc_systems

ELASTIC = {"C11": 170e3, "C12": 124e3, "C44": 75e3}
PERFECT = {"rate": 1e-3, "n": 20.0, "g0": 50.0, "g_sat": 50.0, "h0": 0.0}


def pull(law, rate, strain, steps):
    """Return the last answer of a bar pulled at this strain rate."""
    state = law.initial_state(1)
    for k in range(1, steps + 1):
        answer = law.update(np.array([[strain * k / steps]]), state, strain / steps / rate)
        state = answer.state
    return answer


def test_there_are_twelve_systems_on_four_planes():
    directions, normals = fcc_systems()
    assert np.abs(np.einsum("ai,ai->a", directions, normals)).max() < 1e-15
    assert len(np.unique(np.round(SCHMID.reshape(12, 9), 9), axis=0)) == 12
    assert np.linalg.matrix_rank(SCHMID.reshape(12, 9)) == 8  # they span all isochoric velocity gradients
    assert len(np.unique(np.round(normals, 9), axis=0)) == 4


@pytest.mark.parametrize(
    ("axis", "schmid", "active"), [((1, 0, 0), 6**-0.5, 8), ((1, 1, 1), 2 / 27**0.5 * 0.5 * 2**0.5, 6)]
)
def test_a_perfectly_plastic_crystal_flows_at_the_stress_of_schmids_law(axis, schmid, active):
    """ε̇ = active · m · rate (m σ/g)ⁿ for the active systems (Schmid & Boas 1935, doi 10.1007/978-3-662-34532-0)."""
    first = np.array(axis) / np.linalg.norm(axis)
    other = np.cross(first, [0.3, 0.5, -0.9])
    other /= np.linalg.norm(other)
    R = np.stack([first, other, np.cross(first, other)])  # rows: sample axes seen from the crystal
    law = Uniaxial(Rotated(CrystalPlasticity(**ELASTIC, **PERFECT), R))
    answer = pull(law, 2e-3, 0.02, 30)
    wanted = 50.0 / schmid * (2e-3 / (active * schmid * 1e-3)) ** (1.0 / 20.0)
    assert answer.stress[0, 0] == pytest.approx(wanted, rel=1e-6)


def test_equal_slip_on_eight_systems_hardens_by_voces_formula():
    """g = g_sat − (g_sat − g0) exp(−h0 (1 + 7 q) γ/g_sat), γ the slip of one (doi 10.1016/0022-5096(92)80003-9)."""
    law = CrystalPlasticity(**ELASTIC, rate=1e-3, n=20.0, g0=16.0, g_sat=148.0, h0=180.0, a=1.0, q=1.4)
    gaps = []
    for steps in (50, 100):
        state = law.initial_state(1)
        for k in range(1, steps + 1):
            strain = 0.1 * k / steps * np.array([[1.0, -0.5, -0.5, 0.0, 0.0, 0.0]])  # along ⟨100⟩
            state = law.update(strain, state, 100.0 / steps).state
        parts = law.state_layout.split(state)
        g, gamma = parts["resistance"][0], parts["slip"][0, 0] / 8.0
        active = g < g.max() - 1e-6  # latent systems hardened more: q > 1
        assert active.sum() == 8
        gaps.append(g[active].mean() - (148.0 - 132.0 * np.exp(-180.0 * (1.0 + 7.0 * 1.4) * gamma / 148.0)))
    assert abs(gaps[1]) < 0.01 * 148.0
    assert gaps[0] / gaps[1] == pytest.approx(2.0, rel=0.1)  # backward Euler: first order


def test_taylors_factor_of_a_random_polycrystal():
    """σ:ε̇/(τ ε̇) = 3.067 in axisymmetric deformation (Bishop & Hill 1951, doi 10.1080/14786444108561385)."""
    stiff = {"rate": 1e-3, "n": 80.0, "g0": 50.0, "g_sat": 50.0, "h0": 0.0}
    law = TaylorPolycrystal(CrystalPlasticity(**ELASTIC, **stiff), random_rotations(600, seed=4))
    direction = np.array([[1.0, -0.5, -0.5, 0.0, 0.0, 0.0]])
    state = law.initial_state(1)
    for k in range(1, 9):
        answer = law.update(2.5e-3 * k * direction, state, 2.5)
        state = answer.state
    factor = (answer.stress @ direction[0])[0] / 50.0
    assert factor == pytest.approx(3.067, rel=0.02)


def test_a_crystal_sheared_along_one_system_slips_there_alone():
    """F = 1 + γ d⊗n: single slip, τ = g (γ̇/rate)^(1/n), and the lattice does not turn."""
    law = FiniteCrystalPlasticity(**ELASTIC, **PERFECT)
    state, shear_rate = law.initial_state(1), 5e-4
    for k in range(1, 101):
        F = np.eye(3) + 0.005 * k * SCHMID[4]
        answer = law.update(F.reshape(1, 9), state, 0.005 / shear_rate)
        state = answer.state
    parts = law.state_layout.split(state)
    elastic = F @ parts["inverse_plastic_gradient"].reshape(3, 3)
    resolved = np.sum((answer.stress.reshape(3, 3) @ F.T) * SCHMID[4])
    assert resolved == pytest.approx(50.0 * (shear_rate / 1e-3) ** (1.0 / 20.0), rel=2e-3)
    assert parts["slip"][0, 0] == pytest.approx(0.5, rel=5e-3)
    assert np.abs(elastic - elastic.T).max() < 1e-3  # no lattice rotation beyond the elastic strain
    assert np.linalg.det(parts["inverse_plastic_gradient"].reshape(3, 3)) == pytest.approx(1.0, abs=1e-12)


def test_the_finite_strain_crystal_becomes_the_small_strain_one():
    """For ever smaller steps in strain the answers differ by the square of the strain."""
    soft = {**ELASTIC, "rate": 1e-3, "n": 5.0, "g0": 0.5, "g_sat": 5.0, "h0": 50.0}
    small, finite = CrystalPlasticity(**soft), FiniteCrystalPlasticity(**soft)
    H = np.random.default_rng(2).normal(size=(3, 3))
    from pointlaw.tensors import from_mandel, to_mandel

    gaps = []
    for size in (2e-4, 1e-4):
        one = small.update(to_mandel(size * H)[None], small.initial_state(1), 1.0)
        two = finite.update((np.eye(3) + size * H).reshape(1, 9), finite.initial_state(1), 1.0)
        assert one.state[0, 18] > 0.1 * size
        gaps.append(np.abs(from_mandel(one.stress[0]) - two.stress.reshape(3, 3)).max() / np.abs(one.stress).max())
    assert gaps[1] < 5e-3
    assert gaps[0] / gaps[1] == pytest.approx(2.0, rel=0.3)


def test_bunge_angles_turn_crystal_axes_into_sample_axes():
    """g = R^T of Bunge for (φ1, Φ, φ2) = (90, 0, 0): the crystal's first axis lies along the sample's second."""
    assert bunge_rotation(90.0, 0.0, 0.0) @ [1.0, 0.0, 0.0] == pytest.approx([0.0, 1.0, 0.0], abs=1e-15)
    assert bunge_rotation(0.0, 90.0, 0.0) @ [0.0, 1.0, 0.0] == pytest.approx([0.0, 0.0, 1.0], abs=1e-15)

"""Crystals, turned crystals and polycrystals: parameters, symmetries and bookkeeping."""

import numpy as np
import pytest

from pointlaw.errors import InputError
from pointlaw.materials import (
    COPPER,
    J2,
    CrystalPlasticity,
    FiniteCrystalPlasticity,
    LinearElastic,
    NeoHooke,
    PlaneStrain,
    PointStatus,
    Rotated,
    Substepped,
    TaylorPolycrystal,
    Uniaxial,
    bunge_rotation,
    random_rotations,
)
from pointlaw.materials.slip import SCHMID_SYM
from pointlaw.tensors import rotation

RNG = np.random.default_rng(33)
STRAIN = 4e-3 * RNG.uniform(-1.0, 1.0, (12, 6))


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        ({"C11": 100e3}, "unstable"),
        ({"C44": -1.0}, "C44 = -1.0"),
        ({"rate": 0.0}, "rate = 0.0"),
        ({"n": 0.5}, "n = 0.5"),
        ({"g0": -3.0}, "g0 = -3.0"),
        ({"g_sat": 10.0}, "g_sat = 10.0 lies below g0"),
        ({"h0": -1.0}, "h0 = -1.0"),
        ({"a": 0.5}, "a = 0.5"),
    ],
)
@pytest.mark.parametrize("law", [CrystalPlasticity, FiniteCrystalPlasticity])
def test_a_wrong_parameter_gets_a_sentence(law, change, sentence):
    with pytest.raises(InputError, match=sentence):
        law(**{**COPPER, **change})


def test_a_step_of_the_crystal_solves_flow_and_hardening_by_backward_euler():
    law = CrystalPlasticity(**COPPER)
    state = law.initial_state(12)
    for k in (1, 2, 3):
        old, got = state, law.update(k * STRAIN, state, 2.0)
        state = got.state
    parts, before = law.state_layout.split(state), law.state_layout.split(old)
    tau, g = got.stress @ SCHMID_SYM.T, parts["resistance"]
    slip = 2.0 * COPPER["rate"] * np.abs(tau / g) ** COPPER["n"] * np.sign(tau)
    assert parts["plastic_strain"] - before["plastic_strain"] == pytest.approx(slip @ SCHMID_SYM, abs=1e-14)
    assert got.stress @ law.slip_law.compliance + parts["plastic_strain"] == pytest.approx(3.0 * STRAIN, abs=1e-13)
    own = COPPER["h0"] * (1.0 - g / COPPER["g_sat"]) ** COPPER["a"] * np.abs(slip)
    Q = COPPER["q"] + (1.0 - COPPER["q"]) * np.eye(12)
    assert g - before["resistance"] == pytest.approx(own @ Q, rel=1e-9)
    assert np.abs(slip).sum() > 0.01
    assert parts["slip"][:, 0] - before["slip"][:, 0] == pytest.approx(np.abs(slip).sum(axis=1))


@pytest.mark.parametrize(("n", "q"), [(5.0, 1.4), (20.0, 1.4), (100.0, 1.0)])
def test_steps_of_many_yield_strains_are_solved_by_following_the_exponent(n, q):
    law = CrystalPlasticity(**{**COPPER, "n": n, "q": q})
    strain = np.random.default_rng(0).uniform(-0.05, 0.05, (100, 6))
    got = law.update(strain, law.initial_state(100), 10.0)
    assert (got.status == PointStatus.FINE).all()
    elastic = got.stress @ law.slip_law.compliance + got.state[:, :6] - strain
    assert np.abs(elastic).max() < 1e-12
    tau, g = got.stress @ SCHMID_SYM.T, got.state[:, 6:18]
    slip = 10.0 * COPPER["rate"] * np.abs(tau / g) ** n * np.sign(tau)
    assert got.state[:, :6] == pytest.approx(slip @ SCHMID_SYM, abs=1e-9)


def test_where_latent_hardening_leaves_no_solution_substeps_find_one():
    """With q > 1 the discrete equations of a huge, nearly rate-independent step may have a fold: see the notes."""
    law = CrystalPlasticity(**{**COPPER, "n": 100.0})
    strain = np.random.default_rng(0).uniform(-0.05, 0.05, (100, 6))
    assert (law.update(strain, law.initial_state(100), 10.0).status == PointStatus.FAILED).any()
    patient = Substepped(law)
    assert (patient.update(strain, patient.initial_state(100), 10.0).status == PointStatus.FINE).all()


@pytest.mark.parametrize("make", [CrystalPlasticity, FiniteCrystalPlasticity])
def test_turning_by_a_symmetry_of_the_cube_changes_no_stress(make):
    law = make(**COPPER)
    quarter = np.array([[0.0, -1.0, 0.0], [1.0, 0.0, 0.0], [0.0, 0.0, 1.0]])
    turned = Rotated(law, quarter)
    strain = STRAIN if make is CrystalPlasticity else (np.eye(3) + RNG.uniform(-0.02, 0.02, (12, 3, 3))).reshape(-1, 9)
    one = law.update(strain, law.initial_state(12), 1.0)
    two = turned.update(strain, turned.initial_state(12), 1.0)
    assert two.stress == pytest.approx(one.stress, abs=1e-9)
    assert two.tangent == pytest.approx(one.tangent, abs=1e-5)


def test_the_finite_crystal_is_objective():
    law = FiniteCrystalPlasticity(**COPPER)
    F, Q = np.eye(3) + RNG.uniform(-0.03, 0.03, (12, 3, 3)), random_rotations(12, seed=3)
    one = law.update(F.reshape(-1, 9), law.initial_state(12), 1.0)
    two = law.update((Q @ F).reshape(-1, 9), law.initial_state(12), 1.0)
    assert two.stress.reshape(-1, 3, 3) == pytest.approx(Q @ one.stress.reshape(-1, 3, 3), abs=1e-7)


def test_an_isotropic_law_does_not_notice_its_orientation():
    for law, strain in (
        (J2(200e3, 0.3, 200.0, H=1e3), STRAIN),
        (NeoHooke(1.0, 5.0), (np.eye(3) + RNG.uniform(-0.2, 0.2, (12, 3, 3))).reshape(-1, 9)),
        (PlaneStrain(J2(200e3, 0.3, 200.0, H=1e3)), STRAIN[:, :3]),
    ):
        R = bunge_rotation(35.0, 0.0, 0.0) if law.kinematics.size == 3 else random_rotations(1, seed=9)[0]
        turned = Rotated(law, R)
        one = law.update(strain, law.initial_state(12), 1.0)
        two = turned.update(strain, turned.initial_state(12), 1.0)
        assert two.stress == pytest.approx(one.stress, rel=1e-10, abs=1e-9)
        assert two.tangent == pytest.approx(one.tangent, rel=1e-9, abs=1e-6)


def test_orientations_travel_with_their_rows():
    R = random_rotations(4, seed=1)
    law = Rotated(CrystalPlasticity(**COPPER), R)
    state = law.initial_state(12)  # four cells of three points
    got = law.update(STRAIN, state, 1.0)
    for row in (0, 5, 11):
        alone = Rotated(CrystalPlasticity(**COPPER), R[row // 3])
        one = alone.update(STRAIN[[row]], alone.initial_state(1), 1.0)
        some = law.update(STRAIN[[row]], state[[row]], 1.0)
        assert some.stress == pytest.approx(got.stress[[row]])
        assert one.stress == pytest.approx(got.stress[[row]])
    assert got.state[:, :9] == pytest.approx(state[:, :9])


def test_a_polycrystal_is_the_mean_of_its_crystals():
    R, weights = random_rotations(5, seed=2), [1.0, 2.0, 3.0, 2.0, 2.0]
    law = TaylorPolycrystal(CrystalPlasticity(**COPPER), R, weights=weights)
    got = law.update(STRAIN, law.initial_state(12), 1.0)
    stress, tangent = np.zeros((12, 6)), np.zeros((12, 6, 6))
    for k, weight in enumerate(weights):
        grain = Rotated(CrystalPlasticity(**COPPER), R[k])
        one = grain.update(STRAIN, grain.initial_state(12), 1.0)
        stress += weight / 10.0 * one.stress
        tangent += weight / 10.0 * one.tangent
        assert law.grain_states(got.state)[:, k] == pytest.approx(one.state, abs=1e-12)
    assert got.stress == pytest.approx(stress, rel=1e-10, abs=1e-9)
    assert got.tangent == pytest.approx(tangent, rel=1e-8, abs=1e-5)


def test_many_random_crystals_are_nearly_isotropic():
    law = TaylorPolycrystal(CrystalPlasticity(**COPPER), random_rotations(3000, seed=5))
    C = law.update(np.zeros((1, 6)), law.initial_state(1), 1.0).tangent[0]
    Q = rotation(bunge_rotation(20.0, 40.0, 60.0))
    assert np.abs(Q @ C @ Q.T - C).max() < 0.02 * C.max()


def test_random_rotations_fill_all_directions_evenly():
    R = random_rotations(20000, seed=7)
    assert np.abs(R @ R.swapaxes(1, 2) - np.eye(3)).max() < 1e-13
    assert np.linalg.det(R) == pytest.approx(1.0)
    assert np.abs(R.mean(axis=0)).max() < 0.02
    assert np.einsum("pij,pij->ij", R, R) / 20000 == pytest.approx(1.0 / 3.0, abs=0.01)


@pytest.mark.parametrize(
    ("make", "sentence"),
    [
        (lambda: Rotated(LinearElastic(1.0, 0.3), np.diag([1.0, 1.0, 1.1])), "not a rotation"),
        (lambda: Rotated(LinearElastic(1.0, 0.3), np.diag([1.0, 1.0, -1.0])), "not a rotation"),
        (lambda: Rotated(LinearElastic(1.0, 0.3), np.full((3, 3), np.nan)), "not a rotation"),
        (lambda: Rotated(LinearElastic(1.0, 0.3), np.eye(2)), "shape"),
        (lambda: Rotated(PlaneStrain(LinearElastic(1.0, 0.3)), bunge_rotation(0, 20, 0)), "third axis"),
        (lambda: Rotated(Uniaxial(LinearElastic(1.0, 0.3)), np.eye(3)), "no axes"),
        (
            lambda: Rotated(LinearElastic(1.0, 0.3), random_rotations(4, seed=0)).initial_state(6),
            "4 values do not fit 6",
        ),
        (lambda: TaylorPolycrystal(LinearElastic(1.0, 0.3), np.eye(3)), r"shape \[N, 3, 3\]"),
        (lambda: TaylorPolycrystal(LinearElastic(1.0, 0.3), 2.0 * np.eye(3)[None]), "not a rotation"),
        (lambda: TaylorPolycrystal(LinearElastic(1.0, 0.3), np.eye(3)[None], weights=[1.0, 1.0]), "same length"),
        (lambda: TaylorPolycrystal(LinearElastic(1.0, 0.3), np.eye(3)[None], weights=[0.0]), r"weights\[0\]"),
        (lambda: TaylorPolycrystal(PlaneStrain(LinearElastic(1.0, 0.3)), np.eye(3)[None]), "three-dimensional"),
    ],
)
def test_a_wrong_orientation_gets_a_sentence(make, sentence):
    with pytest.raises(InputError, match=sentence):
        make()

"""J2: its parameters, its state, and the corners of its local problem."""

import numpy as np
import pytest

from pointlaw.errors import InputError
from pointlaw.materials import J2, PointStatus
from pointlaw.tensors import deviator, norm, von_mises

STEEL = {"E": 210e3, "nu": 0.3, "yield_stress": 250.0}
LAWS = {
    "linear": J2(**STEEL, H=1000.0),
    "prager": J2(**STEEL, C=20e3),
    "voce": J2(**STEEL, Q=100.0, b=20.0),
    "armstrong_frederick": J2(**STEEL, C=40e3, gamma=300.0),
    "everything": J2(**STEEL, H=500.0, Q=80.0, b=15.0, C=(50e3, 8e3, 2e3), gamma=(500.0, 30.0, 0.0)),
    "perfect": J2(**STEEL),
}
RNG = np.random.default_rng(11)


def loaded(law, points=50, size=4e-3, steps=4):
    """Return a state that a random path has led to, and its last strain."""
    state, strain = law.initial_state(points), np.zeros((points, 6))
    for _ in range(steps):
        strain = strain + size * RNG.standard_normal((points, 6)) / np.sqrt(6.0)
        state = law.update(strain, state, 1.0).state
    return strain, state


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        ({"E": 0.0}, "E = 0.0"),
        ({"nu": 0.5}, "nu = 0.5"),
        ({"yield_stress": -1.0}, "yield_stress = -1.0"),
        ({"yield_stress": np.inf}, "yield_stress = inf"),
        ({"H": np.nan}, "H = nan"),
        ({"Q": np.inf, "b": 1.0}, "Q = inf"),
        ({"b": -1.0}, "b = -1.0"),
        ({"C": -5.0}, r"C\[0\] = -5.0"),
        ({"C": (1.0, 2.0), "gamma": (1.0, -2.0)}, r"gamma\[1\] = -2.0"),
        ({"C": (1.0, 2.0), "gamma": 1.0}, "same length"),
        ({"gamma": 1.0}, "same length"),
        ({"H": -3.0 * 210e3 / 2.6}, "falls too steeply"),
        ({"Q": -1e4, "b": 30.0}, "falls too steeply"),
    ],
)
def test_a_wrong_parameter_gets_a_sentence(change, sentence):
    with pytest.raises(InputError, match=sentence):
        J2(**{**STEEL, **change})


def test_the_state_holds_one_backstress_a_term():
    assert LAWS["linear"].state_layout.sizes == {"plastic_strain": 6, "equivalent_plastic_strain": 1}
    assert LAWS["everything"].state_layout.sizes["backstress"] == 18


def test_only_recall_makes_the_tangent_unsymmetric():
    assert [law.symmetric for law in LAWS.values()] == [True, True, True, False, False, True]


@pytest.mark.parametrize("law", LAWS.values(), ids=LAWS)
def test_after_a_plastic_step_the_stress_lies_on_the_yield_surface(law):
    strain, old = loaded(law)
    strain = strain + 5e-3 * RNG.standard_normal(strain.shape)
    answer = law.update(strain, old, 1.0)
    parts = law.state_layout.split(answer.state)
    plastic = answer.state[:, 6] > old[:, 6]
    assert plastic.sum() > 30
    back = parts["backstress"].reshape(len(strain), -1, 6).sum(axis=1) if law.terms else 0.0
    over = von_mises(answer.stress - back) - law.radius(answer.state[:, 6])
    assert np.abs(over[plastic]).max() < 1e-9 * 250.0
    assert (over[~plastic] <= 1e-9 * 250.0).all()


@pytest.mark.parametrize("law", LAWS.values(), ids=LAWS)
def test_the_state_keeps_its_meaning(law):
    strain, state = loaded(law)
    parts = law.state_layout.split(state)
    assert np.abs(parts["plastic_strain"][:, :3].sum(axis=1)).max() < 1e-15
    assert (parts["equivalent_plastic_strain"] > 0.0).any()
    answer = law.update(strain, state, 1.0)
    assert answer.stress == pytest.approx((strain - parts["plastic_strain"]) @ law.stiffness, abs=1e-9)


@pytest.mark.parametrize("law", LAWS.values(), ids=LAWS)
def test_a_strain_that_is_held_changes_nothing(law):
    strain, state = loaded(law)
    again = law.update(strain, state, 1.0)
    assert again.state == pytest.approx(state, rel=1e-12, abs=1e-13)


@pytest.mark.parametrize("law", LAWS.values(), ids=LAWS)
def test_a_point_on_the_surface_that_is_held_answers_elastically(law):
    strain, state = loaded(law)
    assert law.update(strain, state, 1.0).tangent == pytest.approx(np.tile(law.stiffness, (len(strain), 1, 1)))


def test_the_very_yield_point_and_pure_pressure_have_a_finite_tangent():
    law = LAWS["everything"]
    shear = 250.0 / np.sqrt(3.0) / law.G  # engineering shear at first yield
    strain = np.zeros((4, 6))
    strain[0, 5] = shear / np.sqrt(2.0)
    strain[1, 5] = np.nextafter(strain[0, 5], 1.0)
    strain[2, 5] = (1.0 + 1e-11) * strain[0, 5]
    strain[3, :3] = 0.05
    answer = law.update(strain, law.initial_state(4), 1.0)
    assert (answer.status == PointStatus.FINE).all()
    assert np.isfinite(answer.tangent).all()
    assert answer.state[3] == pytest.approx(np.zeros(25))


@pytest.mark.parametrize("law", LAWS.values(), ids=LAWS)
def test_a_step_a_thousand_times_the_yield_strain_converges(law):
    strain = 1.2 * RNG.standard_normal((200, 6))
    answer = law.update(strain, loaded(law, points=200)[1], 1.0)
    assert (answer.status == PointStatus.FINE).all()
    back = law.state_layout.split(answer.state)["backstress"].reshape(200, -1, 6).sum(axis=1) if law.terms else 0.0
    radius = law.radius(answer.state[:, 6])
    # The stress is the difference of trial stresses of up to 1e6 MPa: that bounds what round-off leaves.
    assert np.abs(von_mises(answer.stress - back) - radius).max() < 1e-13 * 1e7


def test_voce_and_recall_with_zero_constants_are_the_closed_form():
    strain, state = loaded(LAWS["prager"])
    strain = strain + 5e-3 * RNG.standard_normal(strain.shape)
    closed = J2(**STEEL, H=700.0, C=20e3).update(strain, state, 1.0)
    tiny = J2(**STEEL, H=700.0, Q=1e-300, b=1.0, C=20e3, gamma=1e-300).update(strain, state, 1.0)
    assert tiny.stress == pytest.approx(closed.stress, rel=1e-12, abs=1e-9)
    assert tiny.tangent == pytest.approx(closed.tangent, rel=1e-11, abs=1e-6)


def test_two_equal_backstresses_are_one_of_twice_the_modulus():
    one, two = J2(**STEEL, C=40e3, gamma=300.0), J2(**STEEL, C=(20e3, 20e3), gamma=(300.0, 300.0))
    strain = np.cumsum(3e-3 * RNG.standard_normal((5, 20, 6)), axis=0)
    first, second = one.initial_state(20), two.initial_state(20)
    for e in strain:
        a, b = one.update(e, first, 1.0), two.update(e, second, 1.0)
        first, second = a.state, b.state
    assert b.stress == pytest.approx(a.stress, rel=1e-11, abs=1e-9)


def test_the_backstress_never_exceeds_its_saturation():
    law = J2(**STEEL, C=40e3, gamma=300.0)
    _, state = loaded(law, points=200, size=0.05, steps=10)
    size = np.sqrt(1.5) * norm(law.state_layout.split(state)["backstress"])
    assert size.max() <= 40e3 / 300.0 * (1.0 + 1e-12)
    assert size.max() > 0.5 * 40e3 / 300.0


def test_a_backstress_beyond_saturation_is_survived():
    """Such a state cannot be reached, only given; the scalar equation then need not fall monotonically."""
    law = J2(**STEEL, C=40e3, gamma=300.0)
    state = law.initial_state(500)
    state[:, 7:] = deviator(2000.0 * RNG.standard_normal((500, 6)))
    answer = law.update(3e-3 * RNG.standard_normal((500, 6)), state, 1.0)
    parts = law.state_layout.split(answer.state)
    over = von_mises(answer.stress - parts["backstress"]) - law.radius(answer.state[:, 6])
    assert (answer.status == PointStatus.FINE).all()
    assert over.max() < 1e-8


def test_softening_down_to_no_strength_fails_the_point_and_only_this_one():
    law = J2(**STEEL, H=-5000.0)
    strain = np.zeros((2, 6))
    strain[:, 5] = 0.01, 0.2
    answer = law.update(strain, law.initial_state(2), 1.0)
    assert answer.status.tolist() == [PointStatus.FINE, PointStatus.FAILED]
    assert np.isnan(answer.stress[1]).all()


def test_isochoric_strain_gives_no_pressure_and_pressure_gives_no_flow():
    law = LAWS["everything"]
    strain = deviator(0.01 * RNG.standard_normal((10, 6)))
    stress = law.update(strain, law.initial_state(10), 1.0).stress
    assert np.abs(stress[:, :3].sum(axis=1)).max() < 1e-9


@pytest.mark.parametrize("law", LAWS.values(), ids=LAWS)
def test_a_strain_so_large_that_only_round_off_is_left_fails(law):
    answer = law.update(np.diag([1e8, 1e-3, 1e-3, 1e-3, 1e-3, 1e-3])[:2], law.initial_state(2), 1.0)
    assert answer.status.tolist() == [PointStatus.FAILED, PointStatus.FINE]

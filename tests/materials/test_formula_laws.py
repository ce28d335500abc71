"""Anisotropic, frictional, viscous and finite-strain plastic laws: parameters, limits and corners."""

import inspect

import numpy as np
import pytest

from pointlaw.errors import InputError
from pointlaw.materials import (
    J2,
    MATERIALS,
    DruckerPrager,
    FiniteJ2,
    GeneralisedMaxwell,
    LinearElastic,
    Orthotropic,
    Perzyna,
    PointStatus,
    TransverselyIsotropic,
    WithFields,
    random_rotations,
)
from pointlaw.tensors import IDENTITY, from_mandel, rotation

RNG = np.random.default_rng(21)
STRAIN = 3e-3 * RNG.uniform(-1.0, 1.0, (50, 6))


@pytest.mark.parametrize(
    ("law", "size"),
    [
        (FiniteJ2(E=206.9e3, nu=0.29, yield_stress=450.0), 0.05),
        (FiniteJ2(E=206.9e3, nu=0.29, yield_stress=450.0, H=129.24, Q=265.0, b=16.93), 0.2),
        (FiniteJ2(E=206.9e3, nu=0.29, yield_stress=1.0), 0.1),
        (J2(E=210e3, nu=0.3, yield_stress=250.0, H=1000.0), 0.01),
        (DruckerPrager(E=20e3, nu=0.2, friction=30.0, dilation=10.0, cohesion=1.0, H=100.0), 0.1),
        (DruckerPrager(E=20e3, nu=0.2, friction=30.0, dilation=10.0, cohesion=1e-3), 0.01),
        (DruckerPrager(E=20e3, nu=0.2, friction=30.0, dilation=10.0, cohesion=1e-6, H=10.0), 0.1),
    ],
)
def test_a_plastic_point_that_is_held_is_elastic_whatever_the_rounding(law, size):
    """Its tangent is the elastic one, at finite strain that of the way back, and nothing flows on."""
    rest = law.kinematics.reference
    change = size * RNG.normal(size=(500, law.kinematics.size))
    if isinstance(law, DruckerPrager):
        change[:, :3] -= 1.5 * size
    first = law.update(rest + change, law.initial_state(500), 1.0)
    flowed = (first.status == PointStatus.FINE) & (first.state[:, -1] > 0.0)
    assert flowed.sum() > 30
    held = law.update(rest + change, first.state, 1.0)
    np.testing.assert_array_equal(held.state[flowed], first.state[flowed])
    if not law.kinematics.finite:
        np.testing.assert_allclose(held.tangent[flowed], np.tile(law.stiffness, (flowed.sum(), 1, 1)), rtol=1e-12)
        return
    back = law.update(rest + (1.0 - 1e-7) * change, first.state, 1.0)
    np.testing.assert_array_equal(back.state[flowed], first.state[flowed])
    assert np.abs(held.tangent - back.tangent)[flowed].max() < 1e-4 * np.abs(back.tangent[flowed]).max()


@pytest.mark.parametrize(
    ("make", "sentence"),
    [
        (lambda: Orthotropic((1.0, 1.0), (0.1, 0.1, 0.1), (1.0, 1.0, 1.0)), "E has 2 entries"),
        (lambda: Orthotropic((1.0, -1.0, 1.0), (0.1, 0.1, 0.1), (1.0, 1.0, 1.0)), "E2 = -1.0"),
        (lambda: Orthotropic((1.0, 1.0, 1.0), (0.1, 0.1, 0.1), (1.0, 0.0, 1.0)), "G13 = 0.0"),
        (lambda: Orthotropic((1.0, 1.0, 1.0), (0.9, 0.9, 0.9), (1.0, 1.0, 1.0)), "not positive definite"),
        (lambda: TransverselyIsotropic(1.0, 1.0, 0.3, 1.0, 1.0), "nu_plane = 1.0"),
        (lambda: TransverselyIsotropic(1.0, 1.0, 0.3, 0.3, 1.0, axis=(0.0, 0.0, 0.0)), "not all 0"),
        (lambda: DruckerPrager(1.0, 0.5, 30.0, 10.0, 1.0), "nu = 0.5"),
        (lambda: DruckerPrager(1.0, 0.3, 0.0, 0.0, 1.0), "friction = 0.0"),
        (lambda: DruckerPrager(1.0, 0.3, 30.0, 31.0, 1.0), "dilation = 31.0"),
        (lambda: DruckerPrager(1.0, 0.3, 30.0, 0.0, 1.0, H=1.0), "needs dilation > 0"),
        (lambda: DruckerPrager(1.0, 0.3, 30.0, 5.0, -1.0), "cohesion = -1.0"),
        (lambda: Perzyna(1.0, 0.3, drag=0.0, n=2.0), "drag = 0.0"),
        (lambda: Perzyna(1.0, 0.3, drag=1.0, n=0.5), "n = 0.5"),
        (lambda: Perzyna(1.0, 0.3, drag=1.0, n=2.0, H=-1.0), "H = -1.0"),
        (lambda: GeneralisedMaxwell(1.0, 0.3, (1.0, 0.5), (0.1, 0.1)), "must increase"),
        (lambda: GeneralisedMaxwell(1.0, 0.3, (1.0, 1.0), (0.1, 0.1)), "must increase"),
        (lambda: GeneralisedMaxwell(1.0, 0.3, (-1.0,), (0.1,)), r"tau\[0\] = -1.0"),
        (lambda: GeneralisedMaxwell(1.0, 0.3, (1.0, 2.0), (0.1,)), "same length"),
        (lambda: GeneralisedMaxwell(1.0, 0.3, (1.0, 2.0), (0.7, 0.6)), "sum of g is 1.2"),
        (lambda: GeneralisedMaxwell(1.0, 0.3, (1.0,), (0.2,), k=(-0.1,)), r"k\[0\] = -0.1"),
        (lambda: GeneralisedMaxwell(1.0, 0.3, (), ()), "at least one"),
        (lambda: FiniteJ2(1.0, 0.5, 1.0), "nu = 0.5"),
        (lambda: FiniteJ2(1.0, 0.3, 1.0, H=-1.0), "H = -1.0"),
    ],
)
def test_a_wrong_parameter_gets_a_sentence(make, sentence):
    with pytest.raises(InputError, match=sentence):
        make()


@pytest.mark.parametrize("name", MATERIALS)
def test_a_law_keeps_its_constructor_arguments_so_that_a_card_can_name_them(name):
    law = MATERIALS[name]()
    arguments = inspect.signature(type(law).__init__).parameters.values()
    missing = [p.name for p in arguments if p.kind is not p.VAR_KEYWORD and p.name not in ("self", *vars(law))]
    assert set(missing) <= ({"law"} if isinstance(law, WithFields) else set())


def test_equal_moduli_make_both_anisotropic_laws_isotropic():
    E, nu = 10.0, 0.3
    wanted = LinearElastic(E, nu).stiffness
    G = E / (2.0 * (1.0 + nu))
    assert Orthotropic((E, E, E), (nu, nu, nu), (G, G, G)).stiffness == pytest.approx(wanted)
    assert TransverselyIsotropic(E, E, nu, nu, G, axis=(1.0, 2.0, 3.0)).stiffness == pytest.approx(wanted)


def test_a_transversely_isotropic_solid_may_be_turned_about_its_axis():
    law = TransverselyIsotropic(130e3, 9e3, 0.3, 0.4, 5e3, axis=(0.0, 0.0, 1.0))
    c, s = np.cos(0.7), np.sin(0.7)
    Q = rotation(np.array([[c, -s, 0.0], [s, c, 0.0], [0.0, 0.0, 1.0]]))
    assert Q @ law.stiffness @ Q.T == pytest.approx(law.stiffness, abs=1e-9)


def test_perzyna_with_hardly_any_drag_is_rate_independent_j2():
    viscous = Perzyna(200e3, 0.3, drag=1e-9, n=1.0, yield_stress=200.0, H=1000.0)
    plastic = J2(200e3, 0.3, 200.0, H=1000.0)
    one = viscous.update(STRAIN, viscous.initial_state(50), 1.0)
    two = plastic.update(STRAIN, plastic.initial_state(50), 1.0)
    assert (two.state[:, 6] > 0.0).any()
    assert one.stress == pytest.approx(two.stress, abs=1e-6)
    assert one.tangent == pytest.approx(two.tangent, abs=1e-2)


@pytest.mark.parametrize("n", [1.0, 4.0, 50.0])
def test_a_viscous_step_solves_its_equation_however_long_it_is(n):
    law = Perzyna(200e3, 0.3, drag=300.0, n=n, yield_stress=50.0, H=500.0)
    for dt in (1e-8, 1.0, 1e9):
        got = law.update(STRAIN, law.initial_state(50), dt)
        q = np.sqrt(1.5) * np.linalg.norm(got.stress - got.stress[:, :3].sum(axis=1)[:, None] / 3.0 * IDENTITY, axis=1)
        p = got.state[:, 6]
        flows = p > 1e-10  # below, Δp is lost in the round-off of the strain
        over = q - 50.0 - 500.0 * p
        assert over[flows] == pytest.approx(300.0 * (p[flows] / dt) ** (1.0 / n), rel=1e-6, abs=1e-9)
        assert flows.any() or dt < 1.0


def test_no_time_means_no_creep():
    law = Perzyna(200e3, 0.3, drag=300.0, n=5.0)
    got = law.update(STRAIN, law.initial_state(50), 0.0)
    assert got.stress == pytest.approx(STRAIN @ law.stiffness)
    assert not got.state.any()


def test_drucker_prager_stress_never_leaves_the_cone():
    law = DruckerPrager(20e3, 0.2, 35.0, 15.0, 1.0, H=300.0)
    state, strain = law.initial_state(300), np.zeros((300, 6))
    for _ in range(5):
        strain = strain + 1e-3 * RNG.uniform(-1.0, 1.0, strain.shape)
        got = law.update(strain, state, 1.0)
        state = got.state
        p = got.stress[:, :3].sum(axis=1) / 3.0
        root = np.linalg.norm(got.stress - p[:, None] * IDENTITY, axis=1) / np.sqrt(2.0)
        strength = law.xi * (1.0 + 300.0 * state[:, 6])
        assert (root + law.eta * p - strength).max() < 1e-10
        assert got.stress == pytest.approx((strain - state[:, :6]) @ law.stiffness, abs=1e-9)
    assert (root < 1e-9).any()  # some at the apex
    assert (state[:, 6] > 0.0).mean() > 0.9


def test_without_dilation_flow_on_the_cone_keeps_the_volume():
    law = DruckerPrager(20e3, 0.2, 30.0, 0.0, 5.0)
    strain = np.array([[-1e-3, 0.0, 0.0, 0.0, 0.0, 3e-3]])
    plastic = law.update(strain, law.initial_state(1), 1.0).state[:, :6]
    assert np.linalg.norm(plastic) > 1e-4
    assert plastic[:, :3].sum() == pytest.approx(0.0, abs=1e-15)


def test_finite_j2_is_objective():
    law = FiniteJ2(200e3, 0.3, 200.0, H=1000.0)
    F = np.eye(3) + 0.05 * RNG.uniform(-1.0, 1.0, (20, 3, 3))
    Q = random_rotations(20, seed=0)
    one = law.update(F.reshape(-1, 9), law.initial_state(20), 1.0)
    two = law.update((Q @ F).reshape(-1, 9), law.initial_state(20), 1.0)
    assert two.stress.reshape(-1, 3, 3) == pytest.approx(Q @ one.stress.reshape(-1, 3, 3), abs=1e-8)
    assert two.state == pytest.approx(one.state, abs=1e-12)


def test_finite_j2_becomes_j2_for_small_strain():
    finite, small = FiniteJ2(200e3, 0.3, 0.02, H=1000.0), J2(200e3, 0.3, 0.02, H=1000.0)
    strain = 1e-3 * STRAIN
    one = finite.update((np.eye(3) + from_mandel(strain)).reshape(-1, 9), finite.initial_state(50), 1.0)
    two = small.update(strain, small.initial_state(50), 1.0)
    assert (two.state[:, 6] > 0.0).all()
    assert one.stress.reshape(-1, 3, 3) == pytest.approx(from_mandel(two.stress), abs=2e-5 * np.abs(two.stress).max())


def test_finite_j2_refuses_a_body_turned_inside_out():
    law = FiniteJ2(200e3, 0.3, 200.0)
    F = np.tile(np.eye(3).ravel(), (2, 1))
    F[1, 0] = -1.0
    assert law.update(F, law.initial_state(2), 1.0).status.tolist() == [PointStatus.FINE, PointStatus.FAILED]

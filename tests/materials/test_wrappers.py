"""Substepping and fields of parameters: what they leave alone, and the derivative of what they do."""

import re

import numpy as np
import pytest

from pointlaw.data import Units
from pointlaw.errors import InputError
from pointlaw.materials import (
    J2,
    Axisymmetric,
    FinitePlaneStrain,
    Material,
    MeanDilatation,
    NeoHooke,
    Perzyna,
    PlaneStrain,
    PlaneStress,
    PointStatus,
    Response,
    Rotated,
    Scaled,
    StateLayout,
    Substepped,
    TaylorPolycrystal,
    Uniaxial,
    WithFields,
    random_rotations,
)
from pointlaw.tensors import FINITE_STRAIN_3D, SMALL_STRAIN_3D
from pointlaw.testing import check_material, taylor_order

RNG = np.random.default_rng(12)


class Impatient(Material):
    """A law that fails at points whose strain changes by more than ``limit`` in one step."""

    def __init__(self, law, limit):
        self.law, self.limit = law, limit
        self.kinematics, self.symmetric = law.kinematics, law.symmetric
        m = self.kinematics.size
        self.state_layout = type(law.state_layout)({"last": m} | law.state_layout.sizes)
        self.rows = []

    def initial_state(self, points):
        last = np.tile(self.kinematics.reference, (points, 1))
        return np.concatenate([last, self.law.initial_state(points)], axis=1)

    def update(self, strain, state, dt, *, tangent=True):
        self.rows.append(len(strain))
        m = strain.shape[1]
        inner = self.law.update(strain, state[:, m:], dt, tangent=tangent)
        far = np.linalg.norm(strain - state[:, :m], axis=1) > self.limit
        status = np.where(far, np.int8(PointStatus.FAILED), inner.status)
        new = np.concatenate([strain, inner.state], axis=1)
        return Response(inner.stress, inner.tangent, new, status, 0.5 if far.any() else 3.0)


class Together(Material):
    """A law that all ranks call together."""

    collective = True

    def __init__(self, law):
        self.law, self.kinematics, self.state_layout = law, law.kinematics, law.state_layout

    def update(self, strain, state, dt, *, tangent=True):
        return self.law.update(strain, state, dt, tangent=tangent)


@pytest.mark.parametrize(
    ("name", "wrap"),
    [
        ("PlaneStrain", PlaneStrain),
        ("PlaneStress", PlaneStress),
        ("Axisymmetric", Axisymmetric),
        ("Uniaxial", Uniaxial),
        ("Substepped", Substepped),
        ("Scaled", lambda law: Scaled(law, 2.0)),
        ("Rotated", lambda law: Rotated(law, np.eye(3))),
        ("TaylorPolycrystal", lambda law: TaylorPolycrystal(law, np.eye(3)[None])),
        ("WithFields", lambda law: WithFields(lambda E: law, {"E": [1.0]})),
    ],
)
def test_a_law_that_all_ranks_call_together_must_be_the_outermost(name, wrap):
    with pytest.raises(InputError, match=rf"{name}: Together .* write Together\({name}\(law\)\)"):
        wrap(Together(J2(210e3, 0.3, 250.0)))


def test_a_finite_law_that_all_ranks_call_together_must_be_the_outermost():
    with pytest.raises(InputError, match=r"write Together\(FinitePlaneStrain\(law\)\)"):
        FinitePlaneStrain(Together(NeoHooke(mu=1.0, K=100.0)))


def test_a_mean_dilatation_is_called_as_its_law_is_and_says_what_its_law_says():
    class Refuses(Together):
        def reason(self, state, status):
            return f"{np.count_nonzero(status == -1)} refused"

    law = J2(210e3, 0.3, 250.0)
    assert not MeanDilatation(law).collective
    mixed = MeanDilatation(Refuses(law))
    assert mixed.collective
    assert mixed.reason(mixed.initial_state(2), np.array([-1, 1], dtype=np.int8)) == "1 refused"


class Refuses(Material):
    """Answers nothing, and says of each refused point what it read in its state."""

    def __init__(self, kinematics=SMALL_STRAIN_3D, value=7.0):
        self.kinematics, self.value, self.state_layout = kinematics, value, StateLayout(mark=1)

    def initial_state(self, points):
        return np.full((points, 1), self.value)

    def update(self, strain, state, dt, *, tangent=True):
        p, m = strain.shape
        status = np.full(p, np.int8(PointStatus.FAILED))
        return Response(strain.copy(), np.tile(np.eye(m), (p, 1, 1)) if tangent else None, state.copy(), status)

    def reason(self, state, status):
        return f"refused at {state[status == PointStatus.FAILED].tolist()}"


@pytest.mark.parametrize(
    "wrap",
    [
        PlaneStrain,
        PlaneStress,
        Axisymmetric,
        Uniaxial,
        Substepped,
        lambda law: Scaled(law, [2.0]),
        lambda law: Rotated(law, np.eye(3)[None]),
        lambda law: FinitePlaneStrain(Refuses(FINITE_STRAIN_3D)),
        lambda law: WithFields(lambda value: Refuses(value=value), {"value": [7.0, 7.0]}),
        MeanDilatation,
    ],
)
def test_a_wrapper_hands_on_the_reason_of_its_law(wrap):
    law = wrap(Refuses())
    answer = law.update(np.tile(law.kinematics.reference, (2, 1)), law.initial_state(2), 1.0)
    assert law.reason(answer.state, answer.status) == "refused at [[7.0], [7.0]]"


def test_a_law_has_the_units_of_the_laws_in_it():
    def trained(stress):
        law = J2(210e3, 0.3, 250.0)
        law.units = Units(stress=stress)
        return law

    for wrap in (
        PlaneStrain,
        Substepped,
        MeanDilatation,
        lambda law: Scaled(PlaneStress(law), 2.0),
        lambda law: Rotated(law, np.eye(3)),
        lambda law: TaylorPolycrystal(law, np.eye(3)[None]),
        lambda law: WithFields(lambda E: law, {"E": [1.0, 2.0]}),
    ):
        assert wrap(trained("Pa")).units == Units(stress="Pa")
        assert wrap(J2(210e3, 0.3, 250.0)).units is None

    class Mixture(Together):
        def __init__(self, *laws):
            super().__init__(laws[0])
            self.laws = laws

    assert Mixture(J2(1.0, 0.3, 1.0), trained("Pa")).units == Units(stress="Pa")
    with pytest.raises(InputError, match=r"Mixture: the units of its laws differ, \(stress Pa.*\) and \(stress GPa"):
        _ = Mixture(trained("Pa"), trained("GPa")).units


CREEP = Perzyna(200e3, 0.3, drag=300.0, n=5.0, yield_stress=50.0, H=1000.0)


def test_the_identity_is_that_of_the_laws_inside_and_not_of_their_parameters():
    def wrapped(E, cells):
        return Substepped(
            PlaneStrain(Rotated(Scaled(J2(E, 0.3, 250.0), [1.0] * cells), random_rotations(cells, seed=0)))
        )

    identity = wrapped(210e3, 1).identity
    assert identity == "Substepped(PlaneStrain(Rotated(Scaled(J2))))"
    assert wrapped(70e3, 2).identity == identity  # another rank has other cells
    assert Substepped(PlaneStrain(Scaled(J2(210e3, 0.3, 250.0), 2.0))).identity != identity
    assert WithFields(J2, {"yield_stress": [1.0, 2.0]}, E=1.0, nu=0.3).identity == "WithFields(J2)"


def test_a_law_that_never_fails_is_left_alone():
    law, strain = Substepped(CREEP), 2e-3 * RNG.normal(size=(20, 6))
    one = law.update(strain, law.initial_state(20), 1.0)
    two = CREEP.update(strain, CREEP.initial_state(20), 1.0)
    assert np.array_equal(one.stress, two.stress)
    assert np.array_equal(one.tangent, two.tangent)
    assert np.array_equal(one.state, np.concatenate([strain, two.state], axis=1))


def test_only_failing_points_are_bisected_and_walk_the_smaller_steps():
    inner = Impatient(CREEP, 2e-3)
    law = Substepped(inner)
    strain = np.zeros((3, 6))
    strain[0, 5], strain[1, 5], strain[2, 5] = 1e-3, 3e-3, 7e-3
    got = law.update(strain, law.initial_state(3), 1.0, tangent=False)
    assert (got.status == PointStatus.FINE).all()
    for row, parts in enumerate((1, 2, 4)):
        state = CREEP.initial_state(1)
        for k in range(1, parts + 1):
            one = CREEP.update(strain[[row]] * k / parts, state, 1.0 / parts)
            state = one.state
        assert got.stress[[row]] == pytest.approx(one.stress, rel=1e-12)
        assert got.state[[row], 12:] == pytest.approx(one.state, rel=1e-12)
    assert inner.rows == [3, 2, 1, 1, 1, 1, 1]  # all; halves of two, one of which fails at once; quarters of the other


def test_the_wish_of_failing_points_to_cut_the_step_is_forgotten_once_they_are_through():
    law = Substepped(Impatient(CREEP, 2e-3))
    strain = np.array([[0.0, 0.0, 0.0, 0.0, 0.0, 3e-3]])
    assert law.update(strain, law.initial_state(1), 1.0, tangent=False).dt_factor == 3.0
    short = Substepped(Impatient(CREEP, 1e-6), halvings=2).update(strain, law.initial_state(1), 1.0)
    assert short.dt_factor == 0.5
    assert short.status[0] == PointStatus.FAILED
    assert np.isnan(short.stress).all()


@pytest.mark.parametrize("wrapped", [CREEP, NeoHooke(1.0, 5.0)], ids=["creep", "rubber"])
def test_the_tangent_of_bisected_points_is_that_of_the_whole_chain(wrapped):
    finite = wrapped.kinematics.finite
    size = 0.3 if finite else 4e-3
    law = Substepped(Impatient(wrapped, 0.4 * size))
    state = law.initial_state(6)
    m = law.kinematics.size
    direction = RNG.normal(size=(6, m))
    strain = law.kinematics.reference + size * direction / np.linalg.norm(direction, axis=1, keepdims=True)
    got = law.update(strain, state, 1.0)
    assert (got.status == PointStatus.FINE).all()
    order = taylor_order(
        lambda e: law.update(e, state, 1.0, tangent=False).stress,
        strain,
        got.tangent,
        directions=RNG.normal(size=(6, m)),
        size=1e-2 * size,
        halvings=8,
    )
    assert np.min(order) >= 1.9


def test_a_substepped_law_that_bisects_keeps_the_contract():
    check_material(Substepped(Impatient(CREEP, 1.5e-3)), points=4).raise_if_failed()


@pytest.mark.parametrize("halvings", [0, 21])
def test_a_senseless_number_of_halvings_gets_a_sentence(halvings):
    with pytest.raises(InputError, match=f"halvings = {halvings}"):
        Substepped(CREEP, halvings=halvings)


def test_every_point_answers_with_its_own_parameters():
    law = WithFields(J2, {"yield_stress": [200.0, 300.0, 200.0], "E": [1e5, 2e5, 1e5]}, nu=0.3, H=1e3)
    strain = 3e-3 * RNG.normal(size=(6, 6))
    state = law.initial_state(6)  # three cells of two points
    got = law.update(strain, state, 1.0)
    for row, (y, E) in enumerate([(200.0, 1e5), (200.0, 1e5), (300.0, 2e5), (300.0, 2e5), (200.0, 1e5), (200.0, 1e5)]):
        plain = J2(E, 0.3, y, H=1e3)
        one = plain.update(strain[[row]], plain.initial_state(1), 1.0)
        assert got.stress[[row]] == pytest.approx(one.stress)
        assert got.tangent[[row]] == pytest.approx(one.tangent)
        assert got.state[row, 2:] == pytest.approx(one.state[0])
    some = law.update(strain[[4, 2]], state[[4, 2]], 1.0)
    assert some.stress == pytest.approx(got.stress[[4, 2]])


def test_a_field_may_vary_a_wrapped_law():
    law = WithFields(lambda yield_stress: PlaneStress(J2(2e5, 0.3, yield_stress)), {"yield_stress": [100.0, 400.0]})
    strain = np.array([[2e-3, 0.0, 0.0], [2e-3, 0.0, 0.0]])
    stress = law.update(strain, law.initial_state(2), 1.0).stress
    assert stress[0, 0] < 200.0 < stress[1, 0]


def test_a_scaled_law_is_the_law_with_scaled_moduli():
    factors = np.array([0.5, 1.0, 3.0])
    law = Scaled(J2(2e5, 0.3, 200.0, H=1e3), factors)
    strain = 3e-3 * RNG.normal(size=(6, 6))
    got = law.update(strain, law.initial_state(6), 1.0)
    for row in range(6):
        k = factors[row // 2]
        plain = J2(2e5 * k, 0.3, 200.0 * k, H=1e3 * k)
        one = plain.update(strain[[row]], plain.initial_state(1), 1.0)
        assert got.stress[[row]] == pytest.approx(one.stress)
        assert got.tangent[[row]] == pytest.approx(one.tangent)
        assert got.state[row, 1:] == pytest.approx(one.state[0])
    twice = Scaled(CREEP, 2.0)
    assert twice.update(strain, twice.initial_state(6), 1.0).stress == pytest.approx(
        2.0 * CREEP.update(strain, CREEP.initial_state(6), 1.0).stress
    )


def test_a_rank_without_cells_gives_no_values():
    for law in (
        Scaled(CREEP, []),
        Rotated(CREEP, np.zeros((0, 3, 3))),
        WithFields(J2, {"E": [2e5]}, nu=0.3, yield_stress=200.0),
    ):
        assert law.initial_state(0).shape == (0, law.state_layout.size)
        assert law.update(np.zeros((0, 6)), law.initial_state(0), 1.0).tangent.shape == (0, 6, 6)


@pytest.mark.parametrize("reduction", [Axisymmetric, PlaneStrain, Uniaxial])
def test_a_law_whose_strain_is_no_tensor_is_not_turned(reduction):
    """With dilatation and pressure an axisymmetric strain has six components, as one of a solid has."""
    law = reduction(CREEP) if reduction is Uniaxial else MeanDilatation(reduction(CREEP))
    with pytest.raises(
        InputError, match=rf"{re.escape(law.kinematics.name)} .* turn the law inside {type(law).__name__}"
    ):
        Rotated(law, np.eye(3))
    with pytest.raises(InputError, match="must be three-dimensional"):
        TaylorPolycrystal(law, np.eye(3)[None])


@pytest.mark.parametrize("factor", [0.0, -1.0, np.nan, [[1.0]]])
def test_a_wrong_factor_gets_a_sentence(factor):
    with pytest.raises(InputError, match="finite numbers > 0"):
        Scaled(CREEP, factor)


@pytest.mark.parametrize(
    ("make", "sentence"),
    [
        (lambda: WithFields(J2, {"E": []}, nu=0.3, yield_stress=1.0), "gives one value of each field"),
        (lambda: WithFields(J2, {}, E=1.0, nu=0.3, yield_stress=1.0), "name at least one field"),
        (lambda: WithFields(J2, {"E": [1.0]}, E=1.0, nu=0.3, yield_stress=1.0), r"\['E'\] are given both"),
        (lambda: WithFields(J2, {"E": [1.0, -1.0]}, nu=0.3, yield_stress=1.0), "E = -1.0"),
        (lambda: WithFields(J2, {"E": [1.0, 2.0], "nu": [0.1, 0.2, 0.3]}, yield_stress=1.0), "field E has shape"),
        (lambda: WithFields(J2, {"E": [1.0, 2.0]}, nu=0.3, yield_stress=1.0).initial_state(5), "2 values do not fit 5"),
        (lambda: WithFields(J2, {"C": [1.0, 2.0]}, E=1.0, nu=0.3, yield_stress=0.0), "yield_stress = 0.0"),
    ],
)
def test_a_wrong_field_gets_a_sentence(make, sentence):
    with pytest.raises(InputError, match=sentence):
        make()

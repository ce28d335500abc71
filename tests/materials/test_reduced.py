"""The reductions: what they keep, fix and free, and how a row that finds no answer is told."""

import numpy as np
import pytest

from pointlaw.errors import InputError
from pointlaw.materials import (
    J2,
    Axisymmetric,
    LinearElastic,
    Material,
    PlaneStrain,
    PlaneStress,
    PointStatus,
    Response,
    Uniaxial,
)
from pointlaw.materials.relax import relax
from pointlaw.tensors import SMALL_STRAIN_3D, UNIAXIAL

E, NU = 210e3, 0.3
ELASTIC = LinearElastic(E=E, nu=NU)
PLASTIC = J2(E=E, nu=NU, yield_stress=250.0, H=500.0, C=20e3, gamma=100.0)
REDUCTIONS = [PlaneStrain, PlaneStress, Axisymmetric, Uniaxial]


class OutOfRangeAbove(Material):
    """Linear elasticity that refuses, or is out of range, beyond strains of the given norm."""

    kinematics = SMALL_STRAIN_3D

    def __init__(self, refuses=np.inf, warns=np.inf, factor=np.inf):
        self.refuses, self.warns, self.factor = refuses, warns, factor

    def update(self, strain, state, dt, *, tangent=True):
        answer = ELASTIC.update(strain, state, dt, tangent=tangent)
        size = np.linalg.norm(strain, axis=1)
        status = np.where(size > self.refuses, -1, np.where(size > self.warns, 0, 1))
        return Response(answer.stress, answer.tangent, answer.state, status, self.factor)


class Stubborn(Material):
    """A law whose lateral stress cannot be brought to zero: it has no tangent there."""

    kinematics = SMALL_STRAIN_3D

    def update(self, strain, state, dt, *, tangent=True):
        stress = np.full((len(strain), 6), 10.0)
        return Response(stress, np.zeros((len(strain), 6, 6)) if tangent else None, state.copy())


def test_plane_stress_of_an_elastic_solid_is_its_closed_form():
    law = PlaneStress(ELASTIC)
    strain = 1e-3 * np.random.default_rng(0).standard_normal((5, 3))
    answer = law.update(strain, law.initial_state(5), 1.0)
    stiffness = E / (1 - NU**2) * np.array([[1, NU, 0], [NU, 1, 0], [0, 0, 1 - NU]])
    assert answer.tangent == pytest.approx(np.tile(stiffness, (5, 1, 1)), rel=1e-12, abs=1e-7)
    assert answer.stress == pytest.approx(strain @ stiffness, rel=1e-11)
    thickness = law.state_layout.split(answer.state)["free_strain"][:, 0]
    assert thickness == pytest.approx(-NU / (1 - NU) * strain[:, :2].sum(axis=1), rel=1e-10)


def test_plane_strain_of_an_elastic_solid_is_its_closed_form():
    law = PlaneStrain(ELASTIC)
    strain = 1e-3 * np.random.default_rng(1).standard_normal((5, 3))
    answer = law.update(strain, law.initial_state(5), 1.0)
    factor = E / (1 + NU) / (1 - 2 * NU)
    stiffness = factor * np.array([[1 - NU, NU, 0], [NU, 1 - NU, 0], [0, 0, 1 - 2 * NU]])
    assert answer.stress == pytest.approx(strain @ stiffness, rel=1e-12)
    across = law.state_layout.split(answer.state)["fixed_stress"][:, 0]
    assert across == pytest.approx(NU * answer.stress[:, :2].sum(axis=1), rel=1e-11)


def test_a_bar_has_youngs_modulus_and_contracts_by_poissons_ratio():
    law = Uniaxial(ELASTIC)
    answer = law.update(np.array([[1e-3]]), law.initial_state(1), 1.0)
    assert answer.stress[0, 0] == pytest.approx(E * 1e-3, rel=1e-12)
    assert answer.tangent[0, 0, 0] == pytest.approx(E, rel=1e-12)
    assert law.state_layout.split(answer.state)["free_strain"][0, :2] == pytest.approx([-NU * 1e-3] * 2)


def test_axial_symmetry_keeps_the_hoop_and_drops_torsion():
    law = Axisymmetric(PLASTIC)
    strain = 5e-3 * np.random.default_rng(2).standard_normal((6, 4))
    full = np.zeros((6, 6))
    full[:, [0, 1, 2, 5]] = strain
    answer = law.update(strain, law.initial_state(6), 1.0)
    whole = PLASTIC.update(full, PLASTIC.initial_state(6), 1.0)
    assert answer.stress == pytest.approx(whole.stress[:, [0, 1, 2, 5]])
    assert answer.tangent == pytest.approx(whole.tangent[:, [[0], [1], [2], [5]], [0, 1, 2, 5]])


@pytest.mark.parametrize("law", [PlaneStress(PLASTIC), Uniaxial(PLASTIC)], ids=["plane stress", "uniaxial"])
def test_the_freed_components_are_free_of_stress(law):
    rng, m = np.random.default_rng(3), law.kinematics.size
    state = law.initial_state(100)
    for _ in range(5):
        strain = 8e-3 * rng.standard_normal((100, m))
        answer = law.update(strain, state, 1.0)
        parts = law.state_layout.split(answer.state)
        full = np.zeros((100, 6))
        full[:, law.kept], full[:, law.free] = strain, parts["free_strain"]
        inner = law.state_layout.size - PLASTIC.state_layout.size
        stress = PLASTIC.update(full, state[:, inner:], 1.0).stress
        assert (answer.status == PointStatus.FINE).all()
        assert np.abs(stress[:, law.free]).max() < 1e-12 * E * 0.05
        assert answer.stress == pytest.approx(stress[:, law.kept])
        state = answer.state


@pytest.mark.parametrize("reduction", REDUCTIONS)
def test_the_state_of_the_law_lies_behind_the_own_one(reduction):
    law = reduction(PLASTIC)
    assert list(law.state_layout)[-3:] == list(PLASTIC.state_layout)
    assert len(law.kept) + len(law.free) + len(law.fixed) == 6
    assert law.symmetric == PLASTIC.symmetric
    assert reduction(ELASTIC).symmetric


@pytest.mark.parametrize("reduction", REDUCTIONS)
def test_a_law_that_is_not_three_dimensional_is_refused(reduction):
    with pytest.raises(InputError, match=r"PlaneStrain has plane_strain \(m = 3, 2D\)"):
        reduction(PlaneStrain(ELASTIC))


@pytest.mark.parametrize(("option", "value"), [("tolerance", 0.0), ("tolerance", 0.1), ("iterations", 0)])
def test_an_option_out_of_range_is_named(option, value):
    with pytest.raises(InputError, match=option):
        PlaneStress(ELASTIC, **{option: value})


def test_a_refusing_law_fails_its_rows_only():
    law = PlaneStress(OutOfRangeAbove(refuses=0.01))
    answer = law.update(np.array([[1e-3, 0, 0], [0.1, 0, 0]]), law.initial_state(2), 1.0)
    assert answer.status.tolist() == [PointStatus.FINE, PointStatus.FAILED]
    assert answer.stress[0, 0] == pytest.approx(E / (1 - NU**2) * 1e-3)


@pytest.mark.parametrize("reduction", REDUCTIONS)
def test_status_and_time_factor_of_the_law_are_handed_on(reduction):
    law = reduction(OutOfRangeAbove(warns=0.01, factor=0.25))
    strain = np.zeros((2, law.kinematics.size))
    strain[:, 0] = 1e-3, 0.1
    answer = law.update(strain, law.initial_state(2), 1.0)
    assert answer.status.tolist() == [PointStatus.FINE, PointStatus.OUT_OF_RANGE]
    assert answer.dt_factor == 0.25


class Picky(Material):
    """Elasticity that stiffens with ε₃₃ and halves the step beyond ε₃₃ = 0.004; elsewhere it has no wish.

    The first Newton step of plane stress from a large ε₁₁ goes beyond, the solution does not.
    """

    kinematics = SMALL_STRAIN_3D

    def update(self, strain, state, dt, *, tangent=True):
        stiffness = LinearElastic(E=1000.0, nu=0.3).stiffness
        stress = strain @ stiffness
        stress[:, 2] += 1e8 * strain[:, 2] ** 3
        moduli = np.tile(stiffness, (len(strain), 1, 1))
        moduli[:, 2, 2] += 3e8 * strain[:, 2] ** 2
        beyond = np.abs(strain[:, 2]) > 4e-3
        status = np.where(beyond, np.int8(-1), np.int8(1))
        return Response(stress, moduli if tangent else None, state.copy(), status, 0.5 if beyond.any() else 7.0)


@pytest.mark.parametrize("others", [[], [0.0], [1e-5]])
def test_what_the_law_wanted_at_strains_that_were_only_tried_is_forgotten(others):
    law = PlaneStress(Picky(), tolerance=1e-4)  # so that the last row is found while the first is tried too far out
    strain = np.array([[value, 0.0, 0.0] for value in [0.01, *others]])
    answer = law.update(strain, law.initial_state(len(strain)), 1.0)
    assert (answer.status == PointStatus.FINE).all()
    assert (np.abs(answer.state[:, 0]) < 4e-3).all()
    assert answer.dt_factor == 7.0


def test_what_the_law_wanted_where_it_has_no_answer_is_handed_on():
    law = PlaneStress(Picky(), iterations=2)  # the second goes beyond
    answer = law.update(np.array([[0.0, 0.0, 0.0], [0.01, 0.0, 0.0]]), law.initial_state(2), 1.0)
    assert answer.status.tolist() == [PointStatus.FINE, PointStatus.FAILED]
    assert answer.dt_factor == 0.5


def test_a_row_without_a_solution_fails_instead_of_answering():
    law = PlaneStress(Stubborn())
    answer = law.update(np.zeros((3, 3)), law.initial_state(3), 1.0)
    assert (answer.status == PointStatus.FAILED).all()


def test_a_strain_that_runs_away_does_not_pass_for_a_solution():
    """Perfect plasticity cannot carry more than its yield stress, whatever the strain."""
    perfect = J2(E=E, nu=NU, yield_stress=250.0)
    _, answer = relax(
        perfect, np.zeros((2, 6)), perfect.initial_state(2), 1.0, range(6), np.diag([260.0] * 6)[:2] * 1.0
    )
    assert (answer.status == PointStatus.FAILED).all()


def test_relaxing_leaves_its_input_and_the_state_of_a_lazy_law_alone():
    class Lazy(Material):
        kinematics = UNIAXIAL

        def update(self, strain, state, dt, *, tangent=True):
            return Response(2.0 * strain, np.full((len(strain), 1, 1), 2.0), state)

    guess, state = np.ones((2, 1)), np.zeros((2, 0))
    strain, answer = relax(Lazy(), guess, state, 1.0, [0], np.array([[3.0], [5.0]]))
    assert strain[:, 0] == pytest.approx([1.5, 2.5])
    assert (guess == 1.0).all()
    assert not np.shares_memory(answer.state, state)


def test_where_the_full_newton_step_leads_away_it_is_halved():
    """From far out on the arctangent the full step overshoots to ever larger strains."""

    class Arctangent(Material):
        kinematics = UNIAXIAL

        def update(self, strain, state, dt, *, tangent=True):
            moduli = 1.0 / (1.0 + strain[:, :, None] ** 2)
            return Response(np.arctan(strain), moduli if tangent else None, state.copy())

    strain, answer = relax(
        Arctangent(), np.array([[0.5], [3.0], [-20.0]]), np.zeros((3, 0)), 1.0, [0], np.zeros((3, 1))
    )
    assert (answer.status == PointStatus.FINE).all()
    assert np.abs(strain).max() < 1e-10

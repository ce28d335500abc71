"""The general engine: exact tangents, Hill–Mandel, failures of one row, creeping up on a hard step."""

import numpy as np
import pytest

from pointlaw.materials import (
    J2,
    FinitePlaneStrain,
    LinearElastic,
    Material,
    NeoHooke,
    PlaneStrain,
    PointStatus,
    Response,
)
from pointlaw.rve.cell import GeneralEngine
from pointlaw.rve.constraint import LinearDisplacement, Mixed, Periodic, UniformTraction
from pointlaw.rve.element import VolumeElement
from pointlaw.rve.microstructure import Fibres, lattice_inclusions
from pointlaw.tensors import PLANE_STRAIN

pytestmark = pytest.mark.fem
DISC = lattice_inclusions("square", 0.3)
MATRIX, FIBRE = J2(200.0, 0.3, 0.25, H=2.0), LinearElastic(400.0, 0.2)


def composite(constraint=None, *, voxels=6, matrix=MATRIX, **options):
    phases = {"matrix": PlaneStrain(matrix), "inclusion": PlaneStrain(FIBRE)}
    return GeneralEngine(VolumeElement(DISC.mesh(voxels), phases, constraint or Periodic()), **options)


def derivative_error(engine, strain, state, step=1e-7):
    """Largest error of the tangent against central differences, relative to its largest entry."""
    answer = engine.solve(strain, state, 1.0, tangent=True)
    m = strain.shape[1]
    moved = np.repeat(strain, 2 * m, axis=0) + step * np.concatenate([np.eye(m), -np.eye(m)])
    stress = engine.solve(moved, np.repeat(state, 2 * m, axis=0), 1.0, tangent=False).stress
    numeric = (stress[:m] - stress[m:]).T / (2.0 * step)
    return np.abs(answer.tangent[0] - numeric).max() / np.abs(numeric).max(), answer


@pytest.mark.parametrize(
    "constraint", [Periodic(), LinearDisplacement(), UniformTraction(), Mixed("periodic", "linear")]
)
def test_the_tangent_is_the_derivative_while_the_matrix_flows(constraint):
    engine = composite(constraint, tolerance=1e-10)
    strain = np.array([[2e-3, -5e-4, 1e-3]])
    first = engine.solve(strain, engine.initial_state(1), 1.0, tangent=True)
    error, answer = derivative_error(engine, 2.0 * strain, first.state)
    assert answer.reports[0].iterations >= 2  # it does flow
    assert error < 1e-6


def test_the_tangent_is_the_derivative_at_finite_strain():
    phases = {"matrix": FinitePlaneStrain(NeoHooke(1.0, 5.0)), "inclusion": FinitePlaneStrain(NeoHooke(10.0, 50.0))}
    engine = GeneralEngine(VolumeElement(DISC.mesh(6), phases, Periodic()), tolerance=1e-11)
    error, _ = derivative_error(engine, np.array([[1.3, 0.2, 0.0, 0.9]]), engine.initial_state(1), step=1e-6)
    assert error < 1e-6


def test_the_tangent_is_the_derivative_in_3d_with_multigrid():
    fibres = Fibres(DISC, 0.5)
    element = VolumeElement(fibres.mesh((4, 4, 2)), {1: MATRIX, 2: FIBRE}, Periodic())
    strain = np.array([[1e-3, 0.0, 5e-4, 2e-3, 0.0, 1e-3]])
    direct = GeneralEngine(element, tolerance=1e-10, solver="direct")
    error, answer = derivative_error(direct, strain, direct.initial_state(1))
    assert error < 1e-6
    iterative = GeneralEngine(element, tolerance=1e-10, solver="iterative")
    other = iterative.solve(strain, iterative.initial_state(1), 1.0, tangent=True)
    np.testing.assert_allclose(other.stress, answer.stress, rtol=1e-9, atol=1e-12)
    np.testing.assert_allclose(other.tangent, answer.tangent, atol=1e-7 * np.abs(answer.tangent).max())


def test_every_step_of_a_cycle_obeys_hill_and_mandel():
    engine = composite()
    state, worst = engine.initial_state(1), 0.0
    for amount in np.concatenate([np.linspace(0, 4e-3, 5)[1:], np.linspace(4e-3, -4e-3, 7)[1:]]):
        answer = engine.solve(amount * np.array([[1.0, -0.3, 0.5]]), state, 1.0, tangent=False)
        assert not answer.reports[0].reason
        state, worst = answer.state, max(worst, answer.reports[0].hill_mandel)
    assert worst < 1e-8


def test_the_answer_depends_on_the_arguments_alone():
    engine, strain = composite(), np.array([[3e-3, 0.0, 1e-3]])
    state = engine.initial_state(1)
    first = engine.solve(strain, state, 1.0, tangent=True)
    engine.solve(-2.0 * strain, first.state, 1.0, tangent=True)
    again = engine.solve(strain, state, 1.0, tangent=True)
    assert np.array_equal(first.stress, again.stress)
    assert np.array_equal(first.tangent, again.tangent)
    assert not state[:, engine.state_layout["fluctuation"]].any()


class Brittle(Material):
    """Hooke's law that refuses strains beyond a limit."""

    def __init__(self, law, limit):
        self.law, self.limit, self.kinematics, self.symmetric = law, limit, law.kinematics, True
        self.state_layout = law.state_layout

    def update(self, strain, state, dt, *, tangent=True):
        answer = self.law.update(strain, state, dt, tangent=tangent)
        broken = np.linalg.norm(strain, axis=1) > self.limit
        status = np.where(broken, PointStatus.FAILED, PointStatus.FINE).astype(np.int8)
        return Response(answer.stress, answer.tangent, answer.state, status)


def test_a_failed_point_fails_its_row_only():
    phases = {"matrix": Brittle(PlaneStrain(FIBRE), 5e-3), "inclusion": PlaneStrain(FIBRE)}
    engine = GeneralEngine(VolumeElement(DISC.mesh(4), phases, Periodic()))
    strain = np.array([[1e-3, 0.0, 0.0], [1e-2, 0.0, 0.0], [np.nan, 0.0, 0.0], [2e-3, 0.0, 0.0]])
    state = engine.initial_state(4)
    answer = engine.solve(strain, state, 1.0, tangent=True)
    assert answer.status.tolist() == [1, -1, -1, 1]
    assert np.isnan(answer.stress[1:3]).all()
    assert np.array_equal(answer.state[1], state[1])
    assert "the law fails" in answer.reports[1].reason
    assert "not finite" in answer.reports[2].reason
    np.testing.assert_allclose(2.0 * answer.stress[0], answer.stress[3], rtol=1e-12)


def test_a_step_that_needs_too_many_iterations_is_crept_up_on():
    phases = {"matrix": FinitePlaneStrain(NeoHooke(1.0, 5.0)), "inclusion": FinitePlaneStrain(NeoHooke(50.0, 250.0))}
    element = VolumeElement(DISC.mesh(6), phases, Periodic())
    target, state = np.array([[0.45, 0.0, 0.0, 0.6]]), element.initial_state(1)

    def answer(**limits):
        return GeneralEngine(element, tolerance=1e-10, **limits).solve(target, state, 1.0, tangent=True)

    assert answer(iterations=6, max_cuts=0).status[0] == PointStatus.FAILED
    crept, patient = answer(iterations=6, max_cuts=3), answer(iterations=40, max_cuts=0)
    assert crept.status[0] == patient.status[0] == PointStatus.FINE
    np.testing.assert_allclose(crept.stress, patient.stress, rtol=1e-9, atol=1e-9)
    np.testing.assert_allclose(crept.tangent, patient.tangent, rtol=1e-7, atol=1e-6)


def test_creeping_does_not_change_the_plastic_answer():
    # The answer is one backward step whatever the detour: the history of the detour leaves no plastic strain behind.
    strain = np.array([[6e-3, -2e-3, 4e-3]])
    crept = composite(iterations=3, tolerance=1e-10)
    at_once = composite(tolerance=1e-10)
    state = at_once.initial_state(1)
    assert composite(iterations=3, tolerance=1e-10, max_cuts=0).solve(strain, state, 1.0, tangent=False).status[0] < 0
    one, two = (engine.solve(strain, state, 1.0, tangent=False) for engine in (crept, at_once))
    assert one.status[0] == PointStatus.FINE
    np.testing.assert_allclose(one.state, two.state, atol=1e-9 * np.abs(two.state).max())


class Lopsided(Material):
    """A linear law with a tangent that is not symmetric."""

    kinematics = PLANE_STRAIN

    def __init__(self, E):
        self.C = E * np.array([[1.3, 0.9, 0.2], [0.1, 1.1, 0.6], [-0.3, 0.4, 0.8]])

    def update(self, strain, state, dt, *, tangent=True):
        moduli = np.tile(self.C, (len(strain), 1, 1)) if tangent else None
        return Response(strain @ self.C.T, moduli, state.copy())


@pytest.mark.parametrize("stiffening", [1.0, 1.25, 1.29, 1.5, 3.0])
def test_a_tangent_with_the_factor_of_another_stiffness_is_as_exact_as_one_with_its_own(stiffening):
    """Its error shrinks by |1 − stiffening| with each refinement: 1.29 leaves too much after as many as it gets."""
    engine = GeneralEngine(VolumeElement(DISC.mesh(6), {1: Lopsided(1.0), 2: Lopsided(4.0)}, Periodic()))
    exact = engine.solve(np.zeros((1, 3)), engine.initial_state(1), 1.0, tangent=True).tangent[0]
    stiffness = engine.stiffness
    stiffness.factorise()
    _, moduli = engine.fields.arrays()
    moduli *= stiffening
    stiffness.assemble()
    found = stiffness.tangent(usable=True)
    np.testing.assert_allclose(found, stiffening * exact, atol=1e-8 * exact.max())


def test_a_tangent_that_the_linear_solver_does_not_reach_is_reported(caplog):
    engine = composite(solver="iterative")
    strain, state = np.array([[1e-4, 0.0, 1e-4]]), engine.initial_state(1)
    engine.solve(strain, state, 1.0, tangent=True)
    assert not caplog.text
    engine.stiffness.ksp.setTolerances(rtol=0.9)
    engine.stiffness.tangent(usable=True)
    assert "The tangent of the Inclusions of 6×6 voxels is exact to about" in caplog.text

"""One Newton solve: the law is asked no more than needed, and nothing singular passes for a solution."""

import numpy as np
import pytest
from fem_bodies import ELASTIC_2D, ELASTIC_3D, PLASTIC_2D, Spy, cube, mesh_of, square

from pointlaw.errors import SetupError
from pointlaw.fem import BodyForce, Displacement, MechanicsProblem, TaggedMesh, Traction, march

pytestmark = pytest.mark.fem

HOLD = (Displacement("left", x=0.0), Displacement("bottom", y=0.0))
PULL = Displacement("right", x=lambda t: 0.01 * t)


def test_an_elastic_step_takes_one_iteration_and_two_evaluations():
    spy = Spy(ELASTIC_2D)
    report = MechanicsProblem(square(2), spy, supports=[*HOLD, PULL]).solve(1.0, 1.0)
    assert report.converged
    assert report.iterations == 1
    assert spy.calls == spy.with_tangent == report.evaluations == 2


def test_further_trials_of_a_line_search_ask_for_the_stress_alone():
    class Lying(Spy):
        """A law whose tangent is far too soft, so that full Newton steps overshoot."""

        def update(self, strain, state, dt, *, tangent=True):
            answer = super().update(strain, state, dt, tangent=tangent)
            if tangent:
                answer.tangent *= 0.3
            return answer

    spy = Lying(ELASTIC_2D)
    problem = MechanicsProblem(square(2), spy, supports=HOLD, loads=[Traction("right", (1.0, 0.0))])
    report = problem.solve(1.0, 1.0)
    assert report.converged
    without = spy.calls - spy.with_tangent
    assert without >= 2  # full steps diverge here, so the line search did have to work
    # The full steps of the first attempt keep their tangents; the search asks for one a Jacobian.
    assert spy.with_tangent <= report.iterations + 3


def test_the_jacobian_always_has_the_tangent_of_its_iterate():
    # If it did not, a plastic step would not converge quadratically after line search cuts.
    problem = MechanicsProblem(square(4), PLASTIC_2D, supports=[Displacement("left", x=0.0, y=0.0), PULL])
    report = problem.solve(1.0, 1.0)
    assert report.converged
    tail = np.array(report.norms[-3:])
    assert tail[2] / tail[1] < (tail[1] / tail[0]) ** 0.9


def test_norms_begin_with_the_first_residual_and_end_below_the_tolerance():
    problem = MechanicsProblem(square(2), PLASTIC_2D, supports=[*HOLD, PULL], rtol=1e-10)
    report = problem.solve(1.0, 1.0)
    assert len(report.norms) == report.iterations + 1
    assert report.norms[-1] <= 1e-10 * np.linalg.norm(problem.reaction("right")) * 2


def test_a_step_without_any_load_converges_at_once():
    report = MechanicsProblem(square(2), PLASTIC_2D, supports=[*HOLD, PULL]).solve(1e-30, 1.0)
    assert report.converged
    still = MechanicsProblem(square(2), PLASTIC_2D, supports=HOLD).solve(1.0, 1.0)
    assert still.converged
    assert still.iterations == 0


def test_unloading_to_zero_force_converges_though_the_forces_vanish():
    loads = [Traction("right", (lambda t: 2.0 * t if t <= 1 else 2.0 * (2 - t), 0.0))]
    problem = MechanicsProblem(square(2), PLASTIC_2D, supports=HOLD, loads=loads)
    solution = march(problem, [0.5, 1.0, 1.5, 2.0])
    assert solution.stats.cuts == 0
    assert np.abs(problem.reaction("left")).max() < 1e-7


def test_too_many_iterations_are_reported_by_petscs_name():
    options = {"snes_max_it": 1}
    report = MechanicsProblem(square(2), PLASTIC_2D, supports=[*HOLD, PULL], petsc_options=options).solve(1.0, 1.0)
    assert not report.converged
    assert report.reason == "DIVERGED_MAX_IT"


def test_a_failed_point_is_reported_as_such_and_no_nan_stays_behind():
    spy = Spy(PLASTIC_2D)
    problem = MechanicsProblem(square(2), spy, supports=[*HOLD, PULL])
    march(problem, [0.2])
    spy.fail = lambda strain, call: np.arange(len(strain)) == 5
    report = problem.solve(1.0, 0.8)
    assert (report.converged, report.reason, report.failed_points) == (False, "MATERIAL_FAILED", 1)
    problem.reject()
    spy.fail = None
    assert np.all(np.isfinite(problem.fields.stress.x.array))
    assert problem.solve(1.0, 0.8).converged


def test_a_law_that_answers_infinite_stress_without_saying_so_fails_the_step():
    class Silent(Spy):
        def update(self, strain, state, dt, *, tangent=True):
            from pointlaw.materials import Response

            answer = super().update(strain, state, dt, tangent=tangent)
            answer.stress[0, 0] = np.inf
            return Response(answer.stress, answer.tangent, answer.state)

    report = MechanicsProblem(square(2), Silent(ELASTIC_2D), supports=[*HOLD, PULL]).solve(1.0, 1.0)
    assert report.reason == "MATERIAL_FAILED"


# Singular systems ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("supports", "missing"),
    [
        ((), r"3 rigid motion\(s\) .*a shift in x, a shift in y, a rotation in the plane"),
        ((Displacement("left", x=0.0),), r"1 rigid motion.*a shift in y"),
        ((Displacement("left", y=0.0),), r"2 rigid motion.*a shift in x.*a rotation"),
        ((Displacement(lambda x: np.isclose(x[0] + x[1], 0.0), x=0.0, y=0.0),), r"1 rigid motion.*rotation"),
    ],
)
def test_a_body_that_can_move_freely_is_refused_before_the_first_step(supports, missing):
    with pytest.raises(SetupError, match=missing):
        MechanicsProblem(square(2), ELASTIC_2D, supports=supports, loads=[Traction("right", (1.0, 0.0))])


def test_a_solid_that_can_still_spin_is_refused():
    hinge = [Displacement(lambda x: np.isclose(x[0], 0.0) & np.isclose(x[1], 0.0), x=0.0, y=0.0, z=0.0)]
    with pytest.raises(SetupError, match=r"1 rigid motion.*a rotation about z"):
        MechanicsProblem(cube(2), ELASTIC_3D, supports=hinge)


def test_enough_supports_on_a_minimal_set_of_nodes_are_accepted():
    def corner(x):
        return np.isclose(x[0] + x[1], 0.0)

    def other(x):
        return np.isclose(x[0], 1.0) & np.isclose(x[1], 0.0)

    supports = [Displacement(corner, x=0.0, y=0.0), Displacement(other, y=0.0)]
    assert MechanicsProblem(square(2), ELASTIC_2D, supports=supports).solve(1.0, 1.0).converged


def two_squares():
    """Two unit squares side by side that do not touch; "left" is a side of the first one."""
    points = [[0, 0], [1, 0], [0, 1], [1, 1], [2, 0], [3, 0], [2, 1], [3, 1]]
    mesh = mesh_of([[0, 1, 2, 3], [4, 5, 6, 7]], points, "quadrilateral")
    return TaggedMesh(mesh)


def left(x):
    return np.isclose(x[0], 0.0)


@pytest.mark.parametrize("load", [(0.0, 0.0), (1.0, 0.0)])
def test_a_second_body_that_floats_is_never_given_a_result(load):
    # The check of the whole body finds its rigid motions prevented; the direct solver meets the singular matrix.
    loads = [BodyForce(load)]
    supports = [Displacement(left, x=0.0, y=0.0), Displacement(lambda x: np.isclose(x[0], 1.0), x=0.001)]
    try:
        problem = MechanicsProblem(two_squares(), ELASTIC_2D, supports=supports, loads=loads, solver="direct")
    except SetupError:
        return  # found before the first step: better still
    report = problem.solve(1.0, 1.0)
    assert not report.converged
    assert "SINGULAR" in report.reason or "DIVERGED" in report.reason


def test_a_floating_body_is_not_solved_by_the_iterative_solver_either():
    supports = [Displacement(left, x=0.0, y=0.0)]
    loads = [BodyForce((1.0, 0.0))]
    try:
        problem = MechanicsProblem(two_squares(), ELASTIC_2D, supports=supports, loads=loads, solver="iterative")
    except SetupError:
        return
    assert not problem.solve(1.0, 1.0).converged

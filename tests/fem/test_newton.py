"""One Newton solve: the law is asked no more than needed, and nothing singular passes for a solution."""

import numpy as np
import pytest
from fem_bodies import ELASTIC_2D, ELASTIC_3D, PLASTIC_2D, Spy, cube, mesh_of, square

from pointlaw.errors import SetupError
from pointlaw.fem import BodyForce, Displacement, MechanicsProblem, Point, TaggedMesh, Traction, march
from pointlaw.materials import J2, FinitePlaneStrain, LinearElastic, NeoHooke, PlaneStrain

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


# Convergence in any system of units -----------------------------------------------------------------------------------

STEEL = LinearElastic(E=210e9, nu=0.3)  # Pa


def scaled(body, length):
    """Return the unit body at another size; it keeps the names of its sides."""
    body.mesh.geometry.x[:] *= length
    return body


@pytest.mark.parametrize("length", [1e-6, 1e-7])
def test_a_line_search_ends_in_equilibrium_at_any_size(length):
    # PETSc's search 'cp' takes a work of 1e-15 for the end, in whatever unit.
    def mean_stress(size):
        law = J2(E=1e3, nu=0.3, yield_stress=2.0, H=20.0)
        supports = [Displacement("left", x=0, y=0, z=0), Displacement("right", x=0.01 * size)]
        options = {"snes_linesearch_type": "cp"}
        problem = MechanicsProblem(scaled(cube(2), size), law, supports=supports, petsc_options=options)
        report = problem.solve(1.0, 1.0)
        assert report.converged
        assert report.norms[-1] <= 1e-8 * np.linalg.norm(problem.reaction("right")) * 2
        return problem.reaction("right")[0] / size**2

    assert mean_stress(length) == pytest.approx(mean_stress(1.0), rel=1e-7)


def test_an_end_that_petsc_calls_converged_without_equilibrium_is_none():
    options = {"snes_linesearch_type": "cp", "snes_linesearch_atol": 1e3}
    report = MechanicsProblem(square(2), PLASTIC_2D, supports=[*HOLD, PULL], petsc_options=options).solve(1.0, 1.0)
    assert not report.converged
    assert report.reason == "NO_EQUILIBRIUM (CONVERGED_FNORM_ABS)"


@pytest.mark.parametrize("length", [1e-5, 1e-7])
def test_a_small_soft_body_bends_as_a_large_one_does(length):
    def deflection(size):
        problem = MechanicsProblem(
            scaled(cube(2), size),
            NeoHooke(mu=300.0, K=10e3),  # Pa
            supports=[Displacement("left", x=0, y=0, z=0)],
            loads=[Traction("right", (0.0, 50.0, 0.0))],
        )
        report = problem.solve(1.0, 1.0)
        assert report.converged
        return problem.u.x.array.max() / size, report.iterations

    (small, iterations), (large, as_many) = deflection(length), deflection(1.0)
    assert small == pytest.approx(large, rel=1e-9)
    assert small > 0.1
    assert iterations == as_many > 3


@pytest.mark.parametrize("unit", [1.0, 1e-6, 1e-12], ids=["Pa", "MPa", "TPa"])
@pytest.mark.parametrize("kind", ["plane", "degree 2", "solid", "mixed", "finite"])
def test_a_rigid_shift_is_solved_at_once_in_any_unit(kind, unit):
    steel = LinearElastic(E=210e9 * unit, nu=0.49 if kind == "mixed" else 0.3)
    rubber = NeoHooke(mu=80e9 * unit, K=160e9 * unit)
    law = {"solid": steel, "finite": FinitePlaneStrain(rubber)}.get(kind, PlaneStrain(steel))
    body = cube(4) if kind == "solid" else square(8)
    shift = {"x": 0.03, "y": -0.017} | ({"z": 1.0} if kind == "solid" else {})
    supports = [Displacement(side, **shift) for side in ("left", "right")]
    options = {"degree 2": {"degree": 2}, "mixed": {"formulation": "mixed"}}.get(kind, {})
    problem = MechanicsProblem(body, law, supports=supports, **options)
    report = problem.solve(1.0, 1.0)
    assert report.converged
    assert report.iterations <= (2 if kind == "mixed" else 1)
    dim = body.mesh.geometry.dim
    np.testing.assert_allclose(
        problem.u.x.array.reshape(-1, dim), [list(shift.values())] * (len(problem.u.x.array) // dim)
    )


def test_balanced_loads_without_any_reaction_can_be_held():
    supports = [Displacement(Point(0.0, 0.0), x=0.0, y=0.0), Displacement(Point(1.0, 0.0), y=0.0)]
    pull = 1e8  # Pa
    loads = [
        Traction(side, (lambda t, s=sign: s * pull * min(t, 1.0), 0.0)) for side, sign in (("right", 1), ("left", -1))
    ]
    problem = MechanicsProblem(square(8), PlaneStrain(STEEL), supports=supports, loads=loads)
    solution = march(problem, [1.0, 2.0, 3.0])
    assert [report.iterations for report in solution.reports] == [1, 0, 0]
    stretch = pull * (1 - 0.3**2) / 210e9
    np.testing.assert_allclose(problem.u.x.array.max(), stretch, rtol=1e-9)


@pytest.mark.parametrize("law", [STEEL, NeoHooke(mu=80e9, K=160e9)], ids=["small strain", "finite strain"])
def test_a_law_whose_stress_at_rest_is_round_off_stays_at_rest(law):
    class Rounded(Spy):
        def update(self, strain, state, dt, *, tangent=True):
            answer = super().update(strain, state, dt, tangent=tangent)
            answer.stress += 1e-16 * 2e11 * np.random.default_rng(0).normal(size=answer.stress.shape)
            return answer

    problem = MechanicsProblem(cube(3), Rounded(law), supports=[Displacement("left", x=0, y=0, z=0)])
    solution = march(problem, [1.0, 2.0])
    assert solution.stats.iterations <= 4
    assert np.abs(problem.u.x.array).max() < 1e-14


@pytest.mark.parametrize("load", [1e4, 1.0])
def test_a_load_that_finite_strain_can_hardly_resolve_is_solved_as_far_as_it_can(load):
    # The law is given 1 + ∇u, and ∇u is 5e-12 · load here: of 16 digits 5 are left for the lightest load.
    K, G = 160e9, 80e9
    supports, loads = [Displacement("left", x=0, y=0, z=0)], [Traction("right", (0.0, load, 0.0))]
    small = MechanicsProblem(
        cube(2),
        LinearElastic(E=9 * K * G / (3 * K + G), nu=(3 * K - 2 * G) / (6 * K + 2 * G)),
        supports=supports,
        loads=loads,
    )
    finite = MechanicsProblem(cube(2), NeoHooke(mu=G, K=K), supports=supports, loads=loads)
    assert small.solve(1.0, 1.0).converged
    report = finite.solve(1.0, 1.0)
    assert report.converged
    assert report.iterations <= 3
    np.testing.assert_allclose(finite.u.x.array, small.u.x.array, atol=1e-4 * small.u.x.array.max())


def test_a_boundary_that_moves_is_moved_though_its_length_is_a_small_number_among_forces():
    # All nodes are prescribed: the residual of a step is that length alone.
    pull = Displacement(lambda x: x[0] < 2.0, x=lambda x, t: 1e-3 * t * x[0], y=0.0)
    problem = MechanicsProblem(square(1), PlaneStrain(STEEL), supports=[pull])
    march(problem, [1.0, 2.0, 3.0])
    assert problem.u.x.array.max() == pytest.approx(3e-3)
    assert problem.reaction("right")[0] == pytest.approx(3e-3 * 210e9 * 0.7 / (1.3 * 0.4), rel=1e-9)


def test_a_tolerance_of_ones_own_replaces_that_of_round_off():
    def solved(atol):
        supports = [Displacement(side, x=0.03, y=-0.017) for side in ("left", "right")]
        return MechanicsProblem(square(4), PlaneStrain(STEEL), supports=supports, atol=atol).solve(1.0, 1.0)

    assert solved(1.0).iterations == 1
    assert solved(0.0).iterations > 1


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

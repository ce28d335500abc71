"""Linear solvers by size and symmetry."""

import numpy as np
import pytest
from fem_bodies import ELASTIC_2D, ELASTIC_3D, Spy, cube, square

from pointlaw.errors import InputError
from pointlaw.fem import Displacement, MechanicsProblem, Traction, march
from pointlaw.fem.linear import DIRECT_LIMIT, linear_options
from pointlaw.materials import J2

pytestmark = pytest.mark.fem


def test_small_problems_are_solved_directly_and_large_ones_iteratively():
    for dim in (2, 3):
        assert linear_options(DIRECT_LIMIT[dim], dim, True)["pc_type"] == "lu"
        assert linear_options(DIRECT_LIMIT[dim] + 1, dim, True)["pc_type"] == "gamg"


def test_symmetric_tangents_use_cg_and_others_gmres():
    assert linear_options(1, 3, True, "iterative")["ksp_type"] == "cg"
    assert linear_options(1, 3, False, "iterative")["ksp_type"] == "gmres"


def test_a_user_may_override_single_options():
    options = linear_options(1, 3, True, "iterative", {"ksp_rtol": 1e-3})
    assert options["ksp_rtol"] == 1e-3
    assert options["pc_type"] == "gamg"


def test_another_preconditioner_gets_none_of_our_settings():
    assert linear_options(1, 3, True, "direct", {"pc_type": "jacobi"}) == {"pc_type": "jacobi"}


def test_an_unknown_solver_is_refused():
    with pytest.raises(InputError, match="solver = 'fast' must be 'auto', 'direct' or 'iterative'"):
        MechanicsProblem(square(1), ELASTIC_2D, supports=[Displacement("left", x=0, y=0)], solver="fast")


CLAMP = (Displacement("left", x=0.0, y=0.0, z=0.0),)
BEND = (Traction("right", (0.0, -1.0, 0.5)),)


@pytest.mark.parametrize("symmetric", [True, False])
def test_direct_and_iterative_solvers_agree(symmetric):
    law = Spy(ELASTIC_3D)
    law.symmetric = symmetric
    solutions = []
    for solver in ("direct", "iterative"):
        problem = MechanicsProblem(cube(4), law, supports=CLAMP, loads=BEND, solver=solver)
        march(problem, [1.0])
        solutions.append(problem.u.x.array.copy())
    np.testing.assert_allclose(solutions[1], solutions[0], atol=1e-6 * np.abs(solutions[0]).max())


def test_multigrid_knows_the_rigid_motions():
    problem = MechanicsProblem(cube(2), ELASTIC_3D, supports=CLAMP, solver="iterative")
    space = problem.newton._problem.A.getNearNullSpace()
    assert len(space.getVecs()) == 6


def test_iterations_of_multigrid_hardly_grow_with_the_mesh():
    counts = []
    for n in (4, 8, 12):
        problem = MechanicsProblem(cube(n), ELASTIC_3D, supports=CLAMP, loads=BEND, solver="iterative")
        counts.append(march(problem, [1.0]).stats.linear_iterations)
    assert counts[-1] <= 1.6 * counts[0] + 2
    assert counts[-1] < 40


def test_a_plastic_run_with_multigrid_ends_where_the_direct_one_ends():
    ends = []
    for solver in ("direct", "iterative"):
        law = J2(E=1000.0, nu=0.3, yield_stress=2.0, H=20.0)
        supports = [*CLAMP, Displacement("right", x=lambda t: 0.01 * t)]
        problem = MechanicsProblem(cube(3), law, supports=supports, solver=solver)
        march(problem, [0.5, 1.0])
        ends.append((problem.u.x.array.copy(), problem.reaction("right")))
    np.testing.assert_allclose(ends[1][0], ends[0][0], atol=1e-8)
    np.testing.assert_allclose(ends[1][1], ends[0][1], rtol=1e-6, atol=1e-6)

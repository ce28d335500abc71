"""FE² on several ranks: each solves the volume elements of its own points, and all of them cut together."""

from pointlaw.fem.mpi import MPI  # isort: skip

import dolfinx
import numpy as np
import pytest

from pointlaw.errors import NotConverged
from pointlaw.fem import Displacement, MechanicsProblem, Region, StepController, march
from pointlaw.laws import Guarded
from pointlaw.materials import J2, LinearElastic, Material, PlaneStrain, PointStatus, Response
from pointlaw.rve import Balanced, RVEMaterial, lattice_inclusions

pytestmark = pytest.mark.fem
DISC = lattice_inclusions("square", 0.3)
MATRIX, STIFF = PlaneStrain(J2(200.0, 0.3, 0.25, H=2.0)), PlaneStrain(LinearElastic(400.0, 0.2))


def pulled_strip(law, comm, *, controller=None):
    quadrilateral = dolfinx.mesh.CellType.quadrilateral
    mesh = dolfinx.mesh.create_rectangle(comm, [[0.0, 0.0], [3.0, 1.0]], [3, 1], cell_type=quadrilateral)
    right = lambda x: np.isclose(x[0], 3.0)  # noqa: E731
    supports = [
        Displacement(lambda x: np.isclose(x[0], 0.0), x=0.0, y=0.0),
        Displacement(right, x=lambda t: 0.015 * t, y=lambda t: 0.005 * t),
    ]
    problem = MechanicsProblem(mesh, law, supports=supports, rtol=1e-10)
    solution = march(problem, [0.5, 1.0], controller)
    return problem.reaction(right), solution


@pytest.mark.mpi(ranks=2)
def test_the_reaction_does_not_depend_on_the_number_of_ranks(ranks):
    law = RVEMaterial(DISC.mesh(3), {1: MATRIX, 2: STIFF}, tolerance=1e-11)
    spread, one = pulled_strip(law, MPI.COMM_WORLD)
    alone, two = pulled_strip(law, MPI.COMM_SELF)
    np.testing.assert_allclose(spread, alone, rtol=1e-9)
    assert [r.iterations for r in one.reports] == [r.iterations for r in two.reports]


class FailsOnceOnRankOne(Material):
    """A law that fails in its third call, on rank 1 alone."""

    def __init__(self, law):
        self.law, self.kinematics, self.state_layout, self.calls = law, law.kinematics, law.state_layout, 0

    def initial_state(self, points):
        return self.law.initial_state(points)

    def update(self, strain, state, dt, *, tangent=True):
        self.calls += 1
        answer = self.law.update(strain, state, dt, tangent=tangent)
        if MPI.COMM_WORLD.rank != 1 or self.calls != 3:
            return answer
        failed = np.full(len(strain), PointStatus.FAILED, dtype=np.int8)
        return Response(answer.stress, answer.tangent, answer.state, failed)


@pytest.mark.mpi(ranks=2)
def test_a_cell_that_fails_on_one_rank_cuts_the_step_on_all(ranks):
    law = FailsOnceOnRankOne(RVEMaterial(DISC.mesh(2), MATRIX))
    _, solution = pulled_strip(law, MPI.COMM_WORLD, controller=StepController())
    assert solution.finished
    assert MPI.COMM_WORLD.allgather(solution.stats.cuts) == [1, 1]


def half_hot(comm, law):
    """A block that is pulled hard at its left end and whose rest hangs loose: one rank owns all plastic cells."""
    quadrilateral = dolfinx.mesh.CellType.quadrilateral
    mesh = dolfinx.mesh.create_rectangle(comm, [[0.0, 0.0], [6.0, 1.0]], [6, 2], cell_type=quadrilateral)
    supports = [
        Displacement(lambda x: np.isclose(x[0], 0.0), x=0.0, y=0.0),
        Displacement(lambda x: np.isclose(x[0], 2.0), x=lambda t: 0.02 * t, y=lambda t: 0.01 * t),
    ]
    problem = MechanicsProblem(mesh, law, supports=supports, rtol=1e-10)
    return problem, march(problem, [0.5, 1.0])


@pytest.mark.mpi(ranks=(2, 3))
def test_dealt_points_give_the_same_answer_and_the_expensive_ones_are_shared(ranks):
    law = RVEMaterial(DISC.mesh(3), {1: MATRIX, 2: STIFF}, tolerance=1e-11)
    alone, one = half_hot(MPI.COMM_SELF, law)
    balanced = Balanced(law)
    together, many = half_hot(MPI.COMM_WORLD, balanced)
    held = lambda x: np.isclose(x[0], 0.0)  # noqa: E731
    np.testing.assert_allclose(together.reaction(held), alone.reaction(held), rtol=1e-9)
    assert [r.iterations for r in many.reports] == [r.iterations for r in one.reports]
    world = MPI.COMM_WORLD
    owned = together.body.mesh.topology.index_map(2).size_local * 4
    assert sum(world.allgather(balanced.answered)) == sum(world.allgather(owned)) == 48
    assert sum(world.allgather(balanced.moved)) > 0
    assert min(world.allgather(balanced.answered)) > 0


@pytest.mark.mpi(ranks=(2, 3))
def test_a_rank_without_points_answers_those_of_others_to_the_last_digit(ranks):
    world, law = MPI.COMM_WORLD, RVEMaterial(DISC.mesh(3), {1: MATRIX, 2: STIFF})
    balanced = Balanced(law)
    n = 11 if world.rank == 0 else 0
    strain = 0.004 * np.random.default_rng(1).normal(size=(11, 3))[:n]
    state = law.initial_state(n)
    for tangent in (True, False):
        wanted = law.update(strain, state, 1.0, tangent=tangent)
        found = balanced.update(strain, state, 1.0, tangent=tangent)
        np.testing.assert_array_equal(found.stress, wanted.stress)
        np.testing.assert_array_equal(found.state, wanted.state)
        np.testing.assert_array_equal(found.status, wanted.status)
        assert (found.tangent is None) is not tangent
        if tangent:
            np.testing.assert_array_equal(found.tangent, wanted.tangent)
        state = wanted.state
    assert balanced.answered > 0
    assert balanced.moved == max(0, n - balanced.answered)


class Breaks(FailsOnceOnRankOne):
    """A law whose code is broken on rank 1."""

    def update(self, strain, state, dt, *, tangent=True):
        if MPI.COMM_WORLD.rank == 1:
            raise ZeroDivisionError("a bug")
        return self.law.update(strain, state, dt, tangent=tangent)


@pytest.mark.mpi(ranks=2)
def test_an_exception_of_a_dealt_law_on_one_rank_is_raised_on_all(ranks):
    balanced = Balanced(Breaks(MATRIX))
    n = 6 if MPI.COMM_WORLD.rank == 0 else 0
    with pytest.raises(ZeroDivisionError, match=r"a bug \(rank 1 of 2\)") as caught:
        balanced.update(np.zeros((n, 3)), balanced.initial_state(n), 1.0)
    assert caught.value.collective


@pytest.mark.mpi(ranks=2)
def test_a_point_that_fails_away_from_home_fails_at_home(ranks):
    world = MPI.COMM_WORLD
    balanced = Balanced(RVEMaterial(DISC.mesh(2), MATRIX))
    n = 4 if world.rank == 0 else 0
    strain = np.zeros((n, 3))
    strain[1:3] = np.nan
    answer = balanced.update(strain, balanced.initial_state(n), 1.0)
    failed = np.flatnonzero(answer.status == PointStatus.FAILED)
    assert failed.tolist() == ([1, 2] if n else [])
    assert balanced.answered == 2


@pytest.mark.mpi(ranks=2)
def test_a_dealt_region_that_lives_on_one_rank_is_evaluated_by_both(ranks):
    quadrilateral = dolfinx.mesh.CellType.quadrilateral
    mesh = dolfinx.mesh.create_rectangle(MPI.COMM_WORLD, [[0.0, 0.0], [2.0, 1.0]], [2, 2], cell_type=quadrilateral)
    u = dolfinx.fem.Function(dolfinx.fem.functionspace(mesh, ("Lagrange", 1, (2,))))
    u.interpolate(lambda x: np.stack([0.004 * x[0], -0.002 * x[1]]))
    owned = mesh.topology.index_map(2).size_local
    cells = np.arange(owned if MPI.COMM_WORLD.rank == 0 else 0, dtype=np.int32)
    law = RVEMaterial(DISC.mesh(3), {1: MATRIX, 2: STIFF})
    balanced = Balanced(law)
    dealt, plain = (Region(each, u, cells=cells) for each in (balanced, law))
    assert [dealt.evaluate(1.0), dealt.evaluate(1.0)] == [plain.evaluate(1.0)] * 2
    np.testing.assert_array_equal(dealt.stress.x.array, plain.stress.x.array)
    assert balanced.answered > 0


def long_strain(limit):
    """A grade that is 1 where the norm of the strain is ``limit``."""
    return lambda strain, increment, state: np.linalg.norm(strain, axis=1) / limit


@pytest.mark.mpi(ranks=2)
def test_a_dealt_guard_shares_its_fallback_though_all_points_that_fall_are_on_one_rank(ranks):
    rve = RVEMaterial(DISC.mesh(3), {1: MATRIX, 2: STIFF}, tolerance=1e-11)
    guarded = Guarded(MATRIX, policy="fall back", fallback=rve, grade=long_strain(0.003))
    alone, _ = half_hot(MPI.COMM_SELF, guarded)
    together, _ = half_hot(MPI.COMM_WORLD, Balanced(guarded))
    held = lambda x: np.isclose(x[0], 0.0)  # noqa: E731
    np.testing.assert_allclose(together.reaction(held), alone.reaction(held), rtol=1e-9)
    fallen = guarded.fallen(together.regions["body"].history.committed)
    assert min(MPI.COMM_WORLD.allgather(int(fallen.sum()))) == 0 < MPI.COMM_WORLD.allreduce(int(fallen.sum()))


@pytest.mark.mpi(ranks=2)
def test_a_dealt_guard_that_refuses_points_says_why_on_all_ranks(ranks):
    guarded = Balanced(Guarded(MATRIX, policy="strict", grade=long_strain(0.002)))
    with pytest.raises(NotConverged) as caught:
        pulled_strip(guarded, MPI.COMM_WORLD, controller=StepController(max_cuts=1))
    assert "is outside what it was trained for at" in str(caught.value)
    assert len(set(MPI.COMM_WORLD.allgather(str(caught.value)))) == 1

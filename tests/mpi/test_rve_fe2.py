"""FE² on several ranks: each solves the volume elements of its own points, and all of them cut together."""

from pointlaw.fem.mpi import MPI  # isort: skip

import dolfinx
import numpy as np
import pytest

from pointlaw.fem import Displacement, MechanicsProblem, StepController, march
from pointlaw.materials import J2, LinearElastic, Material, PlaneStrain, PointStatus, Response
from pointlaw.rve import RVEMaterial, lattice_inclusions

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

"""The Fortran UMAT in a finite-element run: the plate of demo 02, step for step as with the built-in law."""

from pathlib import Path

import numpy as np
import pytest

from pointlaw.materials import J2, UMAT, PlaneStrain

pytestmark = pytest.mark.fem
PLATE = Path(__file__).parents[2] / "meshes" / "plate_with_hole.msh"


def pulled_and_pushed(law):
    """Return the forces on the right edge and the Newton iterations of every step."""
    from pointlaw.fem import Displacement, ForceTable, MechanicsProblem, march, read_mesh

    supports = [
        Displacement("left", x=0.0),
        Displacement("bottom", y=0.0),
        Displacement("right", x=lambda t: 0.03 * (1.0 - abs(1.0 - t))),
    ]
    table = ForceTable("right")
    problem = MechanicsProblem(read_mesh(PLATE), law, supports=supports)
    solution = march(problem, np.linspace(0.25, 2.0, 8), observers=[table])
    assert solution.finished, solution.message
    return np.array(table.force), [report.iterations for report in solution.reports]


def test_the_plate_with_a_hole_takes_the_same_iterations_with_the_umat(fortran_library):
    one = pulled_and_pushed(PlaneStrain(J2(210e3, 0.3, 250.0, H=500.0, C=20e3)))
    umat = UMAT(fortran_library, props=[210e3, 0.3, 250.0, 500.0, 20e3], nstatv=13, symmetric=True)
    two = pulled_and_pushed(PlaneStrain(umat))
    assert two[1] == one[1]
    assert max(one[1]) >= 3  # the plate does flow
    assert two[0] == pytest.approx(one[0], rel=1e-8, abs=1e-8 * np.abs(one[0]).max())


@pytest.mark.mpi(ranks=2)
def test_every_rank_builds_tries_and_loads_the_library_at_once(c_library):
    from pointlaw.fem import MPI

    law = UMAT(c_library("statev[0] += 1.0; }"), nstatv=1)
    strain = np.full((2, 6), 1e-3 * (1 + MPI.COMM_WORLD.rank))
    answer = law.update(strain, law.initial_state(2), 1.0)
    sums = MPI.COMM_WORLD.allgather(float(answer.stress.sum()))
    # Two points, 100 ε on the normal components; √2·100·√2 ε on the shears, from γ and back to Mandel order.
    assert sums == pytest.approx([2 * (0.3 + 0.6), 4 * (0.3 + 0.6)])

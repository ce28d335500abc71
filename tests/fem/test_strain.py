"""Which bodies a strain measure fits."""

from pointlaw.fem.mpi import MPI  # isort: skip - MPI before DOLFINx

import dolfinx
import numpy as np
import pytest
from fem_bodies import ELASTIC_3D

from pointlaw.errors import MeshError
from pointlaw.fem import Displacement, MechanicsProblem, march
from pointlaw.materials import Axisymmetric

pytestmark = pytest.mark.fem


def disc(inner, outer, height=1.0):
    """Return a disc, pulled along its axis by 1 % of its height; its radius runs from ``inner`` to ``outer``."""
    mesh = dolfinx.mesh.create_rectangle(MPI.COMM_WORLD, [[inner, 0.0], [outer, height]], [4, 4])
    supports = [
        Displacement(lambda x: x[1] < 0.01 * height, y=0.0),
        Displacement(lambda x: x[1] > 0.99 * height, y=lambda t: 0.01 * height * t),
    ]
    return MechanicsProblem(mesh, Axisymmetric(ELASTIC_3D), supports=supports)


@pytest.mark.parametrize(("inner", "outer"), [(-1.0, 0.0), (-1.0, 1.0), (-1e-9, 1e-6)])
def test_a_body_on_the_other_side_of_its_axis_is_refused(inner, outer):
    with pytest.raises(MeshError, match=f"reaches r = {inner:.6g}: an axisymmetric body lies at r ≥ 0"):
        disc(inner, outer, outer - inner)


@pytest.mark.parametrize("inner", [0.0, -1e-12])
def test_a_body_may_touch_its_axis_as_well_as_a_mesher_can(inner):
    problem = disc(inner, 1.0)
    march(problem, [1.0])
    pull = problem.reaction(lambda x: x[1] > 0.99)[1]
    assert pull == pytest.approx(np.pi * 1000.0 * 0.01, rel=1e-9)

"""Concurrent FE²: a macroscopic problem whose points are volume elements."""

from pointlaw.fem.mpi import MPI  # isort: skip

import dolfinx
import numpy as np
import pytest

from pointlaw.fem import Displacement, MechanicsProblem, StepController, march
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
from pointlaw.rve import RVEMaterial, homogenise, lattice_inclusions

pytestmark = pytest.mark.fem
DISC = lattice_inclusions("square", 0.3)
MATRIX, STIFF = PlaneStrain(J2(200.0, 0.3, 0.25, H=2.0)), PlaneStrain(LinearElastic(400.0, 0.2))


def bent_plate(law, *, steps=3, controller=None, amount=0.006):
    mesh = dolfinx.mesh.create_rectangle(
        MPI.COMM_SELF, [[0.0, 0.0], [2.0, 1.0]], [3, 2], cell_type=dolfinx.mesh.CellType.quadrilateral
    )
    supports = [
        Displacement(lambda x: np.isclose(x[0], 0.0), x=0.0, y=0.0),
        Displacement(lambda x: np.isclose(x[0], 2.0), y=lambda t: amount * t),
    ]
    problem = MechanicsProblem(mesh, law, supports=supports, rtol=1e-11)
    return problem, march(problem, np.linspace(0.0, 1.0, steps + 1)[1:], controller)


def test_homogeneous_cells_give_the_law_they_hide_with_the_same_iterations():
    plain, one = bent_plate(MATRIX)
    cells, two = bent_plate(RVEMaterial(DISC.mesh(2), MATRIX, tolerance=1e-12))
    scale = np.abs(plain.u.x.array).max()
    assert np.abs(cells.u.x.array - plain.u.x.array).max() < 1e-10 * scale
    pairs = [(a.iterations, b.iterations) for a, b in zip(one.reports, two.reports, strict=True)]
    assert max(abs(a - b) for a, b in pairs) <= 1
    assert max(a for a, _ in pairs) >= 3  # it does flow


def test_homogeneous_rubber_cells_give_the_law_they_hide_at_finite_strain():
    rubber = FinitePlaneStrain(NeoHooke(mu=1.0, K=10.0))
    plain, one = bent_plate(rubber, amount=0.4)
    cells, two = bent_plate(RVEMaterial(DISC.mesh(2), rubber, tolerance=1e-12), amount=0.4)
    assert np.abs(cells.u.x.array - plain.u.x.array).max() < 1e-10 * np.abs(plain.u.x.array).max()
    assert [a.iterations for a in one.reports] == [b.iterations for b in two.reports]


def test_newton_converges_quadratically_through_composite_cells():
    _, solution = bent_plate(RVEMaterial(DISC.mesh(3), {1: MATRIX, 2: STIFF}, tolerance=1e-12), steps=1)
    norms = np.array(solution.reports[0].norms)
    assert solution.reports[0].iterations <= 8
    assert norms[-1] < 1e-3 * norms[-2] < 1e-4 * norms[-3]


def test_elastic_cells_give_the_homogenised_law():
    rve = RVEMaterial(DISC.mesh(4), {1: PlaneStrain(LinearElastic(200.0, 0.3)), 2: STIFF}, tolerance=1e-12)

    class Effective(Material):
        kinematics, symmetric = rve.kinematics, True
        stiffness = homogenise(rve)

        def update(self, strain, state, dt, *, tangent=True):
            moduli = np.tile(self.stiffness, (len(strain), 1, 1)) if tangent else None
            return Response(strain @ self.stiffness, moduli, state.copy())

    cells, _ = bent_plate(rve, steps=1)
    effective, _ = bent_plate(Effective(), steps=1)
    np.testing.assert_allclose(cells.u.x.array, effective.u.x.array, atol=1e-11 * np.abs(cells.u.x.array).max())


class Impatient(Material):
    """A law that refuses large increments, as one with a local iteration does."""

    def __init__(self, law, largest):
        self.law, self.largest, self.kinematics, self.symmetric = law, largest, law.kinematics, law.symmetric
        sizes = law.state_layout.sizes | {"old": 3}
        self.state_layout = type(law.state_layout)(sizes)

    def update(self, strain, state, dt, *, tangent=True):
        inner = self.law.update(strain, state[:, :-3], dt, tangent=tangent)
        status = np.where(
            np.abs(strain - state[:, -3:]).max(axis=1) > self.largest, PointStatus.FAILED, PointStatus.FINE
        )
        return Response(inner.stress, inner.tangent, np.hstack([inner.state, strain]), status.astype(np.int8))


def test_a_cell_that_fails_cuts_the_macroscopic_step():
    law = Impatient(MATRIX, 1e-3)
    rve = RVEMaterial(DISC.mesh(2), law, max_cuts=1)
    problem, solution = bent_plate(rve, steps=1, controller=StepController(max_cuts=6), amount=0.01)
    assert solution.finished
    assert solution.stats.cuts >= 1
    assert problem.time == 1.0

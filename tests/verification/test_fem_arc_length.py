"""Arc length: a shallow rubber arch snaps through, and every point of its path is an equilibrium."""

from pointlaw.fem import MPI, ArcLength, BodyForce, Displacement, MechanicsProblem, StepController, march  # isort: skip

import dolfinx
import numpy as np
import pytest

from pointlaw.errors import SetupError
from pointlaw.fem import Checkpoint, Observer, Point, load_checkpoint
from pointlaw.materials import J2, FinitePlaneStrain, NeoHooke, PlaneStrain

pytestmark = pytest.mark.fem

SPAN, RISE, THICK = 10.0, 0.5, 0.2
APEX = Point(SPAN / 2, RISE + THICK / 2)


def arch():
    """Return a half sine of rubber, clamped at both ends, under a weight that grows with t."""
    mesh = dolfinx.mesh.create_unit_square(MPI.COMM_SELF, 16, 1, dolfinx.mesh.CellType.quadrilateral)
    x = mesh.geometry.x
    X, Y = x[:, 0].copy(), x[:, 1].copy()
    x[:, 0], x[:, 1] = SPAN * X, RISE * np.sin(np.pi * X) + THICK * (Y - 0.5)
    ends = Displacement(lambda x: np.isclose(x[0], 0.0) | np.isclose(x[0], SPAN), x=0.0, y=0.0)
    law = FinitePlaneStrain(NeoHooke(mu=1000.0, K=2000.0))
    return MechanicsProblem(mesh, law, supports=[ends], loads=[BodyForce((0.0, lambda t: -t))], degree=2)


class Trail(Observer):
    """Loads, apex displacements and unknowns along a path."""

    def __init__(self):
        self.load, self.fall, self.unknowns = [], [], []

    def accepted(self, problem, report):
        x = problem.V.tabulate_dof_coordinates()
        apex = np.flatnonzero(APEX(x.T))[0]
        self.load.append(getattr(problem, "load", problem.time))
        self.fall.append(-problem.u.x.array.reshape(-1, 2)[apex, 1])
        self.unknowns.append(problem.u.x.array.copy())


@pytest.fixture(scope="module")
def path():
    trail = Trail()
    march(ArcLength(arch()), [0.7], StepController(dt=0.03, max_dt=0.05), observers=[trail])
    return trail


def test_the_load_rises_falls_and_rises_again(path):
    load = np.array(path.load)
    limit = load[:8].max()
    assert load[-1] > limit > 0.2
    assert load[len(load) // 2] < 0.6 * limit
    assert np.all(np.diff(path.fall) > 0)


def test_every_point_of_the_path_is_an_equilibrium_of_the_problem_itself(path):
    # Newton at the load of the point, started from the point, has nothing to do: independent of the arc length.
    problem = arch()
    for load, unknowns in zip(path.load, path.unknowns, strict=True):
        problem.u.x.array[:] = unknowns
        problem.restore()
        problem.time = load
        report = problem.solve(load, 1.0)
        assert report.converged
        assert report.iterations <= 1
        assert np.abs(problem.u.x.array - unknowns).max() < 1e-6


def test_a_restart_on_the_falling_branch_goes_on_falling(path, tmp_path):
    first, restarted = ArcLength(arch()), ArcLength(arch())
    controller = StepController(dt=0.03, max_dt=0.03)
    march(first, [0.15], controller, observers=[Checkpoint(tmp_path)])
    load_checkpoint(tmp_path, restarted)
    trails = [Trail(), Trail()]
    for run, trail in zip((first, restarted), trails, strict=True):
        march(run, [0.24], controller, observers=[trail])
    np.testing.assert_allclose(trails[1].load, trails[0].load, rtol=1e-6)
    np.testing.assert_allclose(trails[1].fall, trails[0].fall, rtol=1e-6)
    assert len(trails[1].load) == 3
    assert np.all(np.diff([max(path.load[:8]), *trails[1].load]) < 0)


def test_displacement_control_walks_the_same_path(path):
    trail = Trail()
    march(ArcLength(arch(), control=(APEX, "-y")), path.fall, StepController(max_dt=0.1), observers=[trail])
    reached = np.searchsorted(trail.fall, np.array(path.fall) - 1e-9)
    np.testing.assert_allclose(np.array(trail.fall)[reached], path.fall, atol=1e-9)
    np.testing.assert_allclose(np.array(trail.load)[reached], path.load, rtol=1e-5)


def test_load_control_cannot_pass_the_limit_point_along_the_path(path):
    limit = max(path.load[:8])
    problem = arch()
    march(problem, [0.5 * limit, 0.95 * limit])
    trail = Trail()
    solution = march(problem, [1.2 * limit], StepController(max_cuts=4), observers=[trail], strict=False)
    # Either it ends honestly, or Newton jumps to the far branch: then the arch has snapped within one step.
    if solution.finished:
        assert np.max(np.diff([0.2, *trail.fall])) > 0.4
    else:
        assert "Cause" in solution.message


def test_a_prescribed_displacement_can_be_the_load():
    # The load factor is then the displacement of the end itself, and load control must agree with it.
    law = PlaneStrain(J2(E=1000.0, nu=0.3, yield_stress=2.0, H=20.0))

    def bar():
        mesh = dolfinx.mesh.create_rectangle(
            MPI.COMM_SELF, [[0, 0], [4, 1]], [8, 2], dolfinx.mesh.CellType.quadrilateral
        )
        hold = Displacement(lambda x: np.isclose(x[0], 0.0), x=0.0, y=0.0)
        pull = Displacement(lambda x: np.isclose(x[0], 4.0), x=lambda t: 0.02 * t)
        return MechanicsProblem(mesh, law, supports=[hold, pull])

    def end(x):
        return np.isclose(x[0], 4.0)

    along = ArcLength(bar(), control=(end, "x"))
    march(along, [0.01, 0.02])
    assert along.load == pytest.approx(1.0, rel=1e-9)
    plain = bar()
    march(plain, [0.5, 1.0])
    np.testing.assert_allclose(along.u.x.array, plain.u.x.array, atol=1e-9)
    assert along.reaction(end)[0] == pytest.approx(plain.reaction(end)[0], rel=1e-7)


def test_a_direction_that_the_mesh_lacks_is_refused():
    with pytest.raises(SetupError, match="direction 'z'"):
        ArcLength(arch(), control=(APEX, "z"))

"""A learned law does in the solver what its teacher does, programme after programme, with force and with displacement.

The teacher is a coarse composite; a small physically recurrent network learns it in seconds. Two quadrilaterals are
held on the left and led on the right by smooth random displacements or tractions. ``benchmarks/bench_programmes.py``
does the same two hundred times with a larger one.
"""

from pointlaw.fem.mpi import MPI  # isort: skip

import dolfinx
import numpy as np
import pytest

from pointlaw.data import sample
from pointlaw.fem import Displacement, FixedStep, MechanicsProblem, Traction, march
from pointlaw.materials import J2, LinearElastic, PlaneStrain
from pointlaw.paths import gaussian_process
from pointlaw.rve import RVEMaterial, lattice_inclusions
from pointlaw.tensors import PLANE_STRAIN

torch = pytest.importorskip("torch")
pytestmark = pytest.mark.fem

STEPS = 10


@pytest.fixture(scope="module")
def teacher():
    """Return a cell of 6 × 6 voxels with one fibre."""
    phases = {
        "matrix": PlaneStrain(J2(E=70e3, nu=0.33, yield_stress=100.0, H=2000.0)),
        "inclusion": PlaneStrain(LinearElastic(E=400e3, nu=0.2)),
    }
    return RVEMaterial(lattice_inclusions("square", 0.3).mesh(6), phases, tolerance=1e-12)


@pytest.fixture(scope="module")
def law(teacher):
    """Return what a network of twelve elements has learned from 16 paths."""
    from pointlaw.laws import make_law
    from pointlaw.networks import PhysicallyRecurrent
    from pointlaw.training import TrainConfig, fit

    walk = {"steps": 30, "bound": 0.015, "correlation": 0.2, "kinematics": PLANE_STRAIN}
    training, kept_back = (sample(teacher, gaussian_process(n, seed=n, **walk)) for n in (16, 4))
    config = TrainConfig(epochs=40, batch=8, learning_rate=0.03, precision="float64")
    report = fit(PhysicallyRecurrent(features=3, outputs=3, elements=12, seed=0), training, config)
    return make_law(report.network, report.scaling, name="metal", training=training, kept_back=kept_back)


def programme(number, material, *, rtol):
    """Return the solution of a virgin body under random programme ``number``; odd ones are force-driven."""
    drawn = gaussian_process([number], seed=3, steps=STEPS, bound=1.0, correlation=0.2, kinematics=PLANE_STRAIN)
    size = np.array([280.0, 65.0]) if number % 2 else np.array([0.03, 0.03])  # MPa, or unit of length
    values = drawn.strain[0, :, :2] * size
    x, y = (lambda t, column=column: float(np.interp(t, range(STEPS + 1), column)) for column in values.T)
    mesh = dolfinx.mesh.create_rectangle(
        MPI.COMM_SELF, [[0.0, 0.0], [2.0, 1.0]], [2, 1], cell_type=dolfinx.mesh.CellType.quadrilateral
    )

    def right(p):
        return np.isclose(p[0], 2.0)

    supports, loads = [Displacement(lambda p: np.isclose(p[0], 0.0), x=0.0, y=0.0)], []
    if number % 2:
        loads.append(Traction(right, [x, y]))
    else:
        supports.append(Displacement(right, x=x, y=y))
    problem = MechanicsProblem(mesh, material, supports=supports, loads=loads, rtol=rtol)
    solution = march(problem, np.arange(1.0, STEPS + 1), FixedStep(), strict=False)
    return solution, problem.u.x.array.copy()


@pytest.fixture(scope="module")
def pairs(teacher, law):
    """Return what teacher and law did in a dozen programmes."""
    return [(programme(k, teacher, rtol=1e-8), programme(k, law, rtol=1e-8)) for k in range(12)]


def test_no_step_of_a_random_programme_fails_with_the_learned_law(pairs):
    for (taught, _), (learned, _) in pairs:
        assert taught.finished, taught.message  # or the programme asks for what the body cannot carry
        assert learned.finished, learned.message


def test_the_learned_law_takes_the_newton_iterations_of_its_teacher(pairs):
    mine, teachers = (
        np.array([[report.iterations for report in pair[which][0].reports] for pair in pairs]) for which in (1, 0)
    )
    assert teachers.max() >= 4  # the programmes yield
    assert abs(mine.mean() - teachers.mean()) < 0.25, (mine, teachers)
    # An elastic step takes one iteration, one with any yielding at least two, and the onset of yielding is learned too.
    both = (mine > 1) & (teachers > 1)
    assert both.mean() > 0.5
    assert np.mean(np.abs(mine - teachers)[both] <= 1) > 0.95, (mine, teachers)
    assert np.mean((mine > 1) == (teachers > 1)) > 0.85, (mine, teachers)


def test_the_body_ends_where_it_ends_with_the_teacher(pairs):
    gaps = [np.linalg.norm(mine - u) / np.linalg.norm(u) for (_, u), (_, mine) in pairs]
    assert np.median(gaps) < 0.05, gaps


def test_newton_converges_quadratically_in_random_programmes(law):
    orders = []
    for number in range(6):
        solution, _ = programme(number, law, rtol=1e-12)
        for report in solution.reports:
            # The first norm belongs to supports that have not moved yet, the last ones to rounding.
            above = [norm for norm in report.norms[1:] if norm > 3.0 * min(report.norms)]
            if len(above) >= 3 and above[-2] < 0.03 * above[-3]:
                a, b, c = above[-3:]
                orders.append(np.log(c / b) / np.log(b / a))
    assert len(orders) >= 10
    assert np.median(orders) > 1.8, orders

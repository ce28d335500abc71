"""J2 plasticity in finite elements: against closed forms, itself in other dimensions, and another program.

Closed forms: bilinear uniaxial response, tangent E H/(E + H) after yield (Simo & Hughes 1998, chapter 1,
doi 10.1007/b98904). Independent numbers: ``textbook_fe.py``, a plane-strain program that shares no line with pointlaw.
"""

from pointlaw.fem.mpi import MPI  # isort: skip

from pathlib import Path

import dolfinx
import numpy as np
import pytest
from textbook_fe import TextbookJ2, TextbookPlate

from pointlaw.fem import BodyForce, Displacement, MechanicsProblem, Pressure, Traction, march, read_mesh
from pointlaw.materials import J2, PlaneStrain, PlaneStress

pytestmark = pytest.mark.fem

E, NU, YIELD, H = 70e3, 0.2, 243.0, 2171.0  # the perforated strip of the textbooks, MPa
PLATE = Path(__file__).parents[2] / "meshes" / "plate_with_hole.msh"


def box(cell="hexahedron", n=(1, 1, 1), size=(1.0, 1.0, 1.0)):
    kind = dolfinx.mesh.to_type(cell)
    if len(n) == 2:
        return dolfinx.mesh.create_rectangle(MPI.COMM_SELF, [[0, 0], list(size)], list(n), kind)
    return dolfinx.mesh.create_box(MPI.COMM_SELF, [[0, 0, 0], list(size)], list(n), kind)


def plane(axis, where=0.0):
    return lambda x: np.abs(x[axis] - where) < 1e-9


def cycle(t):
    """Stretch of the bar: 0 → 1 % → −1 % → 1.5 %, one per unit of time."""
    return float(np.interp(t, [0, 1, 2, 3], [0.0, 0.01, -0.01, 0.015]))


@pytest.mark.parametrize("kinematic", [False, True], ids=["isotropic", "kinematic"])
def test_a_bar_in_cyclic_tension_follows_the_bilinear_closed_form(kinematic):
    law = J2(E=E, nu=NU, yield_stress=YIELD, **({"C": H} if kinematic else {"H": H}))
    supports = [Displacement(plane(a), **{"xyz"[a]: 0.0}) for a in range(3)]
    problem = MechanicsProblem(box(), law, supports=[*supports, Displacement(plane(0, 1.0), x=cycle)], rtol=1e-12)
    times = np.linspace(0.25, 3.0, 12)
    stress = []
    for t in times:
        march(problem, [t])
        stress.append(problem.reaction(plane(0, 1.0))[0])
    expected, plastic, total, back = [], 0.0, 0.0, 0.0
    for t in times:
        trial = E * (cycle(t) - plastic)
        radius = YIELD + (0.0 if kinematic else H * total)
        excess = abs(trial - back) - radius
        if excess > 0:
            flow = excess / (E + H)
            direction = np.sign(trial - back)
            plastic, total = plastic + direction * flow, total + flow
            back = H * plastic if kinematic else 0.0
        expected.append(E * (cycle(t) - plastic))
    np.testing.assert_allclose(stress, expected, rtol=1e-8)
    assert total > 0.02  # it yielded in every half cycle


def test_the_work_on_a_bar_is_elastic_energy_plus_dissipation_plus_stored_hardening():
    # Steps end exactly at yield, so that the trapezoidal rule integrates the bilinear response without error.
    law = J2(E=E, nu=NU, yield_stress=YIELD, H=H)
    supports = [Displacement(plane(a), **{"xyz"[a]: 0.0}) for a in range(3)]
    pull = Displacement(plane(0, 1.0), x=lambda t: t)
    problem = MechanicsProblem(box(), law, supports=[*supports, pull], rtol=1e-13)
    force, stretch, work = 0.0, 0.0, 0.0
    for u in (YIELD / E, 0.01, 0.02):
        march(problem, [u])
        new = problem.reaction(plane(0, 1.0))[0]
        work += (force + new) / 2 * (u - stretch)
        force, stretch = new, u
    p = problem.regions["body"].history.committed[0, 6]
    assert work == pytest.approx(force**2 / (2 * E) + YIELD * p + H * p**2 / 2, rel=1e-10)


# Plane stress against three dimensions ------------------------------------------------------------------------------


def test_plane_stress_is_a_free_slab_in_uniform_strain_along_a_path_that_turns():
    law = J2(E=E, nu=NU, yield_stress=YIELD, H=H)

    def moved(axis):  # tension, then shear under constant tension, then back to zero strain
        def value(x, t):
            pull, shear = (
                0.008 * np.interp(t, [0, 1, 2, 3], [0, 1, 1, 0]),
                0.01 * np.interp(t, [0, 1, 2, 3], [0, 0, 1, 0]),
            )
            return pull * x[0] + shear * x[1] if axis == 0 else shear * x[0] - 0.3 * pull * x[1]

        return value

    def edge(x):
        return np.any((np.abs(x[:2]) < 1e-9) | (np.abs(x[:2] - 1) < 1e-9), axis=0)

    sheet = MechanicsProblem(
        box("quadrilateral", (2, 2), (1.0, 1.0)),
        PlaneStress(law),
        supports=[Displacement(edge, x=moved(0), y=moved(1))],
        rtol=1e-12,
    )
    slab = MechanicsProblem(
        box(n=(2, 2, 1), size=(1.0, 1.0, 0.3)),
        law,
        supports=[Displacement(edge, x=moved(0), y=moved(1)), Displacement(plane(2), z=0.0)],
        rtol=1e-12,
    )
    for t in np.linspace(0.25, 3.0, 12):
        march(sheet, [t])
        march(slab, [t])
        flat = sheet.fields.arrays()[0].reshape(-1, 3)
        solid = slab.fields.arrays()[0].reshape(-1, 6)
        np.testing.assert_allclose(solid[:, [0, 1, 5]], np.tile(flat[0], (len(solid), 1)), atol=1e-6 * YIELD)
        np.testing.assert_allclose(solid[:, [2, 3, 4]], 0.0, atol=1e-6 * YIELD)
    assert sheet.regions["body"].history.committed[:, -1].min() > 0.005


def sheared(n, thickness=None):
    """Return the force on a clamped square that is sheared into the plastic range: a sheet, or a slab as thick."""
    law = J2(E=E, nu=NU, yield_stress=YIELD, H=H)
    if thickness is None:
        mesh, law, supports = box("quadrilateral", (n, n), (1.0, 1.0)), PlaneStress(law), []
    else:
        mesh, supports = box(n=(n, n, 1), size=(1.0, 1.0, thickness)), [Displacement(plane(2), z=0.0)]
    supports += [Displacement(plane(0), x=0.0, y=0.0), Displacement(plane(0, 1.0), x=0.0, y=lambda t: -0.05 * t)]
    problem = MechanicsProblem(mesh, law, supports=supports, solver="direct")
    march(problem, [0.1, 0.4, 1.0])
    assert problem.regions["body"].history.committed[:, -1].max() > 0.01
    return problem.reaction(plane(0, 1.0))[1] / (thickness or 1.0)


def test_a_thin_slab_comes_to_plane_stress_as_the_mesh_gets_finer():
    # One layer of elements has one thickness strain a node, plane stress one a point: they meet in the limit.
    gaps = [abs(sheared(n, 0.01) / sheared(n) - 1) for n in (6, 12)]
    assert gaps[1] < 0.65 * gaps[0]
    assert gaps[1] < 0.02


# The plate with a hole ----------------------------------------------------------------------------------------------


def strip(law, **options):
    supports = [
        Displacement("left", x=0.0),
        Displacement("bottom", y=0.0),
        Displacement("right", x=lambda t: 0.06 * float(np.interp(t, [0, 1, 2], [0, 1, -0.2]))),
    ]
    return MechanicsProblem(read_mesh(PLATE, MPI.COMM_SELF), law, supports=supports, **options)


@pytest.mark.parametrize("C", [0.0, 5000.0], ids=["isotropic", "isotropic and kinematic"])
def test_the_plate_with_a_hole_is_what_an_independent_program_computes(C):
    times = [0.4, 0.7, 1.0, 1.5, 1.8, 2.0]
    law = J2(E=E, nu=NU, yield_stress=YIELD, H=H, **({"C": C} if C else {}))
    ours = strip(PlaneStrain(law), rtol=1e-12)
    theirs = TextbookPlate(PLATE, TextbookJ2(E, NU, YIELD, H, C))
    x, y = theirs.points.T
    left, bottom, right = (np.flatnonzero(np.abs(v) < 1e-9) for v in (x, y, x - 18.0))
    at = ours.V.tabulate_dof_coordinates()[:, :2]
    place = np.argmin(((at[:, None] - theirs.points[None]) ** 2).sum(axis=2), axis=1)
    assert len(np.unique(place)) == len(at) == len(theirs.points)
    for t in times:
        march(ours, [t])
        pull = 0.06 * float(np.interp(t, [0, 1, 2], [0, 1, -0.2]))
        theirs.step(
            {**dict.fromkeys(2 * left, 0.0), **dict.fromkeys(2 * bottom + 1, 0.0), **dict.fromkeys(2 * right, pull)}
        )
        u = theirs.u.reshape(-1, 2)[place]
        np.testing.assert_allclose(ours.u.x.array.reshape(-1, 2), u, atol=1e-8 * np.abs(u).max())
        force = theirs.forces[2 * right].sum()
        assert ours.reaction("right")[0] == pytest.approx(force, rel=1e-8)
    most = ours.regions["body"].history.committed[
        :, ours.regions["body"].material.state_layout["equivalent_plastic_strain"]
    ]
    assert most.max() == pytest.approx(theirs.alpha.max(), rel=1e-8)
    assert theirs.alpha.max() > 0.01


@pytest.mark.parametrize("wrapper", [PlaneStrain, PlaneStress])
def test_newton_converges_quadratically_with_j2(wrapper):
    problem = strip(wrapper(J2(E=E, nu=NU, yield_stress=YIELD, H=H, Q=50.0, b=20.0)), rtol=1e-14)
    solution = march(problem, [0.5, 0.7])
    scale = np.abs(problem.reaction("right")[0])
    for report in solution.reports[1:]:
        last = [n for n in report.norms if n > 1e-10 * scale][-3:]
        assert np.log(last[2] / last[1]) / np.log(last[1] / last[0]) > 1.8, report.norms


def test_the_work_of_the_supports_is_the_work_of_the_stresses():
    # Virtual work with the increment as virtual displacement: exact for the discrete solution, whatever the law does.
    problem = strip(PlaneStrain(J2(E=E, nu=NU, yield_stress=YIELD, H=H)), rtol=1e-13)
    region = problem.regions["body"]
    weight = np.tile(problem.fields.weights, len(region.cells))
    jacobian = cell_volumes(problem) / weight.reshape(len(region.cells), -1)[0].sum()
    volume = weight * jacobian
    before, last = np.zeros((region.size, 3)), 0.0
    for t in (0.5, 1.0, 2.0):
        march(problem, [t])
        strain = region._strain.reshape(region.size, 3).copy()
        inner = (volume * np.einsum("pi,pi->p", region.committed[0], strain - before)).sum()
        pull = 0.06 * float(np.interp(t, [0, 1, 2], [0, 1, -0.2]))
        assert inner == pytest.approx(problem.reaction("right")[0] * (pull - last), rel=1e-10)
        before, last = strain, pull


def cell_volumes(problem):
    """Return the Jacobian determinant times the reference volume at each point ``[p]``."""
    import ufl
    from dolfinx import fem

    mesh, region = problem.body.mesh, problem.regions["body"]
    determinant = fem.Expression(ufl.JacobianDeterminant(mesh), problem.fields.points)
    return np.abs(determinant.eval(mesh, region.cells)).ravel() * problem.fields.weights.sum()


def test_supports_balance_all_loads_of_a_plastic_plate():
    loads = [
        Traction("right", (lambda t: 150.0 * t, 20.0)),
        Pressure("hole", lambda t: 30.0 * t),
        BodyForce((0.5, -1.0)),
    ]
    supports = [Displacement("left", x=0.0), Displacement("bottom", y=0.0)]
    body = read_mesh(PLATE, MPI.COMM_SELF)
    problem = MechanicsProblem(
        body, PlaneStrain(J2(E=E, nu=NU, yield_stress=YIELD, H=H)), supports=supports, loads=loads, rtol=1e-13
    )
    march(problem, [0.5, 1.0])
    assert problem.regions["body"].history.committed[:, -1].max() > 1e-3
    area = cell_volumes(problem).reshape(-1, len(problem.fields.weights)) @ problem.fields.weights
    area = area.sum() / problem.fields.weights.sum()
    # A pressure on the quarter arc pushes with p r in each direction (its chords do so exactly).
    applied = np.array([150.0 * 10.0 + 30.0 * 5.0 + 0.5 * area, 20.0 * 10.0 + 30.0 * 5.0 - 1.0 * area])
    carried = np.array([problem.reaction("left")[0], problem.reaction("bottom")[1]])
    np.testing.assert_allclose(carried, -applied, rtol=1e-10)

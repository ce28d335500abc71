"""Finite strain in the finite-element room: patches, Cook's membrane, a thick sphere under following pressure."""

from pointlaw.fem import MPI, Displacement, MechanicsProblem, Pressure, Traction, march  # isort: skip

import basix.ufl
import dolfinx
import numpy as np
import pytest

from pointlaw.errors import SetupError
from pointlaw.fem import TaggedMesh
from pointlaw.materials import J2, FinitePlaneStrain, LinearElastic, NeoHooke, PlaneStrain
from pointlaw.tensors import FINITE_STRAIN_3D

pytestmark = pytest.mark.fem

CELLS = dolfinx.mesh.CellType


def distorted_cube(cell):
    mesh = dolfinx.mesh.create_unit_cube(MPI.COMM_SELF, 2, 2, 2, cell)
    x = mesh.geometry.x
    inner = np.all(np.isclose(x, 0.5), axis=1)
    x[inner] += [0.08, -0.06, 0.05]
    return mesh


@pytest.mark.parametrize("formulation", ["displacement", "mixed"])
def test_a_homogeneous_deformation_is_exact_on_distorted_cells(formulation):
    gradient = np.array([[0.2, 0.1, 0.0], [0.0, -0.1, 0.05], [0.1, 0.0, 0.15]])

    def surface(axis):
        return lambda x, t: t * np.tensordot(gradient[axis], x, axes=1)

    boundary = Displacement(
        lambda x: np.any(np.isclose(x, 0) | np.isclose(x, 1), axis=0), x=surface(0), y=surface(1), z=surface(2)
    )
    law = NeoHooke(mu=1.0, K=10.0)
    problem = MechanicsProblem(distorted_cube(CELLS.hexahedron), law, supports=[boundary], formulation=formulation)
    march(problem, [0.5, 1.0])
    F = (np.eye(3) + gradient).reshape(1, 9)
    expected = law.update(F, law.initial_state(1), 1.0).stress
    stress, _ = problem.regions["body"].committed
    np.testing.assert_allclose(stress[:, :9], np.repeat(expected, len(stress), axis=0), atol=1e-9)


def cook(cells, degree, formulation):
    """Return the rise of the upper corner of Cook's membrane: a tapered panel, clamped left, sheared right."""
    mesh = dolfinx.mesh.create_unit_square(MPI.COMM_SELF, cells, cells, CELLS.quadrilateral)
    x = mesh.geometry.x
    X, Y = x[:, 0].copy(), x[:, 1].copy()
    x[:, 0], x[:, 1] = 48 * X, 44 * X + Y * (44 - 28 * X)
    law = FinitePlaneStrain(NeoHooke(mu=80.194, K=400889.806))
    shear = Traction(lambda x: np.isclose(x[0], 48.0), (0.0, lambda t: 100.0 / 16.0 * t))
    clamp = Displacement(lambda x: np.isclose(x[0], 0.0), x=0.0, y=0.0)
    problem = MechanicsProblem(mesh, law, supports=[clamp], loads=[shear], degree=degree, formulation=formulation)
    solution = march(problem, np.linspace(0.2, 1.0, 5))
    corner = np.linalg.norm(problem.V.tabulate_dof_coordinates()[:, :2] - [48, 60], axis=1).argmin()
    return problem.u.x.array.reshape(-1, 2)[corner, 1], solution


def test_cooks_membrane_does_not_lock_with_the_mixed_formulation():
    # The benchmark of Simo & Armero (1992, doi 10.1002/nme.1620330705): μ = 80.194, K/μ = 5000, 100 N on 16 mm. The
    # reference is the finest quadratic solution, which the displacement formulation of degree 2 approaches from below.
    reference, solution = cook(16, 2, "mixed")
    assert max(report.iterations for report in solution.reports) <= 6
    coarse, medium = (cook(cells, 1, "mixed")[0] for cells in (8, 16))
    locked, quadratic = cook(16, 1, "displacement")[0], cook(16, 2, "displacement")[0]
    assert abs(medium - reference) < 0.015 * reference
    assert abs(medium - reference) < 0.6 * abs(coarse - reference)
    assert 0.95 * reference < quadratic < reference
    assert locked < 0.5 * reference


def octant(inner, outer, around, through):
    """Return an eighth of a hollow sphere in hexahedra of degree 2: three blocks around the space diagonal."""
    corner = np.eye(3)
    middle = (corner + np.roll(corner, -1, axis=0)) / 2
    centre = corner.mean(axis=0)
    fine, deep = 2 * around + 1, 2 * through + 1
    s, t, r = np.meshgrid(*(np.linspace(0, 1, n) for n in (fine, fine, deep)), indexing="ij")
    nodes, cells, numbers = [], [], {}
    element = basix.ufl.element("Lagrange", "hexahedron", 2, shape=(3,))
    points = np.round(2 * element.basix_element.points).astype(int)
    for i in range(3):
        a, b, c, d = corner[i], middle[i], middle[i - 1], centre
        direction = sum(
            w[..., None] * p for w, p in (((1 - s) * (1 - t), a), (s * (1 - t), b), ((1 - s) * t, c), (s * t, d))
        )
        direction = direction / np.linalg.norm(direction, axis=-1, keepdims=True)
        x = direction * (inner + (outer - inner) * r)[..., None]
        ids = np.empty(x.shape[:3], dtype=int)
        for index in np.ndindex(ids.shape):
            key = tuple(np.round(x[index], 9) + 0.0)
            if key not in numbers:
                numbers[key] = len(nodes)
                nodes.append(x[index])
            ids[index] = numbers[key]
        for j, k, m in np.ndindex(around, around, through):
            cells.append(ids[tuple((points + 2 * np.array([j, k, m])).T)])
    return dolfinx.mesh.create_mesh(MPI.COMM_SELF, np.array(cells), element, np.array(nodes))


def test_a_thick_rubber_sphere_inflates_as_the_closed_form_says():
    # Incompressible neo-Hooke shell (Rivlin 1949; Ogden 1997, Non-Linear Elastic Deformations, sec. 5.3.2):
    # p = μ/2 [4/λ + 1/λ⁴] taken at λ_b minus λ_a, with b³ − a³ = B³ − A³. Past the limit point the pressure falls,
    # so the inflation stops before it (λ_a = 1.5 is at the rising side for B/A = 2).
    A, B, mu, stretch = 1.0, 2.0, 1.0, 1.3
    outer = (B**3 + A**3 * (stretch**3 - 1)) ** (1 / 3) / B

    def half(lam):
        return mu / 2 * (4 / lam + 1 / lam**4)

    pressure = half(outer) - half(stretch)
    planes = [Displacement(lambda x, i=i: np.isclose(x[i], 0.0), **{"xyz"[i]: 0.0}) for i in range(3)]
    load = Pressure(lambda x: np.linalg.norm(x, axis=0) < A + 1e-6, lambda t: pressure * t)
    body = TaggedMesh(octant(A, B, around=1, through=3))
    radius = {}
    for formulation in ("mixed", "displacement"):
        law = NeoHooke(mu=mu, K=1e5 * mu)
        problem = MechanicsProblem(body, law, supports=planes, loads=[load], degree=2, formulation=formulation)
        solution = march(problem, [0.5, 1.0])
        assert problem.kinematics is FINITE_STRAIN_3D
        orders = [np.diff(np.log(report.norms[-3:])) for report in solution.reports]
        assert any(last / first > 1.8 for first, last in orders)  # the tangent of the following load is there
        x = problem.V.tabulate_dof_coordinates()
        node = np.linalg.norm(x - [A, 0, 0], axis=1).argmin()
        radius[formulation] = A + problem.u.x.array.reshape(-1, 3)[node, 0]
    assert radius["mixed"] == pytest.approx(stretch * A, rel=2e-3)
    assert radius["displacement"] < radius["mixed"]


def test_a_following_pressure_on_a_closed_surface_has_no_resultant():
    planes = [Displacement(lambda x, i=i: np.isclose(x[i], 0.0), **{"xyz"[i]: 0.0}) for i in range(3)]
    everywhere = Pressure(lambda x: np.ones(x.shape[1], dtype=bool), lambda t: 0.5 * t)
    problem = MechanicsProblem(
        distorted_cube(CELLS.tetrahedron), NeoHooke(mu=1.0, K=2.0), supports=planes, loads=[everywhere]
    )
    march(problem, [0.5, 1.0])
    # Hydrostatic: the cube stays a cube, F = λ I with P = −p λ² I, and no plane of symmetry is pulled.
    law = NeoHooke(mu=1.0, K=2.0)
    x = problem.V.tabulate_dof_coordinates()
    stretches = 1 + (problem.u.x.array.reshape(-1, 3) * x).sum(axis=1)[1:] / np.maximum((x**2).sum(axis=1)[1:], 1e-12)
    lam = stretches[np.abs((x[1:] ** 2).sum(axis=1)) > 0.1].mean()
    stress = law.update(lam * np.eye(3).reshape(1, 9), law.initial_state(1), 1.0).stress[0, 0]
    assert stress == pytest.approx(-0.5 * lam**2, rel=1e-9)


def test_the_mixed_formulation_of_a_compressible_plastic_body_agrees_with_the_plain_one():
    law = PlaneStrain(J2(E=1000.0, nu=0.3, yield_stress=2.0, H=50.0))
    forces = []
    for formulation in ("displacement", "mixed"):
        mesh = dolfinx.mesh.create_unit_square(MPI.COMM_SELF, 6, 6, CELLS.quadrilateral)
        supports = [
            Displacement(lambda x: np.isclose(x[0], 0.0), x=0.0, y=0.0),
            Displacement(lambda x: np.isclose(x[0], 1.0), x=lambda t: 0.01 * t),
        ]
        problem = MechanicsProblem(mesh, law, supports=supports, degree=2, formulation=formulation)
        march(problem, [0.25, 0.5, 0.75, 1.0])
        forces.append(problem.reaction(lambda x: np.isclose(x[0], 1.0))[0])
    assert forces[1] == pytest.approx(forces[0], rel=0.01)


def test_unstable_pairs_and_wrong_words_are_refused():
    triangles = dolfinx.mesh.create_unit_square(MPI.COMM_SELF, 2, 2)
    law = PlaneStrain(LinearElastic(E=1.0, nu=0.3))
    hold = [Displacement(lambda x: np.isclose(x[0], 0.0), x=0.0, y=0.0)]
    with pytest.raises(SetupError, match="not stable"):
        MechanicsProblem(triangles, law, supports=hold, formulation="mixed")
    with pytest.raises(SetupError, match="must be one of"):
        MechanicsProblem(triangles, law, supports=hold, formulation="hybrid")
    squares = dolfinx.mesh.create_unit_square(MPI.COMM_SELF, 2, 2, CELLS.quadrilateral)
    with pytest.raises(SetupError, match="saddle point"):
        MechanicsProblem(squares, law, supports=hold, formulation="mixed", solver="iterative")

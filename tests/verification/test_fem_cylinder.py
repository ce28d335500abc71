"""Thick cylinders: Lamé's elastic solution with its convergence order, and Hill's elastic-perfectly plastic one.

Elastic: Lamé & Clapeyron 1833; Timoshenko & Goodier, Theory of Elasticity, section 28. Plastic: Hill 1950, The
Mathematical Theory of Plasticity, chapter V.2, with the plane-strain yield stress 2σ_y/√3 of von Mises, as used for
verification by de Souza Neto, Perić & Owen 2008, Computational Methods for Plasticity, section 7.5.1,
doi 10.1002/9780470694626. Orders: Ciarlet 1978, Theorem 3.2.5 (L2 error of degree k is h^(k+1)).
"""

from pointlaw.fem.mpi import MPI  # isort: skip

import basix.ufl
import dolfinx
import numpy as np
import pytest
import ufl
from dolfinx import fem

from pointlaw.fem import BodyForce, Displacement, MechanicsProblem, Pressure, march
from pointlaw.materials import J2, Axisymmetric, LinearElastic, PlaneStrain

pytestmark = pytest.mark.fem

A, B = 100.0, 200.0  # radii, mm
E, NU, P = 210e3, 0.3, 100.0  # MPa
BULGE = P * A**2 / (B**2 - A**2)  # Lamé's constants of a cylinder under internal pressure P, held in z
OUTWARD = (1 + NU) / E * BULGE


def radial(r):
    """Return Lamé's radial displacement in plane strain at radius ``r`` (a number or UFL)."""
    return OUTWARD * ((1 - 2 * NU) * r + B**2 / r)


def l2_error(problem, exact):
    dx = ufl.Measure("dx", domain=problem.body.mesh, metadata={"quadrature_degree": 8})
    difference = problem.u - exact
    return np.sqrt(fem.assemble_scalar(fem.form(ufl.dot(difference, difference) * dx)))


def at_radius(radius, tolerance=1e-6):
    return lambda x: np.abs(np.hypot(x[0], x[1]) - radius) < tolerance * radius


def quarter_ring(n, degree):
    """Return n × n curved quadrilaterals of geometry degree ``degree`` between the radii, in the first quadrant."""
    m = degree * n + 1
    radius = np.repeat(A * (B / A) ** np.linspace(0, 1, m), m)
    angle = np.tile(np.linspace(0, np.pi / 2, m), m)
    points = np.stack([radius * np.cos(angle), radius * np.sin(angle)], axis=1)
    corners = [(0, 0), (0, 1), (1, 0), (1, 1)]  # DOLFINx' order: corners, then sides, then the middle
    local = corners if degree == 1 else [(2 * i, 2 * j) for i, j in corners] + [(0, 1), (1, 0), (1, 2), (2, 1), (1, 1)]
    starts = [(i, j) for i in range(0, m - 1, degree) for j in range(0, m - 1, degree)]
    cells = [[(i + di) * m + j + dj for di, dj in local] for i, j in starts]
    domain = ufl.Mesh(basix.ufl.element("Lagrange", "quadrilateral", degree, shape=(2,)))
    return dolfinx.mesh.create_mesh(MPI.COMM_SELF, np.array(cells, dtype=np.int64), domain, points)


def ring_problem(n, degree):
    supports = [Displacement(lambda x: np.abs(x[0]) < 1e-6, x=0.0), Displacement(lambda x: np.abs(x[1]) < 1e-6, y=0.0)]
    return MechanicsProblem(
        quarter_ring(n, degree),
        PlaneStrain(LinearElastic(E=E, nu=NU)),
        supports=supports,
        loads=[Pressure(at_radius(A), lambda t: P * t)],
        degree=degree,
    )


def meridian(n, degree, law, supports, **options):
    """Return the cylinder as an axisymmetric strip of n × 1 quadrilaterals, held in z."""
    mesh = dolfinx.mesh.create_rectangle(
        MPI.COMM_SELF, [[A, 0.0], [B, 10.0]], [n, 1], dolfinx.mesh.CellType.quadrilateral
    )
    held = Displacement(lambda x: (np.abs(x[1]) < 1e-6) | (np.abs(x[1] - 10.0) < 1e-6), y=0.0)
    return MechanicsProblem(mesh, Axisymmetric(law), supports=[held, *supports], degree=degree, **options)


def inside(x):
    return np.abs(x[0] - A) < 1e-6


@pytest.mark.parametrize("degree", [1, 2])
def test_the_displacement_of_a_quarter_ring_converges_with_the_order_of_its_degree(degree):
    errors = []
    for n in (4, 8, 16):
        problem = ring_problem(n, degree)
        march(problem, [1.0])
        x = ufl.SpatialCoordinate(problem.body.mesh)
        r = ufl.sqrt(ufl.dot(x, x))
        errors.append(l2_error(problem, radial(r) * x / r))
    orders = np.log2(np.array(errors[:-1]) / errors[1:])
    assert orders.min() > degree + 1 - 0.2
    assert errors[-1] < {1: 1e-2, 2: 1e-4}[degree] * radial(A) * B


@pytest.mark.parametrize("degree", [1, 2])
def test_the_axisymmetric_displacement_converges_with_the_order_of_its_degree(degree):
    errors = []
    for n in (4, 8, 16):
        problem = meridian(n, degree, LinearElastic(E=E, nu=NU), [], loads=[Pressure(inside, P)])
        march(problem, [1.0])
        x = ufl.SpatialCoordinate(problem.body.mesh)
        errors.append(l2_error(problem, ufl.as_vector([radial(x[0]), 0.0])))
    orders = np.log2(np.array(errors[:-1]) / errors[1:])
    assert orders.min() > degree + 1 - 0.2


@pytest.mark.parametrize("degree", [1, 2])
@pytest.mark.parametrize("cell", [dolfinx.mesh.CellType.triangle, dolfinx.mesh.CellType.quadrilateral])
def test_a_rotating_solid_cylinder_converges_with_the_order_of_its_degree(cell, degree):
    """Timoshenko & Goodier, section 32, in plane strain; the default rule suffices on the axis, too."""
    law = LinearElastic(E=1000.0, nu=NU)
    lame, shear = law.stiffness[0, 1], 0.5 * law.stiffness[5, 5]
    cubic = 0.01  # u = linear r − cubic r³ in a cylinder of radius 1
    linear = cubic * (3 * (lame + 2 * shear) + lame) / (2 * (lame + shear))
    force = 8 * (lame + 2 * shear) * cubic  # ρω²
    errors = []
    for n in (4, 8, 16):
        mesh = dolfinx.mesh.create_rectangle(MPI.COMM_SELF, [[0.0, 0.0], [1.0, 1.0]], [n, n], cell)
        held = [
            Displacement(lambda x: (x[1] < 1e-6) | (x[1] > 1 - 1e-6), y=0.0),
            Displacement(lambda x: x[0] < 1e-6, x=0.0),
        ]
        problem = MechanicsProblem(
            mesh, Axisymmetric(law), supports=held, loads=[BodyForce((lambda x, t: force * x[0], 0.0))], degree=degree
        )
        march(problem, [1.0])
        r = ufl.SpatialCoordinate(mesh)[0]
        errors.append(l2_error(problem, ufl.as_vector([linear * r - cubic * r**3, 0.0])))
    orders = np.log2(np.array(errors[:-1]) / errors[1:])
    assert orders.min() > degree + 1 - 0.2
    assert errors[-1] < {1: 1e-3, 2: 1e-5}[degree] * linear


def test_stresses_of_both_descriptions_are_lames():
    ring = ring_problem(16, 2)
    strip = meridian(16, 2, LinearElastic(E=E, nu=NU), [], loads=[Pressure(inside, P)])
    for problem in (ring, strip):
        march(problem, [1.0])
        region = problem.regions["body"]
        place = region.coordinates(np.arange(region.size))
        r = np.hypot(place[:, 0], place[:, 1]) if problem is ring else place[:, 0]
        sum_of_normals = region.committed[0][:, [0, 1]].sum(axis=1) if problem is ring else None
        if problem is ring:
            np.testing.assert_allclose(sum_of_normals, 2 * BULGE, rtol=2e-3)  # σ_rr + σ_θθ is constant
        else:
            np.testing.assert_allclose(region.committed[0][:, 0], BULGE * (1 - B**2 / r**2), atol=1e-2 * P)
            np.testing.assert_allclose(region.committed[0][:, 2], BULGE * (1 + B**2 / r**2), atol=1e-2 * P)
            np.testing.assert_allclose(region.committed[0][:, 1], 2 * NU * BULGE, atol=1e-2 * P)


# Plasticity ---------------------------------------------------------------------------------------------------------

YIELD = 240.0
FLOW = 2 * YIELD / np.sqrt(3)  # yield stress of plane strain


def hill(c):
    """Return pressure and outer displacement when the plastic zone reaches radius ``c``."""
    return FLOW * (np.log(c / A) + (1 - c**2 / B**2) / 2), (1 - HILL_NU**2) * FLOW * c**2 / (E * B)


HILL_NU = 0.3


@pytest.fixture(scope="module")
def burst():
    """Pressure and outer displacement of a cylinder whose inner wall is pushed outwards until it flows freely."""
    law = J2(E=E, nu=HILL_NU, yield_stress=YIELD)
    push = Displacement(inside, x=lambda t: t)
    # Two Gauss points a direction: full integration of degree 2 would lock in isochoric flow.
    problem = meridian(20, 2, law, [push], quadrature_degree=3)
    pressure, outer = [], []
    for t in (0.1, 0.15, 0.2, 0.25, 0.3, 0.4, 0.6, 1.0, 2.0):
        march(problem, [t])
        pressure.append(problem.reaction(inside)[0] / (2 * np.pi * A * 10.0))
        at_b = fem.locate_dofs_geometrical(
            (problem.V.sub(0), problem.V.sub(0).collapse()[0]), lambda x: np.abs(x[0] - B) < 1e-6
        )[0]
        outer.append(problem.u.x.array[at_b].mean())
    return np.array(pressure), np.array(outer)


def test_a_cylinder_that_yields_follows_hills_pressure_and_displacement(burst):
    pressure, outer = burst
    c = np.linspace(A, B, 400)
    exact_pressure, exact_outer = hill(c)
    partly = (outer > exact_outer[0]) & (outer < exact_outer[-1])
    assert partly.sum() >= 3
    np.testing.assert_allclose(pressure[partly], np.interp(outer[partly], exact_outer, exact_pressure), rtol=6e-3)


def test_the_limit_pressure_is_the_one_of_ideal_plasticity(burst):
    limit = FLOW * np.log(B / A)
    assert burst[0][-1] == pytest.approx(limit, rel=2e-3)
    assert burst[0].max() < limit * 1.002


def test_first_yield_comes_at_lames_pressure():
    # Von Mises at the inner wall with σ_zz = ν (σ_rr + σ_θθ).
    law = J2(E=E, nu=HILL_NU, yield_stress=YIELD)
    radius = B**2 / A**2
    s_r, s_t = BULGE / P * (1 - radius), BULGE / P * (1 + radius)
    s_z = HILL_NU * (s_r + s_t)
    first = YIELD / np.sqrt(((s_r - s_t) ** 2 + (s_t - s_z) ** 2 + (s_z - s_r) ** 2) / 2)
    for factor, yields in ((0.98, False), (1.05, True)):
        problem = meridian(40, 2, law, [], loads=[Pressure(inside, factor * first)])
        march(problem, [1.0])
        region = problem.regions["body"]
        p = region.history.committed[:, region.material.state_layout["equivalent_plastic_strain"]]
        assert (p.max() > 0) == yields

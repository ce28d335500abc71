"""Patch tests: every element reproduces constant stress on distorted meshes, and degree 2 pure bending exactly.

Irons & Razzaque 1972 ("Experience with the patch test", doi 10.1016/B978-0-12-068650-6.50029-1); Taylor, Simo,
Zienkiewicz & Chan 1986, doi 10.1002/nme.1620220105. The numbers are Hooke's law, computed here by hand from the Lamé
constants, and Euler-Bernoulli bending, which is the exact solution of plane stress for a pure moment.
"""

from pointlaw.fem.mpi import MPI  # isort: skip

import dolfinx
import numpy as np
import pytest

from pointlaw.fem import Displacement, MechanicsProblem, Traction, march
from pointlaw.materials import J2, LinearElastic, PlaneStrain, PlaneStress

pytestmark = pytest.mark.fem

E, NU = 200e3, 0.3
LAME, SHEAR = E * NU / ((1 + NU) * (1 - 2 * NU)), E / (2 * (1 + NU))
KINDS = [(cell, degree) for cell in ("triangle", "quadrilateral", "tetrahedron", "hexahedron") for degree in (1, 2)]
GRADIENT = 1e-3 * np.array([[1.0, 0.4, -0.3], [0.2, -0.7, 0.5], [0.6, 0.1, 0.9]])


def distorted(cell, n=3):
    """Return the unit square or cube with all inner nodes shifted at random."""
    kind = dolfinx.mesh.to_type(cell)
    if cell in ("triangle", "quadrilateral"):
        mesh = dolfinx.mesh.create_unit_square(MPI.COMM_SELF, n, n, kind)
    else:
        mesh = dolfinx.mesh.create_unit_cube(MPI.COMM_SELF, n, n, n, kind)
    x, dim = mesh.geometry.x, mesh.geometry.dim
    inside = np.all((x[:, :dim] > 1e-9) & (x[:, :dim] < 1 - 1e-9), axis=1)
    x[inside, :dim] += np.random.default_rng(1).uniform(-0.08, 0.08, (inside.sum(), dim))
    return mesh


def surface(dim):
    return lambda x: np.any((np.abs(x[:dim]) < 1e-9) | (np.abs(x[:dim] - 1) < 1e-9), axis=0)


def affine(axis, dim, factor=1.0):
    return lambda x, t: factor * t * (GRADIENT[axis, :dim] @ x[:dim])


def hooke(dim):
    """Return the stress vector in Mandel order of plane strain or a solid, from the Lamé constants."""
    gradient = np.zeros((3, 3))
    gradient[:dim, :dim] = GRADIENT[:dim, :dim]
    strain = (gradient + gradient.T) / 2
    stress = LAME * np.trace(strain) * np.eye(3) + 2 * SHEAR * strain
    pairs = [(0, 0), (1, 1), (0, 1)] if dim == 2 else [(0, 0), (1, 1), (2, 2), (1, 2), (0, 2), (0, 1)]
    return np.array([stress[i, j] * (1 if i == j else np.sqrt(2)) for i, j in pairs])


@pytest.mark.parametrize(("cell", "degree"), KINDS)
def test_constant_strain_gives_constant_stress_on_a_distorted_mesh(cell, degree):
    mesh = distorted(cell)
    dim = mesh.geometry.dim
    elastic = LinearElastic(E=E, nu=NU)
    motion = dict(zip("xyz", (affine(axis, dim) for axis in range(dim)), strict=False))
    problem = MechanicsProblem(
        mesh,
        PlaneStrain(elastic) if dim == 2 else elastic,
        supports=[Displacement(surface(dim), **motion)],
        degree=degree,
        rtol=1e-14,
    )
    march(problem, [1.0])
    x = problem.V.tabulate_dof_coordinates()[:, :dim]
    np.testing.assert_allclose(problem.u.x.array.reshape(-1, dim), x @ GRADIENT[:dim, :dim].T, atol=1e-13)
    stress = problem.fields.arrays()[0].reshape(-1, len(hooke(dim)))
    np.testing.assert_allclose(stress, np.tile(hooke(dim), (len(stress), 1)), atol=1e-10 * np.abs(hooke(dim)).max())


@pytest.mark.parametrize(("cell", "degree"), KINDS)
def test_constant_stress_comes_out_under_uniform_traction(cell, degree):
    # Only rigid motions are held, everything else is free: the weak form of the traction is tested too.
    mesh = distorted(cell)
    dim = mesh.geometry.dim
    elastic = LinearElastic(E=E, nu=NU)
    supports = [Displacement(lambda x, a=a: np.isclose(x[a], 0.0), **{"xyz"[a]: 0.0}) for a in range(dim)]
    pull = [100.0] + [0.0] * (dim - 1)
    problem = MechanicsProblem(
        mesh,
        PlaneStress(elastic) if dim == 2 else elastic,
        supports=supports,
        loads=[Traction(lambda x: np.isclose(x[0], 1.0), pull)],
        degree=degree,
        rtol=1e-14,
    )
    march(problem, [1.0])
    x = problem.V.tabulate_dof_coordinates()[:, :dim]
    expected = x * (100.0 / E * np.array([1.0, -NU, -NU])[:dim])
    np.testing.assert_allclose(problem.u.x.array.reshape(-1, dim), expected, atol=1e-14)


@pytest.mark.parametrize(("cell", "degree"), [("quadrilateral", 1), ("tetrahedron", 2)])
def test_constant_plastic_strain_passes_the_patch_test_too(cell, degree):
    mesh = distorted(cell)
    dim = mesh.geometry.dim
    law = J2(E=E, nu=NU, yield_stress=100.0, H=2000.0)
    law = PlaneStrain(law) if dim == 2 else law
    motion = {name: affine(a, dim, 4.0) for a, name in enumerate("xyz"[:dim])}
    problem = MechanicsProblem(mesh, law, supports=[Displacement(surface(dim), **motion)], degree=degree, rtol=1e-12)
    march(problem, [0.5, 1.0])
    # What the law answers when it is asked alone, along the same two steps:
    gradient = 4.0 * GRADIENT[:dim, :dim]
    e = (gradient + gradient.T) / 2
    pairs = [(0, 0), (1, 1), (0, 1)] if dim == 2 else [(0, 0), (1, 1), (2, 2), (1, 2), (0, 2), (0, 1)]
    strain = np.array([[e[i, j] * (1 if i == j else np.sqrt(2)) for i, j in pairs]])
    half = law.update(0.5 * strain, law.initial_state(1), 0.5)
    alone = law.update(strain, half.state, 0.5).stress[0]
    stress = problem.fields.arrays()[0].reshape(-1, len(alone))
    np.testing.assert_allclose(stress, np.tile(alone, (len(stress), 1)), atol=1e-8 * np.abs(alone).max())
    assert problem.regions["body"].history.committed[:, -1].min() > 1e-3


@pytest.mark.parametrize("cell", ["triangle", "quadrilateral"])
def test_pure_bending_is_exact_with_degree_two(cell):
    mesh = dolfinx.mesh.create_unit_square(MPI.COMM_SELF, 2, 2, dolfinx.mesh.to_type(cell))
    mesh.geometry.x[:, 0] += 0.3 * mesh.geometry.x[:, 1]  # parallelograms: affine cells that are not aligned
    curvature = 1e-3

    def edge(x):
        s = x[0] - 0.3 * x[1]
        return (np.abs(s) < 1e-9) | (np.abs(s - 1) < 1e-9) | (np.abs(x[1]) < 1e-9) | (np.abs(x[1] - 1) < 1e-9)

    def across(x):
        return -curvature * (x[0] ** 2 + NU * x[1] ** 2) / 2

    supports = [Displacement(edge, x=lambda x, t: t * curvature * x[0] * x[1], y=lambda x, t: t * across(x))]
    problem = MechanicsProblem(mesh, PlaneStress(LinearElastic(E=E, nu=NU)), supports=supports, degree=2, rtol=1e-14)
    march(problem, [1.0])
    x = problem.V.tabulate_dof_coordinates().T
    expected = np.stack([curvature * x[0] * x[1], across(x)], axis=1)
    np.testing.assert_allclose(problem.u.x.array.reshape(-1, 2), expected, atol=1e-14)
    region = problem.regions["body"]
    height = region.coordinates(np.arange(region.size))[:, 1]
    stress = region.committed[0]
    np.testing.assert_allclose(stress[:, 0], E * curvature * height, atol=1e-9)
    np.testing.assert_allclose(stress[:, 1:], 0.0, atol=1e-9)

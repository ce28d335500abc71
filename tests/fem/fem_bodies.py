"""Small bodies and laws that the tests of the finite-element room share."""

from pointlaw.fem.mpi import MPI  # isort: skip - MPI before DOLFINx

import basix.ufl
import dolfinx
import numpy as np
import ufl

from pointlaw.fem import TaggedMesh
from pointlaw.materials import J2, LinearElastic, Material, PlaneStrain, PointStatus

ELASTIC_3D = LinearElastic(E=1000.0, nu=0.3)
ELASTIC_2D = PlaneStrain(ELASTIC_3D)
PLASTIC_3D = J2(E=1000.0, nu=0.3, yield_stress=2.0, H=20.0)
PLASTIC_2D = PlaneStrain(PLASTIC_3D)
SIDES = {"left": (0, 0.0), "right": (0, 1.0), "bottom": (1, 0.0), "top": (1, 1.0), "back": (2, 0.0), "front": (2, 1.0)}


def with_sides(mesh, *, parts=None):
    """Return the unit square or cube ``mesh`` with its sides named, and cell tags from ``parts`` {name: marker}."""
    dim = mesh.topology.dim
    names, entities, values = {}, [], []
    for tag, (name, (axis, where)) in enumerate(list(SIDES.items())[: 2 * dim], start=1):
        facets = dolfinx.mesh.locate_entities_boundary(mesh, dim - 1, lambda x, a=axis, w=where: np.isclose(x[a], w))
        names[name] = (dim - 1, tag)
        entities.append(facets)
        values.append(np.full(len(facets), tag, dtype=np.int32))
    entities, values = np.concatenate(entities), np.concatenate(values)
    order = np.argsort(entities)
    facet_tags = dolfinx.mesh.meshtags(mesh, dim - 1, entities[order].astype(np.int32), values[order])
    cell_tags = None
    if parts:
        count = mesh.topology.index_map(dim).size_local + mesh.topology.index_map(dim).num_ghosts
        numbers = np.zeros(count, dtype=np.int32)
        for tag, (name, marker) in enumerate(parts.items(), start=1):
            names[name] = (dim, tag)
            numbers[dolfinx.mesh.locate_entities(mesh, dim, marker)] = tag
        cell_tags = dolfinx.mesh.meshtags(mesh, dim, np.arange(count, dtype=np.int32), numbers)
    return TaggedMesh(mesh, cell_tags, facet_tags, names, "the unit body")


def square(n=2, cell="quadrilateral", *, parts=None, comm=MPI.COMM_WORLD):
    """Return the unit square of n × n (× 2 triangles) cells with its sides named."""
    kind = dolfinx.mesh.to_type(cell)
    return with_sides(dolfinx.mesh.create_unit_square(comm, n, n, kind), parts=parts)


def cube(n=2, cell="hexahedron", *, parts=None, comm=MPI.COMM_WORLD):
    """Return the unit cube of n³ (× 6 tetrahedra) cells with its sides named."""
    kind = dolfinx.mesh.to_type(cell)
    return with_sides(dolfinx.mesh.create_unit_cube(comm, n, n, n, kind), parts=parts)


def mesh_of(cells, points, cell, degree=1):
    """Return the DOLFINx mesh of ``cells`` (DOLFINx' order of nodes) and ``points`` on this process alone."""
    points = np.asarray(points, dtype=float)
    domain = ufl.Mesh(basix.ufl.element("Lagrange", cell, degree, shape=(points.shape[1],)))
    return dolfinx.mesh.create_mesh(MPI.COMM_SELF, np.asarray(cells, dtype=np.int64), domain, points)


def slit_plate(n=4, comm=MPI.COMM_SELF):
    """Return a unit plate of n × n cells with a slit from the left side to near its middle: two nodes at each place."""
    points = [(i / n, j / n) for j in range(n + 1) for i in range(n + 1)]
    upper = {(n // 2) * (n + 1) + i: len(points) + i for i in range(n // 2)}
    points += [(i / n, 0.5) for i in range(n // 2)]
    points = [tuple(x + 0.07 * np.sin(np.pi * x) for x in point) for point in points]  # no round numbers
    cells = []
    for j in range(n):
        for i in range(n):
            corners = [(j + b) * (n + 1) + i + a for b in (0, 1) for a in (0, 1)]
            cells.append([upper.get(k, k) for k in corners] if j >= n // 2 else corners)
    domain = ufl.Mesh(basix.ufl.element("Lagrange", "quadrilateral", 1, shape=(2,)))
    if comm.rank > 0:
        cells, points = np.empty((0, 4)), np.empty((0, 2))
    return dolfinx.mesh.create_mesh(comm, np.array(cells, dtype=np.int64), domain, np.array(points, dtype=float))


def move_inner_nodes(mesh, amount, seed=0):
    """Shift the geometry nodes inside the unit body by random vectors of length up to ``amount`` a direction."""
    x, dim = mesh.geometry.x, mesh.geometry.dim
    inside = np.all((x[:, :dim] > 1e-9) & (x[:, :dim] < 1 - 1e-9), axis=1)
    x[inside, :dim] += np.random.default_rng(seed).uniform(-amount, amount, (inside.sum(), dim))
    return mesh


class Spy(Material):
    """Another law, with a count of its calls and a failure on demand.

    ``fail(strain, call)`` returns which rows fail in call number ``call`` (from 1); their stress becomes NaN.
    """

    def __init__(self, law, fail=None, ask=None):
        self.law, self.fail, self.ask = law, fail, ask
        self.kinematics, self.state_layout, self.symmetric = law.kinematics, law.state_layout, law.symmetric
        self.calls, self.with_tangent, self.dts = 0, 0, []

    def initial_state(self, points):
        return self.law.initial_state(points)

    def update(self, strain, state, dt, *, tangent=True):
        self.calls += 1
        self.with_tangent += tangent
        self.dts.append(dt)
        answer = self.law.update(strain, state, dt, tangent=tangent)
        if self.fail is not None:
            rows = np.broadcast_to(self.fail(strain, self.calls), len(strain))
            answer.stress[rows] = np.nan
            answer.status[rows] = PointStatus.FAILED
        if self.ask is not None:
            answer.dt_factor = self.ask(strain, dt)
        return answer

"""From supports and loads to boundary conditions and integrals whose values follow the time.

Values live in DOLFINx constants (or functions, where they vary in space), so that a new time changes numbers only and
compiles nothing.
"""

from pointlaw.fem.mpi import MPI, agree  # isort: skip  # noqa: F401 - MPI first

from collections.abc import Callable, Iterable, Sequence
from typing import Any

import numpy as np
import ufl
from dolfinx import fem

from pointlaw.errors import MeshError, SetupError
from pointlaw.fem.loads import LOADS, BodyForce, Displacement, Evaluator, Load, Point, Pressure, Traction
from pointlaw.fem.strain import weight
from pointlaw.fem.tagged_mesh import TaggedMesh, place_name
from pointlaw.tensors import Kinematics

AXES = "xyz"


class Supports:
    """Dirichlet conditions; ``bcs`` is what DOLFINx takes, ``space(axis)`` the space of a displacement component.

    Raises ``MeshError`` for a place that the mesh lacks, ``SetupError`` for a direction it lacks and for what is no
    list of displacements.
    """

    def __init__(
        self, space: Callable[[int], fem.FunctionSpace], body: TaggedMesh, displacements: Sequence[Displacement]
    ):
        self.bcs: list[fem.DirichletBC] = []
        self._values: list[tuple[Any, Evaluator]] = []
        self._comm = body.mesh.comm
        for displacement in _listed("supports", displacements, (Displacement,), "loads"):
            for axis, value in displacement.components.items():
                place = place_name(displacement.where)
                if axis >= body.mesh.geometry.dim:
                    raise SetupError(f"Displacement at {place} prescribes {AXES[axis]} of a 2D mesh.")
                what = f"The displacement {AXES[axis]} at {place}"
                self._add(space(axis), body, displacement.where, Evaluator(value, what))

    def set_time(self, t: float) -> None:
        """Put the values at time ``t`` into the boundary conditions; collective."""
        _put(self._values, t, self._comm)

    def _add(self, component: fem.FunctionSpace, body: TaggedMesh, where: Any, evaluator: Evaluator) -> None:
        # A condition that varies in space needs the scalar space of its component; a uniform one a number only.
        if evaluator.varies:
            scalar, _ = component.collapse()
            target: Any = fem.Function(scalar)
            dofs = locate_dofs((component, scalar), body, where)
        else:
            target = fem.Constant(body.mesh, 0.0)
            dofs = locate_dofs(component, body, where)
        self.bcs.append(fem.dirichletbc(target, dofs, component))
        self._values.append((target, evaluator))


def locate_dofs(space: Any, body: TaggedMesh, where: Any) -> Any:
    """Return the local degrees of freedom of ``space`` at a place; raises ``MeshError`` if there are none."""
    if callable(where):
        pair, marker = _collapsed(space), where
        if isinstance(where, Point):
            marker = where.onto_node(pair[1].tabulate_dof_coordinates().T, body.mesh.comm)
        dofs = fem.locate_dofs_geometrical(pair, marker)
        count = len(dofs[0]) if isinstance(dofs, list) else len(dofs)
        if body.mesh.comm.allreduce(count) == 0:
            raise MeshError(f"{body.source} has no node at {place_name(where)}.")
        return dofs if isinstance(space, tuple) else dofs[0]
    facets = body.facets(where)
    body.mesh.topology.create_connectivity(body.dim - 1, body.dim)
    return fem.locate_dofs_topological(space, body.dim - 1, facets)


def _collapsed(space: Any) -> tuple[fem.FunctionSpace, fem.FunctionSpace]:
    # Coordinates of dofs exist in a collapsed space only.
    return space if isinstance(space, tuple) else (space, space.collapse()[0])


class Loads:
    """External virtual work of tractions, pressures and body forces; ``work(u, v)`` is its UFL form.

    Raises ``MeshError`` for a place that the mesh lacks, ``SetupError`` for a wrong number of components and for what
    is no list of loads.
    """

    def __init__(self, V: fem.FunctionSpace, body: TaggedMesh, kinematics: Kinematics, loads: Sequence[Load]):
        self._V, self._body, self._kinematics = V, body, kinematics
        self._values: list[tuple[Any, Evaluator]] = []
        # DOLFINx takes one list of subdomains for all integrals of a kind; each load has its number in it.
        self._places: dict[str, list[tuple[int, np.ndarray]]] = {"ds": [], "dx": []}
        # Left alone, UFL adds up the degrees of all factors of a following load, far beyond any use.
        self._metadata = {"quadrature_degree": 2 * V.element.basix_element.degree + 2}
        self._terms: list[tuple[Load, Any, ufl.Measure]] = [
            self._term(load) for load in _listed("loads", loads, LOADS, "supports")
        ]
        self.follows = kinematics.finite and any(isinstance(load, Pressure) for load in loads)

    def set_time(self, t: float) -> None:
        """Put the values at time ``t`` into the coefficients; collective."""
        _put(self._values, t, self._V.mesh.comm)

    def work(self, u: ufl.core.expr.Expr, v: ufl.core.expr.Expr) -> ufl.Form | None:
        """Return the external virtual work, or ``None`` if there is no load."""
        form = None
        factor = weight(self._kinematics, self._V.mesh)
        for load, value, measure in self._terms:
            if isinstance(load, Pressure):
                n = ufl.FacetNormal(self._V.mesh)
                if self._kinematics.finite:  # Nanson: n da = cof F · N dA
                    n = ufl.dot(_cofactor(ufl.Identity(len(u)) + ufl.grad(u)), n)
                term = -value * ufl.dot(n, v) * factor * measure
            else:
                term = ufl.dot(value, v) * factor * measure
            form = term if form is None else form + term
        return form

    def _term(self, load: Load) -> tuple[Load, Any, ufl.Measure]:
        mesh, dim = self._V.mesh, self._V.mesh.geometry.dim
        where = "on the whole body" if load.where is None else f"at {place_name(load.where)}"
        what = f"{type(load).__name__} {where}"
        if isinstance(load, Pressure):
            value = self._coefficient(load.value, what)
        else:
            if isinstance(load.value, str) or not isinstance(load.value, Sequence | np.ndarray):
                given = "a function" if callable(load.value) else repr(load.value)
                raise SetupError(
                    f"{what} has the value {given}; give one for each direction, each a number or a function: "
                    f"{('(0.0, -1.0)', '(0.0, 0.0, -1.0)')[dim == 3]}."
                )
            if len(load.value) != dim:
                raise SetupError(f"{what} has {len(load.value)} components, but the mesh has {dim} dimensions.")
            value = ufl.as_vector([self._coefficient(v, f"{what}, {AXES[i]}") for i, v in enumerate(load.value)])
        if isinstance(load, Traction | Pressure):
            return load, value, self._measure("ds", self._body.boundary(load.where))
        if load.where is None:
            return load, value, ufl.Measure("dx", domain=mesh, metadata=self._metadata)
        return load, value, self._measure("dx", self._body.cells(load.where))

    def _measure(self, kind: str, entities: np.ndarray) -> ufl.Measure:
        places = self._places[kind]
        places.append((len(places) + 1, entities))
        return ufl.Measure(kind, domain=self._V.mesh, subdomain_data=places, metadata=self._metadata)(len(places))

    def _coefficient(self, value: Any, what: str) -> Any:
        evaluator = Evaluator(value, what)
        if evaluator.varies:
            degree = self._V.element.basix_element.degree
            target: Any = fem.Function(fem.functionspace(self._V.mesh, ("Lagrange", degree)))
        else:
            target = fem.Constant(self._V.mesh, 0.0)
        self._values.append((target, evaluator))
        return target


def _listed(name: str, given: Any, kinds: tuple[type, ...], other: str) -> list[Any]:
    """Return ``given`` as a list; raises ``SetupError`` if it is none, or holds something else than ``kinds``."""
    if not isinstance(given, Iterable):
        raise SetupError(f"{name} = {given!r} must be a list; write {name}=[…], also around a single one.")
    entries = list(given)
    for entry in entries:
        if not isinstance(entry, kinds):
            what = type(entry).__name__
            hint = f"; put it into {other}" if isinstance(entry, (Displacement, *LOADS)) else ""
            raise SetupError(f"{name} holds {entry!r}, a {what}, which does not belong there{hint}.")
    return entries


def _put(values: list[tuple[Any, Evaluator]], t: float, comm: Any) -> None:
    """Give constants and functions the values that their evaluators have at time ``t``."""
    error = None
    try:
        for target, evaluator in values:
            if isinstance(target, fem.Function):
                target.interpolate(lambda x, e=evaluator: e.over(x, t))
            else:
                target.value = evaluator.at(t)
    except Exception as caught:  # whatever a user's function raises where this rank looks, the others must not go on
        error = caught
    agree(comm, error)


def _cofactor(F: ufl.core.expr.Expr) -> ufl.core.expr.Expr:
    """Return the cofactor J F⁻ᵀ as a polynomial of ``F``, whose derivative compiles to little code."""
    if F.ufl_shape == (2, 2):
        return ufl.as_matrix([[F[1, 1], -F[1, 0]], [-F[0, 1], F[0, 0]]])
    columns = [ufl.as_vector([F[i, j] for i in range(3)]) for j in range(3)]
    normals = [ufl.cross(columns[(j + 1) % 3], columns[(j + 2) % 3]) for j in range(3)]
    return ufl.as_matrix([[normals[j][i] for j in range(3)] for i in range(3)])


__all__ = ["BodyForce", "Displacement", "Loads", "Pressure", "Supports", "Traction", "locate_dofs"]

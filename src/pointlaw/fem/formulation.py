"""Which unknowns describe the motion of a body, and how the strain of a law follows from them.

The displacement alone is enough unless the material is nearly incompressible; then low-order elements lock, and the
mean dilatation of each cell becomes an unknown of its own. Any law, learned ones included, fits both, because only the
strain that it is given changes.
"""

from pointlaw.fem.mpi import MPI  # isort: skip  # noqa: F401 - MPI first

from abc import ABC, abstractmethod

import basix.ufl
import dolfinx
import numpy as np
import ufl
from dolfinx import fem

from pointlaw.errors import SetupError
from pointlaw.fem.strain import strain
from pointlaw.materials import Material, MeanDilatation


class Formulation(ABC):
    """The unknowns of a body.

    Attributes
    ----------
    unknown
        The function that Newton solves for.
    u
        The displacement as a function of its own; after :meth:`extract` that of ``unknown``.
    strain
        UFL strain ``[m]`` of ``unknown`` that the law is given.
    """

    unknown: fem.Function
    u: fem.Function
    strain: ufl.core.expr.Expr

    @property
    @abstractmethod
    def motion(self) -> ufl.core.expr.Expr:
        """The displacement as a part of ``unknown``, ``[gdim]``."""

    @abstractmethod
    def part(self, argument: ufl.core.expr.Expr) -> ufl.core.expr.Expr:
        """Return the displacement part of a test or trial function of the space of ``unknown``."""

    @abstractmethod
    def space(self, axis: int) -> fem.FunctionSpace:
        """Return the space of one displacement component inside the space of ``unknown``."""

    @abstractmethod
    def law(self, material: Material) -> Material:
        """Return the law that answers for ``strain``."""

    @abstractmethod
    def extract(self) -> None:
        """Put the displacement part of ``unknown`` into ``u``."""

    @abstractmethod
    def insert(self) -> None:
        """Put ``u`` into ``unknown``."""

    @abstractmethod
    def displacement_dofs(self) -> np.ndarray | None:
        """Return the dof of ``unknown`` of each local dof of ``u``; ``None`` if they are the same."""

    @property
    def cell_dofs(self) -> np.ndarray:
        """Dofs ``[cells, k]`` of the unknowns that live in single cells, ghost cells included; k = 0 if none do."""
        return np.empty((len(self.u.function_space.dofmap.list), 0), dtype=np.int32)


class PureDisplacement(Formulation):
    """The displacement is the only unknown."""

    def __init__(self, mesh: dolfinx.mesh.Mesh, material: Material, degree: int):
        V = fem.functionspace(mesh, ("Lagrange", degree, (mesh.geometry.dim,)))
        self.u = self.unknown = fem.Function(V, name="displacement")
        self.strain = strain(material.kinematics, self.u)

    @property
    def motion(self) -> ufl.core.expr.Expr:
        """The displacement itself."""
        return self.u

    def part(self, argument: ufl.core.expr.Expr) -> ufl.core.expr.Expr:
        """Return the argument itself."""
        return argument

    def space(self, axis: int) -> fem.FunctionSpace:
        """Return the space of one component."""
        return self.u.function_space.sub(axis)

    def law(self, material: Material) -> Material:
        """Return the material itself."""
        return material

    def extract(self) -> None:
        """Do nothing: both are the same function."""

    def insert(self) -> None:
        """Do nothing: both are the same function."""

    def displacement_dofs(self) -> None:
        """Return ``None``: the dofs are the same."""
        return


class Mixed(Formulation):
    """Displacement, dilatation θ and pressure p: the three-field form of Simo, Taylor & Pister (1985).

    The law answers for the deformation whose volume change is θ, and p enforces θ = J in each cell's mean (see
    :class:`~pointlaw.materials.MeanDilatation`). Cells of degree 1 have one θ and one p, quadrilaterals and hexahedra
    of degree 2 linear ones. The law may be any law, which a split of the energy would not allow.

    Raises ``SetupError`` for pairs that do not pass the inf-sup condition: simplices of degree 1, tetrahedra of any.
    """

    def __init__(self, mesh: dolfinx.mesh.Mesh, material: Material, degree: int):
        cell, dim = mesh.topology.cell_name(), mesh.geometry.dim
        tensor_product = cell in ("quadrilateral", "hexahedron")
        if not tensor_product and not (cell == "triangle" and degree == 2):
            raise SetupError(
                f"formulation='mixed' on {cell} cells of degree {degree} is not stable; "
                "use quadrilaterals or hexahedra of degree 1 or 2, or triangles of degree 2."
            )
        family, order = ("DPC", 1) if tensor_product and degree == 2 else ("DG", 0)
        scalar = basix.ufl.element(family, cell, order)
        motion = basix.ufl.element("Lagrange", cell, degree, shape=(dim,))
        self._space = fem.functionspace(mesh, basix.ufl.mixed_element([motion, scalar, scalar]))
        self.unknown = fem.Function(self._space, name="displacement_dilatation_pressure")
        V, self._dofs = self._space.sub(0).collapse()
        self.u = fem.Function(V, name="displacement")
        self._motion, theta, p = ufl.split(self.unknown)
        own = strain(material.kinematics, self._motion)
        self.strain = ufl.as_vector([*(own[i] for i in range(material.kinematics.size)), theta, p])
        if material.kinematics.finite:
            ones, dofs = self._space.sub(1).collapse()
            start = fem.Function(ones)
            start.interpolate(lambda x: np.ones(x.shape[1]))
            self.unknown.x.array[dofs] = start.x.array
        self._pressure_unit = MeanDilatation(material).pressure_unit

    @property
    def motion(self) -> ufl.core.expr.Expr:
        """The displacement part of the unknown."""
        return self._motion

    def part(self, argument: ufl.core.expr.Expr) -> ufl.core.expr.Expr:
        """Return the displacement part of an argument."""
        return ufl.split(argument)[0]

    def space(self, axis: int) -> fem.FunctionSpace:
        """Return the space of one component of the displacement."""
        return self._space.sub(0).sub(axis)

    def law(self, material: Material) -> Material:
        """Return the material with dilatation and pressure; all regions count pressure in the same unit."""
        return MeanDilatation(material, pressure_unit=self._pressure_unit)

    def extract(self) -> None:
        """Put the displacement part of ``unknown`` into ``u``."""
        self.u.x.array[:] = self.unknown.x.array[self._dofs]

    def insert(self) -> None:
        """Put ``u`` into ``unknown``."""
        self.unknown.x.array[self._dofs] = self.u.x.array

    def displacement_dofs(self) -> np.ndarray:
        """Return the dof of ``unknown`` of each local dof of ``u``."""
        return np.asarray(self._dofs)

    @property
    def cell_dofs(self) -> np.ndarray:
        """Dofs ``[cells, k]`` of dilatation and pressure."""
        return np.hstack([self._space.sub(part).dofmap.list for part in (1, 2)])


FORMULATIONS: dict[str, type[PureDisplacement] | type[Mixed]] = {
    "displacement": PureDisplacement,
    "mixed": Mixed,
}

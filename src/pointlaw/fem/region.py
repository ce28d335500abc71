"""A material on some cells of a mesh, usable alone in any variational form.

A region turns the displacement into strains at its quadrature points, asks its material, and puts stress and tangent
into two coefficients that a UFL form contains. The history belongs to the region; DOLFINx sees the coefficients only.
"""

from pointlaw.fem.mpi import MPI  # isort: skip - MPI before DOLFINx

import math
from dataclasses import dataclass
from typing import Any

import basix.ufl
import dolfinx
import numpy as np
import ufl
from dolfinx import fem

from pointlaw.errors import SetupError
from pointlaw.fem.history import History
from pointlaw.fem.jit import jit_options
from pointlaw.fem.strain import default_quadrature_degree, strain
from pointlaw.materials import Material, PointStatus, Response
from pointlaw.tensors import Array, Kinematics


@dataclass(frozen=True)
class Verdict:
    """How the law fared in one evaluation, over all points (of all ranks where it says so).

    ``failed`` and ``out_of_range`` count points; ``dt_factor`` is the smallest step ratio that was asked for.
    """

    failed: int = 0
    out_of_range: int = 0
    dt_factor: float = math.inf

    def __add__(self, other: "Verdict") -> "Verdict":
        return Verdict(
            self.failed + other.failed, self.out_of_range + other.out_of_range, min(self.dt_factor, other.dt_factor)
        )

    def reduce(self, comm: Any) -> "Verdict":
        """Return the verdict of all ranks; every rank must call it."""
        counts = np.array([self.failed, self.out_of_range], dtype=np.int64)
        comm.Allreduce(MPI.IN_PLACE, counts, op=MPI.SUM)
        return Verdict(int(counts[0]), int(counts[1]), comm.allreduce(self.dt_factor, op=MPI.MIN))


class QuadratureFields:
    """Stress and tangent coefficients at the quadrature points of a mesh, shared by the regions on it.

    ``stress`` has shape ``[m]`` and ``tangent`` ``[m, m]`` at each point, in the order of ``kinematics``.
    """

    def __init__(self, mesh: dolfinx.mesh.Mesh, kinematics: Kinematics, degree: int):
        self.mesh, self.kinematics, self.degree = mesh, kinematics, degree
        # The cells of each region on these fields; DOLFINx takes one such list for all integrals of a form.
        self.subdomains: list[tuple[int, np.ndarray]] = []
        m, cell = kinematics.size, mesh.basix_cell()
        element = basix.ufl.quadrature_element(cell, value_shape=(m,), degree=degree)
        self.points, self.weights = element.custom_quadrature()
        self.stress = fem.Function(fem.functionspace(mesh, element), name="stress")
        self.tangent = fem.Function(
            fem.functionspace(mesh, basix.ufl.quadrature_element(cell, value_shape=(m, m), degree=degree)),
            name="tangent",
        )

    @property
    def metadata(self) -> dict[str, Any]:
        """Metadata of every measure that integrates these coefficients."""
        return {"quadrature_degree": self.degree, "quadrature_scheme": "default"}

    def arrays(self) -> tuple[Array, Array]:
        """Return views ``[cells, q, m]`` and ``[cells, q, m, m]`` of both coefficients, ghost cells included."""
        q, m = len(self.points), self.kinematics.size
        return self.stress.x.array.reshape(-1, q, m), self.tangent.x.array.reshape(-1, q, m, m)


class Region:
    """A material on some cells, with its history.

    Parameters
    ----------
    material
        Any :class:`~pointlaw.materials.Material` whose kinematics fit the mesh.
    u
        Displacement, a vector Lagrange function.
    cells
        Local indices of the *owned* cells ``[c]``; all owned cells if not given.
    degree
        Quadrature degree; the default integrates the stiffness of an undistorted element exactly.
    fields
        Coefficients to write into, so that several regions share one form; own ones if not given.
    expression
        UFL strain ``[m]`` to use instead of the one of the kinematics (an added eigenstrain, an enhanced mode, …).
    name
        What messages call this region.

    Raises
    ------
    SetupError
        If the kinematics of the material and the mesh (or ``fields``), or its states and its layout, do not fit.
    """

    def __init__(
        self,
        material: Material,
        u: fem.Function,
        *,
        cells: np.ndarray | None = None,
        degree: int | None = None,
        fields: QuadratureFields | None = None,
        expression: ufl.core.expr.Expr | None = None,
        name: str = "body",
    ):
        self.material, self.u, self.name = material, u, name
        mesh = u.function_space.mesh
        kinematics = material.kinematics
        self.strain = strain(kinematics, u) if expression is None else expression
        if degree is None:
            degree = default_quadrature_degree(mesh.topology.cell_name(), u.function_space.element.basix_element.degree)
        self.fields = QuadratureFields(mesh, kinematics, degree) if fields is None else fields
        if self.fields.kinematics.size != kinematics.size or self.fields.kinematics.finite != kinematics.finite:
            raise SetupError(
                f"The law of region '{name}' has kinematics {kinematics}, but its mesh is set up for "
                f"{self.fields.kinematics}: all regions of a body need the same strain measure."
            )
        owned = mesh.topology.index_map(mesh.topology.dim).size_local
        self.cells = np.arange(owned, dtype=np.int32) if cells is None else np.asarray(cells, dtype=np.int32)
        if len(self.cells) and self.cells.max() >= owned:
            raise SetupError(f"Region '{name}' names cell {self.cells.max()}, but this rank owns {owned} cells.")
        # DOLFINx keeps quadrature values cell by cell, so a region of all cells hands its law the coefficient itself.
        self._whole = np.array_equal(self.cells, np.arange(owned))
        self._number = None
        if cells is not None:
            self._number = len(self.fields.subdomains) + 1
            self.fields.subdomains.append((self._number, self.cells))
        self._expression = fem.Expression(self.strain, self.fields.points, jit_options=jit_options())
        q, m = len(self.fields.points), kinematics.size
        self._strain = np.zeros((len(self.cells), q, m))
        virgin, width = material.initial_state(self.size), material.state_layout.size
        if virgin.shape != (self.size, width):
            raise SetupError(
                f"The law of region '{name}' makes states of shape {virgin.shape}, but its state_layout has "
                f"{width} numbers for each of {self.size} points; mend {type(material).__name__}.initial_state."
            )
        self.history = History(virgin)
        stress, tangent = self._buffers()
        self._out = Response(stress, tangent, self.history.committed)
        self._tangent = tangent
        self._committed_stress = np.zeros((self.size, m))
        self._committed_tangent = np.zeros((self.size, m, m))
        self._evaluated = False  # since the last commit or rollback

    @property
    def size(self) -> int:
        """Number of points ``p`` of this rank."""
        return len(self.cells) * len(self.fields.points)

    @property
    def stress(self) -> fem.Function:
        """Stress coefficient ``[m]``."""
        return self.fields.stress

    @property
    def tangent(self) -> fem.Function:
        """Tangent coefficient ``[m, m]``."""
        return self.fields.tangent

    @property
    def status(self) -> np.ndarray:
        """:class:`PointStatus` ``[p]`` of the last evaluation."""
        status = self._out.status
        return np.ones(self.size, dtype=np.int8) if status is None else status

    @property
    def dx(self) -> ufl.Measure:
        """Measure over the cells of this region with its quadrature rule.

        Regions on parts of a mesh that appear in one form must share their ``fields``.
        """
        mesh, metadata = self.u.function_space.mesh, self.fields.metadata
        if self._number is None:
            return ufl.Measure("dx", domain=mesh, metadata=metadata)
        return ufl.Measure("dx", domain=mesh, subdomain_data=self.fields.subdomains, metadata=metadata)(self._number)

    def virtual_strain(self, v: ufl.core.expr.Expr) -> ufl.core.expr.Expr:
        """Return the virtual strain ``[m]`` of a test function."""
        # Expanded at once, because UFL does not look for derivatives inside the direction of another one.
        return ufl.algorithms.expand_derivatives(ufl.derivative(self.strain, self.u, v))

    def derivative(self, F: ufl.Form, u: fem.Function, du: ufl.core.expr.Expr) -> ufl.Form:
        """Return the consistent linearisation of ``F``, which contains ``stress``, at ``u`` in direction ``du``.

        The chain rule through the law: ∂F/∂u + ∂F/∂σ · C : ∂ε/∂u.
        """
        strain_change = ufl.algorithms.expand_derivatives(ufl.derivative(self.strain, u, du))
        stress_change = ufl.dot(self.tangent, strain_change)
        return ufl.derivative(F, u, du) + ufl.derivative(F, self.stress, stress_change)

    def evaluate(self, dt: float, *, tangent: bool = True) -> Verdict:
        """Evaluate the law at the current displacement on all ranks, and return the verdict of all of them."""
        return self.evaluate_local(dt, tangent=tangent).reduce(self.u.function_space.mesh.comm)

    def evaluate_local(self, dt: float, *, tangent: bool = True) -> Verdict:
        """Evaluate the law on the cells of this rank only; the verdict is this rank's.

        The ghost values of ``u`` must be up to date. A rank without cells answers an empty verdict. A law with
        ``collective = True`` is called on every rank, and then every rank must call this, region by region.
        """
        self._evaluated = True
        if self.size == 0 and not self.material.collective:
            return Verdict()
        self._expression.eval(self.u.function_space.mesh, self.cells, self._strain)
        out = self._out
        out.state = self.history.trial
        points = self._strain.reshape(self.size, self.material.kinematics.size)
        self.material.update_into(points, self.history.committed, dt, out, tangent=tangent)
        if not self._whole:
            self._scatter(out.stress, self._tangent if tangent else None)
        status = self.status
        return Verdict(
            failed=int(np.count_nonzero(status == PointStatus.FAILED)),
            out_of_range=int(np.count_nonzero(status == PointStatus.OUT_OF_RANGE)),
            dt_factor=out.dt_factor,
        )

    def commit(self) -> None:
        """Accept the last evaluation: the trial state becomes the committed one.

        Raises ``SetupError`` if there is none since the last commit or rollback.
        """
        if not self._evaluated:
            raise SetupError(
                f"Region '{self.name}' has nothing to commit: evaluate it first, and again after a commit or rollback."
            )
        self._evaluated = False
        self.history.commit()
        np.copyto(self._committed_stress, self._out.stress)
        np.copyto(self._committed_tangent, self._tangent)

    def rollback(self) -> None:
        """Forget the last evaluation: stress and tangent are again those of the last commit."""
        self._evaluated = False
        self._out.stress[...] = self._committed_stress
        self._tangent[...] = self._committed_tangent
        self._out.status = None
        if not self._whole:
            self._scatter(self._committed_stress, self._committed_tangent)

    @property
    def committed(self) -> tuple[Array, Array]:
        """Stress ``[p, m]`` and tangent ``[p, m, m]`` of the last commit."""
        return self._committed_stress, self._committed_tangent

    def restore(self, cells: np.ndarray, state: Array, stress: Array, tangent: Array) -> None:
        """Set the committed values of some cells (positions in ``cells``), each array ``[cells, q, ...]``."""
        q = len(self.fields.points)
        for target, values in zip((self.history.committed, *self.committed), (state, stress, tangent), strict=True):
            target.reshape(len(self.cells), q, *target.shape[1:])[cells] = values

    def coordinates(self, points: np.ndarray) -> Array:
        """Return the reference coordinates ``[len(points), gdim]`` of some points of this region (for messages)."""
        mesh = self.u.function_space.mesh
        x = fem.Expression(ufl.SpatialCoordinate(mesh), self.fields.points, jit_options=jit_options())
        cells, local = np.divmod(np.asarray(points), len(self.fields.points))
        return x.eval(mesh, self.cells[cells])[np.arange(len(cells)), local]

    def _buffers(self) -> tuple[Array, Array]:
        q, m = len(self.fields.points), self.material.kinematics.size
        if self._whole:
            stress, tangent = (array[: len(self.cells)] for array in self.fields.arrays())
        else:
            stress, tangent = np.zeros((len(self.cells), q, m)), np.zeros((len(self.cells), q, m, m))
        return stress.reshape(-1, m), tangent.reshape(-1, m, m)

    def _scatter(self, stress: Array, tangent: Array | None) -> None:
        q, m = len(self.fields.points), self.material.kinematics.size
        all_stress, all_tangent = self.fields.arrays()
        all_stress[self.cells] = stress.reshape(-1, q, m)
        if tangent is not None:
            all_tangent[self.cells] = tangent.reshape(-1, q, m, m)

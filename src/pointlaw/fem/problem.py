"""The weak form of quasi-static equilibrium, and one increment of it.

A problem holds a body with a material for each part, its supports and loads. ``solve(t, dt)`` tries one increment and
reports; ``accept`` makes it history; ``reject`` leaves no trace of it. Which increments to try is the business of
:func:`~pointlaw.fem.march.march`.
"""

from pointlaw.fem.mpi import MPI  # isort: skip  # noqa: F401 - MPI first

import logging
import math
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import dolfinx
import numpy as np
import ufl

from pointlaw.errors import SetupError
from pointlaw.fem.boundary import Loads, Supports, locate_dofs
from pointlaw.fem.formulation import FORMULATIONS, Formulation
from pointlaw.fem.linear import linear_options
from pointlaw.fem.loads import Displacement, Load
from pointlaw.fem.newton import Newton, weakly
from pointlaw.fem.region import QuadratureFields, Region, Verdict
from pointlaw.fem.rigid import near_nullspace, require_supports
from pointlaw.fem.strain import default_quadrature_degree, weight
from pointlaw.fem.tagged_mesh import TaggedMesh, Where, tagged
from pointlaw.materials import Material, PointStatus
from pointlaw.tensors import Array

log = logging.getLogger(__name__)


@dataclass
class StepReport:
    """How one increment went; the same on all ranks.

    Attributes
    ----------
    time, dt : float
        End and length of the increment, unit of time.
    converged : bool
        Whether equilibrium was found with a usable answer at every point.
    reason : str
        PETSc's name of the outcome, or the failure of the law.
    iterations, linear_iterations, evaluations : int
        Newton iterations, iterations of the linear solver, evaluations of the laws.
    norms : list of float
        Norm of the residual at each iterate, unit of force.
    failed_points, out_of_range_points : int
        Points whose last status was ``FAILED`` or ``OUT_OF_RANGE``.
    dt_factor : float
        Smallest step ratio that a law asked for.
    seconds : float
        Wall time.
    detail : str
        A sentence on what failed and where.
    """

    time: float
    dt: float
    converged: bool
    reason: str
    iterations: int = 0
    linear_iterations: int = 0
    evaluations: int = 0
    norms: list[float] = field(default_factory=list)
    failed_points: int = 0
    out_of_range_points: int = 0
    dt_factor: float = math.inf
    seconds: float = 0.0
    detail: str = ""


class MechanicsProblem:
    """Quasi-static equilibrium of a body under supports and loads that follow the time.

    Parameters
    ----------
    mesh
        A :class:`TaggedMesh` (from :func:`read_mesh`) or a DOLFINx mesh.
    materials
        One material for the whole body, or a material for each cell tag (physical name or number).
    supports, loads
        :class:`Displacement` conditions; :class:`Traction`, :class:`Pressure`, :class:`BodyForce`.
    degree
        Degree of the displacement, 1 or 2.
    formulation
        ``"displacement"``, or ``"mixed"`` for nearly incompressible materials (see
        :class:`~pointlaw.fem.formulation.MeanDilatation`), which needs a direct solver.
    quadrature_degree
        Degree of the quadrature rule of the material points; by default exact for undistorted elements.
    solver
        ``"auto"`` (by size), ``"direct"`` or ``"iterative"``.
    petsc_options
        PETSc options that override the defaults, such as ``{"snes_max_it": 40, "pc_type": "hypre"}``.
    rtol, atol
        The residual is converged below ``rtol`` times the norm of the nodal forces, or below ``atol`` (force);
        without ``atol``, below what rounding to 15 digits leaves of forces that cancel, whatever the units.

    Raises
    ------
    SetupError
        On all ranks: kinematics that do not fit, cells without a material, a body that is free to move.
    MeshError
        On all ranks: a place that the mesh lacks, an inverted cell.

    Attributes
    ----------
    time : float
        End of the last accepted increment, unit of time.
    tried : StepReport or None
        The increment that waits for :meth:`accept` or :meth:`reject`.
    """

    def __init__(
        self,
        mesh: TaggedMesh | dolfinx.mesh.Mesh,
        materials: Material | Mapping[str | int, Material],
        *,
        supports: Sequence[Displacement] = (),
        loads: Sequence[Load] = (),
        degree: int = 1,
        formulation: str = "displacement",
        quadrature_degree: int | None = None,
        solver: str = "auto",
        petsc_options: Mapping[str, Any] | None = None,
        rtol: float = 1e-8,
        atol: float | None = None,
    ):
        self.body = tagged(mesh)
        self.body.check()
        parts = materials if isinstance(materials, Mapping) else {"body": materials}
        if not parts:
            raise SetupError("The problem has no material.")
        domain = self.body.mesh
        first = next(iter(parts.values()))
        self.kinematics = first.kinematics
        if not isinstance(degree, int | np.integer) or degree < 1:
            raise SetupError(f"degree = {degree!r} must be an integer of at least 1: displacements are continuous.")
        if not rtol >= 0.0:
            raise SetupError(f"rtol = {rtol} must be 0 or more.")
        if formulation not in FORMULATIONS:
            raise SetupError(f"formulation = {formulation!r} must be one of {list(FORMULATIONS)}.")
        self.formulation: Formulation = FORMULATIONS[formulation](domain, first, degree)
        self.u = self.formulation.u
        self.V = self.u.function_space
        cell = domain.topology.cell_name()
        quadrature = default_quadrature_degree(cell, degree) if quadrature_degree is None else quadrature_degree
        self.fields = QuadratureFields(domain, self.formulation.law(first).kinematics, quadrature)
        whole = not isinstance(materials, Mapping)
        self.regions = {
            str(tag): Region(
                self.formulation.law(material),
                self.formulation.unknown,
                cells=None if whole else self.body.cells(tag),
                degree=quadrature,
                fields=self.fields,
                expression=self.formulation.strain,
                name=str(tag),
            )
            for tag, material in parts.items()
        }
        self._require_cover()
        self.supports = Supports(self.formulation.space, self.body, supports)
        require_supports(self.V, self.kinematics, self.supports.bcs, self.formulation.displacement_dofs())
        self.loads = Loads(self.V, self.body, self.kinematics, loads)
        self.time = 0.0
        self.tried: StepReport | None = None
        self._committed = self.formulation.unknown.x.array.copy()
        self.newton = self._make_newton(solver, petsc_options or {}, rtol, atol)
        self._dt = 0.0

    @property
    def comm(self) -> Any:
        """MPI communicator of the mesh."""
        return self.body.mesh.comm

    @property
    def unknowns(self) -> int:
        """Number of displacement unknowns of all ranks."""
        return self.V.dofmap.index_map.size_global * self.V.dofmap.index_map_bs

    @property
    def points(self) -> int:
        """Number of material points of all ranks."""
        return int(self.comm.allreduce(sum(region.size for region in self.regions.values())))

    def solve(self, t: float, dt: float) -> StepReport:
        """Try the increment of length ``dt`` that ends at ``t``, from the committed state; collective.

        Nothing is committed: follow with :meth:`accept` or :meth:`reject`. A failure is in the report, not raised.
        """
        start = time.perf_counter()
        self.tried = None
        self.set_step(t, dt)
        outcome = self.newton.solve()
        self.formulation.extract()
        verdict = outcome.verdict
        detail = self.describe_failure() if verdict.failed else ""
        self.tried = StepReport(
            time=t,
            dt=dt,
            converged=outcome.converged,
            reason="MATERIAL_FAILED" if verdict.failed else outcome.reason,
            iterations=outcome.iterations,
            linear_iterations=outcome.linear_iterations,
            evaluations=outcome.evaluations,
            norms=outcome.norms,
            failed_points=verdict.failed,
            out_of_range_points=verdict.out_of_range,
            dt_factor=verdict.dt_factor,
            seconds=time.perf_counter() - start,
            detail=detail,
        )
        return self.tried

    def accept(self, report: StepReport) -> None:
        """Make the last increment history: displacement, state, stress and tangent; ``time`` moves on.

        Raises ``SetupError`` if ``report`` is not that of the last :meth:`solve`, or that step failed or was already
        accepted or rejected.
        """
        if not report.converged:
            raise SetupError(f"The step to t = {report.time:g} did not converge ({report.reason}); reject it.")
        if report is not self.tried:
            raise SetupError(
                f"The step to t = {report.time:g} cannot be accepted: it was accepted or rejected before, or another "
                "was tried after it. Call solve again."
            )
        self.tried = None
        np.copyto(self._committed, self.formulation.unknown.x.array)
        for region in self.regions.values():
            region.commit()
        self.time = report.time

    def reject(self) -> None:
        """Forget the last increment: displacement, stress, tangent, loads and forces return to the committed state."""
        self.tried = None
        np.copyto(self.formulation.unknown.x.array, self._committed)
        self.formulation.extract()
        for region in self.regions.values():
            region.rollback()
        self._set_time(self.time)
        self.newton.refresh_forces()

    def restore(self) -> None:
        """Take ``u``, ``time`` and the committed values of the regions, set from outside, as the committed state."""
        self.formulation.insert()
        np.copyto(self._committed, self.formulation.unknown.x.array)
        self.reject()

    def reaction(self, where: Where) -> Array:
        """Return the force ``[gdim]`` that the supports at a place exert on the body; unit of force; collective.

        The sum of the nodal forces of the last evaluation over the nodes of the place.
        """
        total = np.zeros(self.body.mesh.geometry.dim)
        values = self.newton.forces.array_r
        for axis in range(len(total)):
            dofs = np.unique(locate_dofs(self.formulation.space(axis), self.body, where))
            total[axis] = values[dofs[dofs < len(values)]].sum()
        return np.array([self.comm.allreduce(part) for part in total])

    def cell_means(self, region: Region, values: Array) -> Array:
        """Return the weighted mean ``[cells, n]`` over each cell's points of values ``[p, n]`` of a region."""
        weights = self.fields.weights / self.fields.weights.sum()
        return np.einsum("q,cqn->cn", weights, values.reshape(len(region.cells), len(weights), *values.shape[1:]))

    def _make_newton(self, solver: str, options: Mapping[str, Any], rtol: float, atol: float | None) -> Newton:
        unknown = self.formulation.unknown
        W = unknown.function_space
        v, dw = ufl.TestFunction(W), ufl.TrialFunction(W)
        region = next(iter(self.regions.values()))
        factor = weight(self.kinematics, self.body.mesh)
        dx = ufl.Measure("dx", domain=self.body.mesh, metadata=self.fields.metadata)
        F = ufl.inner(self.fields.stress, region.virtual_strain(v)) * factor * dx
        J = region.derivative(F, unknown, dw)
        external = self.loads.work(self.formulation.motion, self.formulation.part(v))
        if external is not None:
            F = F - external
            if self.loads.follows:  # a load that does not must not enter, or each set of loads would compile its own J
                J = J - ufl.derivative(external, unknown, dw)
        pure = unknown is self.u
        if not pure and solver == "iterative":
            raise SetupError("The mixed formulation has a saddle point; use solver='direct'.")
        symmetric = all(r.material.symmetric for r in self.regions.values()) and not self.loads.follows
        linear = linear_options(self.unknowns, self.body.dim, symmetric, solver if pure else "direct", options)
        multigrid = linear.get("pc_type") in ("gamg", "hypre", "ml", "hmg")
        return Newton(
            F=F,
            J=J,
            u=unknown,
            bcs=self.supports.bcs,
            evaluate=weakly(self._evaluate),
            options=linear,
            rtol=rtol,
            atol=atol,
            grain=self._grain(),
            near_nullspace=near_nullspace(self.V, self.kinematics) if multigrid else None,
        )

    def _grain(self) -> Array:
        """Return the mean size of a cell for each displacement of this rank, 0 for other unknowns; unit of length."""
        mesh, dofs = self.body.mesh, self.formulation.displacement_dofs()
        owned = np.arange(mesh.topology.index_map(self.body.dim).size_local, dtype=np.int32)
        total = self.comm.allreduce(float(mesh.h(self.body.dim, owned).sum()))
        grain = np.zeros(len(self.formulation.unknown.x.array))
        grain[slice(None) if dofs is None else dofs] = total / self.comm.allreduce(len(owned))
        return grain

    def _evaluate(self, *, tangent: bool) -> Verdict:
        verdict = Verdict()
        for region in self.regions.values():
            verdict += region.evaluate_local(self._dt, tangent=tangent)
        return verdict.reduce(self.comm)

    @property
    def committed_unknowns(self) -> Array:
        """Committed values of all unknowns of this rank, ghosts included."""
        return self._committed

    def set_step(self, t: float, dt: float) -> None:
        """Put loads and prescribed displacements to time ``t`` and the step of the laws to ``dt``."""
        self._dt = dt
        self._set_time(t)

    def _set_time(self, t: float) -> None:
        self.supports.set_time(t)
        self.loads.set_time(t)

    def _require_cover(self) -> None:
        owned = self.body.mesh.topology.index_map(self.body.dim).size_local
        counts = np.zeros(owned, dtype=np.int32)
        for region in self.regions.values():
            counts[region.cells] += 1
        bare = self.comm.allreduce(int(np.count_nonzero(counts == 0)))
        twice = self.comm.allreduce(int(np.count_nonzero(counts > 1)))
        if bare or twice:
            tags = self.body.cell_tags
            present = (
                sorted({int(v) for part in self.comm.allgather(np.unique(tags.values)) for v in part}) if tags else []
            )
            raise SetupError(
                f"{bare} cells of {self.body.source} have no material and {twice} have two; "
                f"the cell tags are {present}, the materials are given for {list(self.regions)}."
            )

    def describe_failure(self) -> str:
        """Return a sentence on the points that failed, the same on all ranks."""
        found = []
        for name, region in self.regions.items():
            failed = np.flatnonzero(region.status == PointStatus.FAILED)
            # Every rank evaluates the expression, because compiling it is collective.
            place = region.coordinates(failed[:1])
            why = region.material.reason(region.history.trial, region.status)
            found.append((name, type(region.material).__name__, len(failed), place.tolist(), why))
        for entries in zip(*self.comm.allgather(found), strict=True):
            count = sum(entry[2] for entry in entries)
            if count:
                name, law = entries[0][:2]
                place = next(entry[3][0] for entry in entries if entry[3])
                near = ", ".join(f"{x:.4g}" for x in place)
                why = next((f": {entry[4]}" for entry in entries if entry[2] and entry[4]), "")
                return f"{law} failed at {count} point(s) of region '{name}', the first near x = ({near}){why}."
        return ""

"""The stiffness of a volume element on its free unknowns: assembled, reduced to ``PᵀKP``, factorised, kept.

PETSc does the work: the triple product and the factorisation keep their patterns, only numbers change. The homogenised
tangent is a back-substitution with the last factor, refined where the stiffness has moved on since.
"""

from pointlaw.fem.mpi import MPI  # isort: skip

import itertools
import logging
from typing import Any

from petsc4py import PETSc

import numpy as np
from dolfinx import fem
from dolfinx.fem import petsc as fem_petsc
from scipy import sparse

from pointlaw.fem.linear import linear_options
from pointlaw.rve.element import VolumeElement
from pointlaw.tensors import Array

log = logging.getLogger(__name__)

_prefixes = itertools.count()

# A multigrid setup beats a factorisation from here on in 3D, even for the m further solves of the tangent.
DIRECT_LIMIT_3D = 8000

# Relative to the scaled matrix. What moves without strain leaves a pivot of round-off; a contrast of 1e10 leaves more.
ZERO_PIVOT = 1e-13


class ReducedStiffness:
    """``K`` of a bilinear form and the factor of ``PᵀKP``.

    Parameters
    ----------
    element
        The volume element.
    form
        Compiled bilinear form of the stiffness.
    solver
        ``"direct"`` (MUMPS), ``"iterative"`` (CG or GMRES with multigrid) or ``"auto"``.
    tolerance
        Of the residual of the volume element; the tangent is about as exact.
    """

    def __init__(self, element: VolumeElement, form: fem.Form, solver: str = "auto", tolerance: float = 1e-8):
        self._element, self._form = element, form
        # The error of a symmetric tangent is the square of the residual of its back-substitutions.
        self._enough = 0.1 * (np.sqrt(tolerance) if element.symmetric else tolerance)
        self.K = fem_petsc.create_matrix(form)
        self._P = _petsc(element.P)
        self._D = _dense(element.D)
        self._KD: PETSc.Mat | None = None
        self.reduced: PETSc.Mat | None = None
        large = element.body.dim == 3 and element.free > DIRECT_LIMIT_3D
        if solver == "auto" and large:
            solver = "iterative"
        options = linear_options(element.free, element.body.dim, element.symmetric, solver)
        self.direct = options["pc_type"] == "lu"
        if not self.direct:
            options["ksp_rtol"] = 1e-10
        self.ksp = PETSc.KSP().create(MPI.COMM_SELF)
        prefix = f"pointlaw_cell_{next(_prefixes)}_"
        self.ksp.setOptionsPrefix(prefix)
        database: Any = PETSc.Options(prefix)
        for key, value in options.items():
            database[key] = value
        self.ksp.setFromOptions()
        for key in options:
            del database[key]
        self._x, self._b = (PETSc.Vec().createSeq(element.free, comm=MPI.COMM_SELF) for _ in range(2))
        self.factors = 0

    def assemble(self) -> None:
        """Assemble ``K`` from the coefficients as they are."""
        self.K.zeroEntries()
        fem_petsc.assemble_matrix(self.K, self._form)
        self.K.assemble()

    def unit_forces(self) -> Array:
        """Return the nodal forces ``[n·d, m]`` under unit macroscopic strains without fluctuation, from ``K``."""
        return self._apply(self._element.D)

    def fluctuation_rate(self) -> Array:
        """Return ``dw/dE`` ``[free, m]`` with the last factor and ``K`` as it is assembled: a predictor."""
        return -self._columns(self._element.P.T @ self.unit_forces())

    def factorise(self) -> int:
        """Factorise ``PᵀKP`` of the assembled ``K``; return the number of zero pivots (direct solver only)."""
        first = self.reduced is None
        self.reduced = self.K.ptap(self._P, result=self.reduced)
        if first:
            self.reduced.setBlockSize(self._element.body.dim)
            if not self.direct:
                self.reduced.setNearNullSpace(_near_nullspace(self._element))
        self.ksp.setOperators(self.reduced)
        pc = self.ksp.getPC()
        if self.direct and first:
            pc.setFactorSetUpSolverType()
            factor = pc.getFactorMatrix()
            factor.setMumpsIcntl(24, 1)  # report zero pivots instead of dividing by them
            factor.setMumpsCntl(3, ZERO_PIVOT)
        self.ksp.setUp()
        self.factors += 1
        return int(pc.getFactorMatrix().getMumpsInfog(28)) if self.direct else 0

    def solve(self, right: Array) -> Array:
        """Return ``(PᵀKP)⁻¹ right`` for one vector ``[free]`` with the last factor; NaN if the solver broke down."""
        self._b.array_w[:] = right
        self.ksp.solve(self._b, self._x)
        reason: Any = self.ksp.getConvergedReason()
        if reason < 0:
            return np.full(len(right), np.nan)
        solution: Array = self._x.array_r.copy()
        return solution

    def tangent(self, *, usable: bool) -> Array:
        """Return the homogenised tangent ``[m, m]``, ``Uᵀ·K·U/V`` with ``U = D − P (PᵀKP)⁻¹ PᵀK D``; unit of stress.

        ``K`` must be assembled at the solution. ``usable`` says that the last factor belongs to a neighbouring
        iterate: then the back-substitutions are refined with it, and a new factor is made only if that does not help.
        """
        self._KD = self.K.matMult(self._D, result=self._KD)
        right = self._element.P.T @ self._KD.getDenseArray()
        refined = self._refined(right) if usable else None
        if refined is None or not refined[2] <= self._enough:
            self.factorise()
            refined = self._refined(right)
        U, KU, error = refined
        if error > max(self._enough, 1e-8):
            log.warning(
                "The tangent of %s is exact to about %.0e only: its linear solver gets no further.",
                self._element.body.source,
                error,
            )
        moduli: Array = (U.T @ KU) / self._element.volume
        return moduli

    def _refined(self, right: Array) -> tuple[Array, Array, float]:
        """Solve with the last factor, and again for what is left as long as that helps.

        Returns ``U``, ``K U`` and the norm of ``Pᵀ K U`` relative to that of ``right[free, m] = Pᵀ K D``.
        """
        P, D = self._element.P, self._element.D
        size, last = np.linalg.norm(right) or 1.0, 1.0
        X = self._columns(right)
        for _ in range(6):
            U = D - P @ X
            KU = self._apply(U)
            rest = P.T @ KU
            error = float(np.linalg.norm(rest)) / size
            if error <= self._enough or not error < 0.3 * last:
                break
            X, last = X + self._columns(rest), error
        return U, KU, error

    def _apply(self, columns: Array) -> Array:
        product: Array = self.K.matMult(_dense(columns)).getDenseArray().copy()
        return product

    def _columns(self, right: Array) -> Array:
        if not self.direct:
            return np.stack([self.solve(column) for column in right.T], axis=1)
        X = _dense(np.zeros_like(right))
        self.ksp.matSolve(_dense(right), X)
        solution: Array = X.getDenseArray().copy()
        return solution


def _dense(columns: Array) -> PETSc.Mat:
    array: Any = np.array(columns, order="F")
    matrix = PETSc.Mat().createDense(columns.shape, array=array, comm=MPI.COMM_SELF)
    matrix.assemble()
    return matrix


def _petsc(matrix: sparse.csr_array) -> PETSc.Mat:
    integer = PETSc.IntType
    csr = (matrix.indptr.astype(integer), matrix.indices.astype(integer), matrix.data)
    result = PETSc.Mat().createAIJ(matrix.shape, csr=csr, comm=MPI.COMM_SELF)
    result.assemble()
    return result


def _near_nullspace(element: VolumeElement) -> PETSc.NullSpace:
    """Return the shifts and rotations of the free unknowns, which multigrid has to know."""
    d = element.body.dim
    scalar = sparse.csc_array(element.P[::d, ::d])
    owner = np.array([scalar.indices[scalar.indptr[k] : scalar.indptr[k + 1]][0] for k in range(scalar.shape[1])])
    x = element.x[owner] - element.x.mean(axis=0)
    pairs = ((0, 1),) if d == 2 else ((0, 1), (2, 0), (1, 2))
    motions = np.zeros((d + len(pairs), len(owner), d))
    for axis in range(d):
        motions[axis, :, axis] = 1.0
    for row, (i, j) in enumerate(pairs, start=d):
        motions[row, :, i], motions[row, :, j] = -x[:, j], x[:, i]
    basis, _ = np.linalg.qr(motions.reshape(len(motions), -1).T)
    vectors = [PETSc.Vec().createWithArray(column.copy(), bsize=d, comm=MPI.COMM_SELF) for column in basis.T]
    return PETSc.NullSpace().create(vectors=vectors, comm=MPI.COMM_SELF)

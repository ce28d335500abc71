"""The strain of a displacement field in UFL, for each kinematics.

All measures here are affine in the displacement, so the virtual strain is their Gateaux derivative and the same
expression serves the residual, the tangent and the evaluation at quadrature points.
"""

from pointlaw.fem.mpi import MPI  # isort: skip

import math

import dolfinx
import numpy as np
import ufl

from pointlaw.errors import MeshError, SetupError
from pointlaw.tensors import Kinematics

SQRT2 = math.sqrt(2.0)


def strain(kinematics: Kinematics, u: ufl.core.expr.Expr) -> ufl.core.expr.Expr:
    """Return the strain vector ``[m]`` of displacement ``u`` in the order of ``kinematics``.

    Raises ``SetupError`` if the mesh of ``u`` has another dimension than the kinematics, and ``MeshError`` if an
    axisymmetric body crosses its axis. Collective.
    """
    domain = ufl.domain.extract_unique_domain(u)
    mesh = domain.ufl_cargo()
    if mesh.geometry.dim != kinematics.dim or mesh.topology.dim != kinematics.dim:
        raise SetupError(
            f"A law with kinematics {kinematics} does not fit a mesh of dimension {mesh.geometry.dim}: "
            "wrap it (PlaneStrain, PlaneStress, Axisymmetric for a 2D mesh) or use another mesh."
        )
    gradient = ufl.grad(u)
    if kinematics.finite:
        deformation = ufl.Identity(kinematics.dim) + gradient
        return ufl.as_vector([deformation[i, j] for i in range(kinematics.dim) for j in range(kinematics.dim)])
    e = ufl.sym(gradient)
    if kinematics.name == "axisymmetric":
        _require_one_side(mesh)
        r = ufl.SpatialCoordinate(domain)[0]
        return ufl.as_vector([e[0, 0], e[1, 1], u[0] / r, SQRT2 * e[0, 1]])
    if kinematics.dim == 3:
        return ufl.as_vector([e[0, 0], e[1, 1], e[2, 2], SQRT2 * e[1, 2], SQRT2 * e[0, 2], SQRT2 * e[0, 1]])
    if kinematics.dim == 2:
        return ufl.as_vector([e[0, 0], e[1, 1], SQRT2 * e[0, 1]])
    return ufl.as_vector([e[0, 0]])


def _require_one_side(mesh: dolfinx.mesh.Mesh) -> None:
    """Raise ``MeshError`` on all ranks if the mesh reaches beyond the axis r = 0, where 2πr is a negative weight."""
    x = mesh.geometry.x[:, :2]  # a rank may have none
    comm = mesh.comm
    low = np.array([comm.allreduce(float(part), op=MPI.MIN) for part in x.min(axis=0, initial=np.inf)])
    high = np.array([comm.allreduce(float(part), op=MPI.MAX) for part in x.max(axis=0, initial=-np.inf)])
    if low[0] < -1e-9 * (high - low).max():
        raise MeshError(
            f"The mesh reaches r = {low[0]:.6g}: an axisymmetric body lies at r ≥ 0, and r is its first coordinate. "
            "Shift the mesh, or mesh one side of the axis only."
        )


def weight(kinematics: Kinematics, mesh: dolfinx.mesh.Mesh) -> ufl.core.expr.Expr | float:
    """Return the factor of every integral: 2πr for axisymmetric bodies (r is the first coordinate), else 1."""
    if kinematics.name == "axisymmetric":
        return 2.0 * ufl.pi * ufl.SpatialCoordinate(mesh)[0]
    return 1.0


def default_quadrature_degree(cell: str, degree: int) -> int:
    """Return the lowest degree that integrates the stiffness of an undistorted plane or solid element exactly.

    Simplices have strains of order ``degree − 1``; tensor-product cells need ``degree + 1`` Gauss points a direction.
    Axisymmetric elements have a factor r and a strain u_r/r beside, which no rule integrates exactly; the displacement
    converges with the order of its degree all the same.
    """
    return max(1, 2 * (degree - 1)) if cell in ("interval", "triangle", "tetrahedron") else 2 * degree

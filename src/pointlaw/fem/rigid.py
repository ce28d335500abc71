"""Rigid body motions of a displacement space: what supports must prevent, and what multigrid must know.

A body that can still move freely has a singular stiffness, which a direct solver may "solve" all the same; so the
supports are checked before the first step.
"""

from pointlaw.fem.mpi import MPI  # isort: skip

from collections.abc import Sequence

from petsc4py import PETSc

import numpy as np
from dolfinx import fem, la

from pointlaw.errors import SetupError
from pointlaw.tensors import Array, Kinematics

_NAMES = {
    "plane": ("a shift in x", "a shift in y", "a rotation in the plane"),
    "axisymmetric": ("a shift along the axis",),
    "solid": (
        "a shift in x",
        "a shift in y",
        "a shift in z",
        "a rotation about z",
        "a rotation about y",
        "a rotation about x",
    ),
    "line": ("a shift in x",),
}


def rigid_motions(V: fem.FunctionSpace, kinematics: Kinematics) -> tuple[Array, tuple[str, ...]]:
    """Return the rigid motions that leave the body without strain, ``[motions, local dofs]``, and their names."""
    dim = V.mesh.geometry.dim
    x = V.tabulate_dof_coordinates()[:, :dim]
    centre = np.array([V.mesh.comm.allreduce(v) for v in x.sum(axis=0)]) / max(V.mesh.comm.allreduce(len(x)), 1)
    span = V.mesh.comm.allreduce(float(np.abs(x - centre).max(initial=0.0)), op=MPI.MAX) or 1.0
    x = (x - centre) / span  # so that shifts and rotations have similar size
    if kinematics.name == "axisymmetric":
        motions = np.zeros((1, *x.shape))
        motions[0, :, 1] = 1.0
        return motions.reshape(1, -1), _NAMES["axisymmetric"]
    pairs = {1: (), 2: ((0, 1),), 3: ((0, 1), (2, 0), (1, 2))}[dim]
    motions = np.zeros((dim + len(pairs), *x.shape))
    for axis in range(dim):
        motions[axis, :, axis] = 1.0
    for row, (i, j) in enumerate(pairs, start=dim):
        motions[row, :, i], motions[row, :, j] = -x[:, j], x[:, i]
    names = {1: _NAMES["line"], 2: _NAMES["plane"], 3: _NAMES["solid"]}[dim]
    return motions.reshape(len(motions), -1), names


def near_nullspace(V: fem.FunctionSpace, kinematics: Kinematics) -> PETSc.NullSpace:
    """Return the rigid motions as an orthonormal PETSc null space, for algebraic multigrid."""
    motions, _ = rigid_motions(V, kinematics)
    owned = V.dofmap.index_map.size_local * V.dofmap.index_map_bs
    basis = [la.vector(V.dofmap.index_map, bs=V.dofmap.index_map_bs) for _ in motions]
    for vector, motion in zip(basis, motions, strict=True):
        vector.array[:owned] = motion[:owned]
    la.orthonormalize(basis)
    vectors = [
        PETSc.Vec().createWithArray(v.array[:owned].copy(), bsize=V.dofmap.index_map_bs, comm=V.mesh.comm)
        for v in basis
    ]
    return PETSc.NullSpace().create(vectors=vectors, comm=V.mesh.comm)


def require_supports(
    V: fem.FunctionSpace, kinematics: Kinematics, bcs: Sequence[fem.DirichletBC], parents: np.ndarray | None = None
) -> None:
    """Raise ``SetupError`` on all ranks if a rigid motion of the whole body satisfies all supports.

    ``parents`` are the dofs that the conditions use for the local dofs of ``V``, if these are others.
    """
    motions, names = rigid_motions(V, kinematics)
    owned = V.dofmap.index_map.size_local * V.dofmap.index_map_bs
    fixed = [dofs[: bc.dof_indices()[1]] for bc in bcs for dofs in [bc.dof_indices()[0]]]
    dofs = np.unique(np.concatenate(fixed)) if fixed else np.empty(0, dtype=np.int32)
    if parents is not None:
        dofs = np.flatnonzero(np.isin(parents, dofs))
    dofs = dofs[dofs < owned]
    gram = motions[:, dofs] @ motions[:, dofs].T
    total = np.empty_like(gram)
    V.mesh.comm.Allreduce(np.ascontiguousarray(gram), total)
    values, vectors = np.linalg.eigh(total)
    free = vectors[:, values < 1e-12 * max(values.max(initial=0.0), 1.0)]
    if free.shape[1]:
        moves = [names[i] for i in np.flatnonzero(np.abs(free).max(axis=1) > 0.1)]
        raise SetupError(
            f"The supports leave the body free to move: {free.shape[1]} rigid motion(s) are not prevented "
            f"({', '.join(moves)}). Add a Displacement that holds them."
        )

"""Boundary conditions of a volume element as one sparse map ``u = D·(E − E₀) + P·w``.

``E`` is the macroscopic strain and ``E₀`` that of the undeformed body, ``w`` are the free fluctuations. Whatever is
prescribed across the faces of the cell (periodicity, a linear displacement, a uniform traction, or one of them for each
direction) is said by ``P`` alone, and rigid motions are no part of its range; nothing else in this room knows which
condition it is.
"""

from abc import ABC, abstractmethod
from collections.abc import Sequence

import numpy as np
from scipy import linalg, sparse

from pointlaw.errors import InputError, MeshError
from pointlaw.rve.faces import AXES, Nodes
from pointlaw.tensors import Array, Kinematics, from_mandel

PERIODIC, LINEAR, TRACTION = "periodic", "linear", "traction"


class Constraint(ABC):
    """Which displacements of the nodes are admissible under a macroscopic strain."""

    @abstractmethod
    def kinds(self, dim: int) -> tuple[str, ...]:
        """Return for each axis what is prescribed on its two faces: ``periodic``, ``linear`` or ``traction``."""

    def matrices(self, nodes: Nodes, kinematics: Kinematics) -> tuple[sparse.csr_array, Array]:
        """Return the map of one cell.

        Parameters
        ----------
        nodes : Nodes
            Nodes of the mesh and its boundary.
        kinematics : Kinematics
            Macroscopic strain.

        Returns
        -------
        P : sparse [n·d, free]
            Fluctuations of the nodes by the free unknowns; the ``d`` components of a node stand side by side, in the
            rows and in the columns.
        D : [n·d, m]
            Displacement of the nodes by the macroscopic strain, unit of length.

        Raises
        ------
        MeshError
            If a face has no facets, opposite faces cannot be matched, or a uniform traction on them is not in
            equilibrium.
        """
        scalar = _fluctuations(nodes, self.kinds(nodes.dim))
        P = sparse.csr_array(sparse.kron(scalar, sparse.eye_array(nodes.dim), format="csr"))
        return P, linear_displacement(nodes.x - 0.5 * (nodes.lower + nodes.upper), kinematics)

    def __repr__(self) -> str:
        return f"{type(self).__name__}()"


class Periodic(Constraint):
    """The fluctuation is the same at opposite places of the boundary; the usual choice for a repeating cell."""

    def kinds(self, dim: int) -> tuple[str, ...]:
        """See :meth:`Constraint.kinds`."""
        return (PERIODIC,) * dim


class LinearDisplacement(Constraint):
    """The boundary moves as the macroscopic strain says (kinematic uniform, KUBC): an upper bound of the stiffness."""

    def kinds(self, dim: int) -> tuple[str, ...]:
        """See :meth:`Constraint.kinds`."""
        return (LINEAR,) * dim


class UniformTraction(Constraint):
    """The traction is uniform on each face (static uniform, SUBC): a lower bound of the stiffness.

    The strain is imposed on the average, ``∫ u ⊗ n dA = V (E − E₀)`` (minimal kinematic constraint; Mesarovic &
    Padbidri 2005, doi 10.1080/14786430412331313321); the uniform traction is its multiplier. Opposite faces need the
    same amount of solid.
    """

    def kinds(self, dim: int) -> tuple[str, ...]:
        """See :meth:`Constraint.kinds`."""
        return (TRACTION,) * dim


class Mixed(Constraint):
    """One condition for each pair of faces.

    Parameters
    ----------
    kinds : sequence of str
        For x, y (and z) one of ``"periodic"``, ``"linear"``, ``"traction"``. On an edge the linear displacement wins.
    """

    def __init__(self, *kinds: str):
        self._kinds: tuple[str, ...] = kinds
        wrong = [kind for kind in kinds if kind not in (PERIODIC, LINEAR, TRACTION)]
        if wrong or len(kinds) not in (2, 3):
            raise InputError(
                f"Mixed takes 2 or 3 conditions, each '{PERIODIC}', '{LINEAR}' or '{TRACTION}'; got {list(kinds)}."
            )

    def kinds(self, dim: int) -> tuple[str, ...]:
        """See :meth:`Constraint.kinds`; raises ``InputError`` for a mesh of another dimension."""
        if len(self._kinds) != dim:
            raise InputError(f"{self!r} has {len(self._kinds)} conditions, but the mesh has dimension {dim}.")
        return self._kinds

    def __repr__(self) -> str:
        return f"Mixed({', '.join(map(repr, self._kinds))})"


def linear_displacement(x: Array, kinematics: Kinematics) -> Array:
    """Return the displacements ``[n·d, m]`` of places ``x[n, d]`` under unit macroscopic strains."""
    n, d = x.shape
    units = np.eye(d * d).reshape(d * d, d, d) if kinematics.finite else from_mandel(np.eye(kinematics.size))
    moved = np.einsum("kij,nj->nik", units, x)
    return np.ascontiguousarray(moved.reshape(n * d, kinematics.size))


def _fluctuations(nodes: Nodes, kinds: Sequence[str]) -> sparse.csr_array:
    """Return the map ``[n, free]`` for one component; the conditions are the same for all components."""
    count = len(nodes.x)
    for axis in range(nodes.dim):
        for side in (0, 1):
            if not len(nodes.face_facets(axis, side)):
                raise MeshError(
                    f"{nodes.source} has no facets on its {('lower', 'upper')[side]} face across {AXES[axis]}: "
                    "the solid of a cell must reach the faces of its box. Let the cell begin elsewhere "
                    "(Image.shifted), or fill its voids with a soft law."
                )
    fixed = np.zeros(count, dtype=bool)
    for axis, kind in enumerate(kinds):
        if kind == LINEAR:
            fixed |= nodes.on_face(axis, 0) | nodes.on_face(axis, 1)
    if LINEAR not in kinds:  # a linear displacement elsewhere would carry what is missing
        for axis, kind in enumerate(kinds):
            if kind == TRACTION:
                _require_equilibrium(nodes, axis)
    follow, free = _followers(nodes, kinds, fixed)
    conditions = [
        (nodes.face_weights(axis, 1) - nodes.face_weights(axis, 0)) @ follow
        for axis, kind in enumerate(kinds)
        if kind == TRACTION
    ]
    if LINEAR not in kinds:  # a shift of the whole cell is free of strain: hold one node
        pin = np.zeros(len(free))
        pin[_middle(nodes.x[free], nodes)] = 1.0
        conditions.append(pin)
    return sparse.csr_array(follow @ _null_space(np.array(conditions).reshape(-1, len(free))))


def _require_equilibrium(nodes: Nodes, axis: int) -> None:
    """Raise ``MeshError`` if a uniform traction on both faces across ``axis`` has a resultant.

    The node that keeps the cell from shifting would carry it: a point force, under which no mesh is fine enough.
    """
    if not nodes.same_solid(axis):
        lower, upper = nodes.solid(axis)
        raise MeshError(
            f"The faces of {nodes.source} across {AXES[axis]} cannot carry a uniform traction: the solid on them "
            f"measures {lower:.6g} and {upper:.6g}, so the forces on both are not in equilibrium. Use "
            "LinearDisplacement, or fill the voids with a soft law."
        )


def _followers(nodes: Nodes, kinds: Sequence[str], fixed: np.ndarray) -> tuple[sparse.csr_array, np.ndarray]:
    """Return all nodes by those that neither are fixed nor follow another one ``[n, free]``, and these nodes."""
    count = len(nodes.x)
    step = sparse.lil_array((count, count))
    step.setdiag(np.where(fixed, 0.0, 1.0))
    following = np.zeros(count, dtype=bool)
    for axis, kind in enumerate(kinds):
        if kind != PERIODIC:
            continue
        slaves, weights = nodes.across(axis)
        for row, slave in enumerate(slaves):
            if fixed[slave] or following[slave]:
                continue
            following[slave] = True
            begin, end = weights.indptr[row], weights.indptr[row + 1]
            step[slave, slave] = 0.0
            step[slave, weights.indices[begin:end]] = weights.data[begin:end]
    step = step.tocsr()
    total = step
    for _ in range(2 * nodes.dim):  # a node follows an edge, which follows a corner, which follows a free one
        total = total @ step
    free = np.flatnonzero(~fixed & ~following)
    return sparse.csr_array(total[:, free]), free


def _middle(x: Array, nodes: Nodes) -> int:
    """Return the position of the node nearest to the middle of the cell."""
    return int(np.argmin(np.linalg.norm(x - 0.5 * (nodes.lower + nodes.upper), axis=1)))


def _null_space(conditions: Array) -> sparse.csr_array:
    """Return ``[f, f − c]`` whose columns span ``conditions[c, f]·w = 0``: c of the unknowns follow the others."""
    rank, size = conditions.shape
    if rank == 0:
        return sparse.csr_array(sparse.eye_array(size))
    scaled = conditions / np.linalg.norm(conditions, axis=1, keepdims=True)
    _, triangle, order = linalg.qr(scaled, mode="economic", pivoting=True)
    if abs(triangle[rank - 1, rank - 1]) < 1e-10:
        raise MeshError("The faces of the cell carry no independent conditions; is the mesh a closed box?")
    dependent = np.sort(order[:rank])
    free = np.setdiff1d(np.arange(size), dependent)
    shares = -np.linalg.solve(scaled[:, dependent], scaled[:, free])
    shares[np.abs(shares) < 1e-14] = 0.0
    unit = sparse.coo_array((np.ones(len(free)), (free, np.arange(len(free)))), shape=(size, len(free)))
    part = sparse.coo_array(shares)
    rows = sparse.coo_array((part.data, (dependent[part.coords[0]], part.coords[1])), shape=(size, len(free)))
    return sparse.csr_array(unit + rows)

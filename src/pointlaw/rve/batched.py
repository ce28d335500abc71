"""The batched engine: many volume elements of one plane-strain mesh at once, in compiled code.

The mesh is analysed once: order of elimination, panels of the factor, and where every cell's stiffness goes. Then
several volume elements lie side by side in the lanes of vector registers and are solved by one stream of instructions
(``kernels/rve2d.c``). What it does not cover, and a row that it cannot solve, is left to the general engine; the state
and the answer are the same.
"""

from pointlaw.fem.mpi import MPI  # isort: skip  # noqa: F401 - MPI before DOLFINx

import logging
from typing import Any

import basix
import numpy as np

from pointlaw.errors import EnvironmentProblem
from pointlaw.fem.strain import default_quadrature_degree
from pointlaw.kernels.native import load_library
from pointlaw.kernels.ordering import best_order
from pointlaw.kernels.symbolic import Panels, column_structure, panels
from pointlaw.materials import J2, LinearElastic, Material, PlaneStrain, Response
from pointlaw.rve.cell import GeneralEngine
from pointlaw.rve.element import VolumeElement
from pointlaw.rve.engine import FLUCTUATION, STRAIN, phase_variable
from pointlaw.tensors import PLANE_STRAIN, Array

log = logging.getLogger(__name__)

KERNEL = "rve2d"
MOST_NODES = 9  # of a cell; MOST in the C source
GENERAL_COST = 30.0  # of an iteration of the general engine, in iterations here (benchmarks/bench_rve_throughput.py)
FIXED_COST = 2.0  # of a row without iterations: loading it, its last assembly, its tangent; in iterations
LARGEST = 6000  # free nodes; beyond, MUMPS' blocked dense algebra wins over lanes that no longer fit a cache


def covers(element: VolumeElement) -> str | None:
    """Return why the batched engine does not cover ``element``, or ``None`` if it does."""
    if element.kinematics != PLANE_STRAIN:
        return f"it solves plane strain, the volume element is {element.kinematics}"
    for tag, law in element.phases.items():
        if sentence := _law_sentence(law):
            return f"phase '{tag}' {sentence}"
    if element.V.dofmap.list.shape[1] > MOST_NODES:
        return f"its cells have at most {MOST_NODES} nodes, these have {element.V.dofmap.list.shape[1]}"
    if element.quadrature_degree < default_quadrature_degree(element.body.mesh.topology.cell_name(), element.degree):
        return (
            "its cells have fewer quadrature points than is usual, and only the general engine sees if they are too few"
        )
    scalar = element.P[::2, ::2]
    if scalar.nnz and (np.diff(scalar.indptr).max() > 1 or not (scalar.data == 1.0).all()):
        return f"under {element.constraint!r} some nodes follow several others; it wants each to follow one"
    if not 1 <= scalar.shape[1] <= LARGEST:
        return f"it is made for 1 to {LARGEST} free nodes, here are {scalar.shape[1]}"
    try:
        load_library(KERNEL)
    except EnvironmentProblem as error:
        return str(error)
    return None


def _law_sentence(law: Material) -> str | None:
    if type(law) is not PlaneStrain:
        return f"is {type(law).__name__}; it knows PlaneStrain(J2(…)) and PlaneStrain(LinearElastic(…))"
    inner = law.law
    if type(inner) is LinearElastic:
        return None
    if type(inner) is not J2:
        return f"is PlaneStrain({type(inner).__name__}(…)); it knows J2 and LinearElastic"
    if inner.terms:
        return "has kinematic hardening; it knows isotropic hardening"
    if inner.H < 0.0 or inner.Q < 0.0:
        return f"softens (H = {inner.H:g}, Q = {inner.Q:g}), which may make the stiffness indefinite"
    return None


class BatchedEngine:
    """Solves many volume elements at once; see :class:`~pointlaw.rve.engine.Engine`.

    Parameters
    ----------
    element
        The volume element; :func:`covers` must have nothing against it.
    tolerance, iterations
        As in :class:`GeneralEngine`.
    max_cuts
        Of the general engine, which takes the rows that do not converge here.

    Attributes
    ----------
    fallen : int
        Rows that were left to the general engine so far.
    iterations_done : int
        Newton iterations of the rows that were solved here so far.

    Raises
    ------
    EnvironmentProblem
        If the compiled kernel cannot be built.
    """

    def __init__(self, element: VolumeElement, *, tolerance: float = 1e-8, iterations: int = 25, max_cuts: int = 4):
        self.element, self.tolerance, self.iterations, self.max_cuts = element, tolerance, iterations, max_cuts
        self.kinematics, self.state_layout = element.kinematics, element.state_layout
        self.fallen = self.iterations_done = 0
        self.effort: Array = np.zeros(0)
        self._ffi, self._library = load_library(KERNEL)
        self._general: GeneralEngine | None = None
        self._arrays: list[Array] = []  # whatever C points to
        self._rve = self._ffi.new("rve *")
        self._analyse()
        self._memory = _aligned(int(self._library.rve2d_work(self._rve)))

    def initial_state(self, points: int) -> Array:
        """Return the virgin state ``[points, S]``."""
        return self.element.initial_state(points)

    def solve(self, strain: Array, state: Array, dt: float, *, tangent: bool) -> Response:
        """Answer for ``n`` volume elements; see :meth:`Engine.solve`."""
        n, m = len(strain), self.kinematics.size
        strain = np.ascontiguousarray(strain, dtype=float)
        state = np.ascontiguousarray(state, dtype=float)
        stress, new = np.full((n, m), np.nan), state.copy()
        moduli = np.zeros((n, m, m)) if tangent else None
        status, iterations = np.full(n, -1, dtype=np.int8), np.zeros(n, dtype=np.int32)
        if n:
            self._library.rve2d_solve(
                self._rve,
                n,
                *(self._pointer("double *", array) for array in (strain, state, stress, moduli, new)),
                self._pointer("signed char *", status),
                self._pointer("int *", iterations),
                self.tolerance,
                self._floor,
                self.iterations,
                self._pointer("double *", self._memory),
            )
        self.iterations_done += int(iterations.sum())
        self.effort = FIXED_COST + iterations.astype(np.float64)
        answer = Response(stress=stress, tangent=moduli, state=new, status=status)
        left = np.flatnonzero(np.asarray(answer.status) < 0)
        if len(left):
            self._leave(left, strain, state, dt, answer)
        return answer

    def _leave(self, rows: np.ndarray, strain: Array, state: Array, dt: float, out: Response) -> None:
        """Let the general engine answer these rows."""
        log.debug("%d of %d rows are left to the general engine", len(rows), len(strain))
        self.fallen += len(rows)
        if self._general is None:
            options = {"tolerance": self.tolerance, "iterations": self.iterations, "max_cuts": self.max_cuts}
            self._general = GeneralEngine(self.element, **options)  # type: ignore[arg-type]
        answer = self._general.solve(strain[rows], state[rows], dt, tangent=out.tangent is not None)
        out.stress[rows], out.state[rows] = answer.stress, answer.state
        np.asarray(out.status)[rows] = answer.status
        self.effort[rows] += GENERAL_COST * self._general.effort
        if out.tangent is not None and answer.tangent is not None:
            out.tangent[rows] = answer.tangent

    def _pointer(self, kind: str, array: Any) -> Any:
        """Return the address of an array as C wants it; ``NULL`` for ``None``."""
        return self._ffi.NULL if array is None else self._ffi.cast(kind, array.ctypes.data)

    def _give(self, **arrays: Any) -> None:
        """Set pointers of the C structure and keep what they point to."""
        kinds = {np.dtype(np.int32): "int *", np.dtype(np.int64): "long *", np.dtype(float): "double *"}
        for name, values in arrays.items():
            array = np.ascontiguousarray(values)
            self._arrays.append(array)
            setattr(self._rve, name, self._pointer(kinds[array.dtype], array))

    def _analyse(self) -> None:
        """Fill the C structure: mesh, laws, order of elimination, places in the factor."""
        element, r = self.element, self._rve
        cells = np.concatenate(list(element.cells.values()))
        counts = [len(part) for part in element.cells.values()]
        cell_nodes = np.asarray(element.V.dofmap.list)[cells].astype(np.int32)
        grad, weight = shape_gradients(element, cells)
        r.ne, r.nq, r.cells, r.nodes = cell_nodes.shape[1], weight.shape[1], len(cells), len(element.x)
        r.state_size, r.volume = element.state_layout.size, element.volume
        r.fluctuation = element.state_layout[FLUCTUATION].start
        r.strain = element.state_layout[STRAIN].start
        self._laws(counts)
        plastic = np.repeat([isinstance(_inner(law), J2) for law in element.phases.values()], counts)
        history = np.where(plastic, (np.cumsum(plastic) - 1) * r.nq, np.cumsum(~plastic) - 1)
        r.plastic_points = int(plastic.sum()) * r.nq
        moduli = np.repeat(
            [_inner(law).stiffness[np.ix_((0, 1, 5), (0, 1, 5))] for law in element.phases.values()], counts, 0
        )
        stiffness = cell_stiffness(grad, weight, moduli)
        forces = stiffness @ element.D.reshape(r.nodes, 2, 3)[cell_nodes].reshape(r.cells, 2 * r.ne, 3)
        self._floor = float(np.linalg.norm(self._sum(cell_nodes, forces), axis=0).max()) * 1e-16
        elastic = ~plastic
        place, entry, order = self._factor(cell_nodes)
        self._give(
            cell_nodes=cell_nodes,
            free_of=place,
            unknown=order.astype(np.int32),
            place=element.D,
            grad=grad,
            weight=weight,
            history=history.astype(np.int32),
            entry=entry,
            elastic=stiffness[elastic],
            constant=_constant(entry[elastic], stiffness[elastic], r.pattern_size),
            coupling=self._sum(cell_nodes[elastic], forces[elastic]),
            unit=np.einsum("cq,cij->ij", weight[elastic], moduli[elastic]),
        )

    def _laws(self, counts: list[int]) -> None:
        """Hand over the laws, and where the states of each cell lie in a row."""
        element, nq = self.element, self._rve.nq
        laws = self._ffi.new("law[]", len(element.phases))
        begin, size = [], []
        for number, (tag, law) in enumerate(element.phases.items()):
            inner = _inner(law)
            laws[number].K, laws[number].G = inner.E / (3.0 - 6.0 * inner.nu), inner.E / (2.0 + 2.0 * inner.nu)
            if isinstance(inner, J2):
                saturating = inner.Q * inner.b != 0.0
                laws[number].plastic, laws[number].yield_stress, laws[number].H = 1, inner.yield_stress, inner.H
                laws[number].Q, laws[number].b = (inner.Q, inner.b) if saturating else (0.0, 0.0)
            points = law.state_layout.size
            first = element.state_layout[phase_variable(tag)].start
            begin.append(first + np.arange(counts[number]) * nq * points)
            size.append(np.full(counts[number], points))
        self._law_array, self._rve.laws = laws, laws
        self._give(
            law_of=np.repeat(np.arange(len(counts)), counts).astype(np.int32),
            state_of=np.concatenate(begin).astype(np.int64),
            point_size=np.concatenate(size).astype(np.int32),
        )

    def _factor(self, cell_nodes: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Choose the order of elimination and lay out the factor.

        Returns for each node its place in the order (-1 if it is held), for each cell where its blocks go, and the
        order.
        """
        element, r = self.element, self._rve
        scalar = element.P[::2, ::2].tocsr()
        scalar.eliminate_zeros()
        follows = np.full(r.nodes, -1)
        holders = np.flatnonzero(np.diff(scalar.indptr))
        follows[holders] = scalar.indices
        graph: list[set[int]] = [set() for _ in range(scalar.shape[1])]
        for nodes in follows[cell_nodes]:
            clique = set(nodes.tolist()) - {-1}
            for node in clique:
                graph[node] |= clique - {node}
        places = np.zeros((scalar.shape[1], 2))
        places[follows[holders[::-1]]] = element.x[holders[::-1]]
        order = best_order(graph, places)
        layout = panels(column_structure(graph, order))
        position = np.empty(len(order), dtype=np.int32)
        position[order] = np.arange(len(order))
        place = np.where(follows < 0, -1, position[follows]).astype(np.int32)
        r.free, r.supernodes, r.pattern_size = len(order), len(layout.first), layout.size
        names = ("first", "width", "below", "start", "rows", "target", "stride")
        self._give(**{name: getattr(layout, name) for name in names})
        return place, _entries(place[cell_nodes], layout), order

    def _sum(self, cell_nodes: np.ndarray, forces: Array) -> Array:
        """Add up forces ``[cells, 2·ne, 3]`` of the cells at the nodes, ``[2·nodes, 3]``."""
        total = np.zeros((self._rve.nodes, 2, 3))
        np.add.at(total, cell_nodes, forces.reshape(*cell_nodes.shape, 2, 3))
        return total.reshape(-1, 3)


def shape_gradients(element: VolumeElement, cells: np.ndarray) -> tuple[Array, Array]:
    """Return gradients ``[c, q, ne, d]`` of the shape functions and weights ``[c, q]`` of the points of ``cells``."""
    mesh = element.body.mesh
    kind = mesh.basix_cell()
    points, weights = basix.make_quadrature(kind, element.quadrature_degree)

    def derivatives(degree: int) -> Array:
        basis = basix.create_element(basix.ElementFamily.P, kind, degree, basix.LagrangeVariant.gll_warped)
        table: Array = basis.tabulate(1, points)[1:, :, :, 0]
        return table

    geometry = mesh.geometry
    corners = geometry.x[geometry.dofmaps[0][cells]][:, :, : geometry.dim]
    jacobian = np.einsum("cai,jqa->cqij", corners, derivatives(geometry.cmaps[0].degree))
    grad = np.einsum("jqa,cqji->cqai", derivatives(element.degree), np.linalg.inv(jacobian))
    return np.ascontiguousarray(grad), np.abs(np.linalg.det(jacobian)) * weights


def cell_stiffness(grad: Array, weight: Array, moduli: Array) -> Array:
    """Return the stiffness ``[c, 2·ne, 2·ne]`` of cells with constant moduli ``[c, 3, 3]`` (Mandel)."""
    cells, points, nodes, _ = grad.shape
    B = np.zeros((cells, points, 3, nodes, 2))
    B[:, :, 0, :, 0], B[:, :, 1, :, 1] = grad[..., 0], grad[..., 1]
    B[:, :, 2, :, 0], B[:, :, 2, :, 1] = grad[..., 1] / np.sqrt(2.0), grad[..., 0] / np.sqrt(2.0)
    flat = B.reshape(cells, points, 3, 2 * nodes)
    stiffness: Array = np.einsum("cq,cqik,cij,cqjl->ckl", weight, flat, moduli, flat, optimize=True)
    return stiffness


def _entries(places: np.ndarray, layout: Panels) -> np.ndarray:
    """Return for each pair of nodes a >= b of each cell its place times 4 plus orientation, and a row's length.

    The shape is ``[c, pairs, 2]``. Orientation 0: the block as it is; 1: transposed; 2: both, where two nodes follow
    the same free one.
    """
    known: dict[tuple[int, int], int] = {}
    cells, nodes = places.shape
    entries = np.full((cells, nodes * (nodes + 1) // 2, 2), -1, dtype=np.int32)
    pairs = [(a, b) for a in range(nodes) for b in range(a + 1)]
    for cell, mine in enumerate(places.tolist()):
        for number, (a, b) in enumerate(pairs):
            row, column = max(mine[a], mine[b]), min(mine[a], mine[b])
            if column < 0:
                continue
            if (row, column) not in known:
                known[row, column] = layout.block(row, column)
            orientation = (2 if a != b else 0) if row == column else int(mine[a] < mine[b])
            width = int(layout.width[layout.panel_of[column]])
            entries[cell, number] = 4 * known[row, column] + orientation, 2 * width
    return entries


def _constant(entries: np.ndarray, stiffness: Array, size: int) -> Array:
    """Return the matrix of cells whose stiffness never changes, ``[size]``."""
    matrix = np.zeros(size)
    cells, double, _ = stiffness.shape
    blocks = stiffness.reshape(cells, double // 2, 2, double // 2, 2).transpose(0, 1, 3, 2, 4)
    pairs = [(a, b) for a in range(double // 2) for b in range(a + 1)]
    for number, (a, b) in enumerate(pairs):
        at, length = entries[:, number, 0], entries[:, number, 1]
        for transposed in (False, True):
            chosen = (at >= 0) & ((at % 4 != 0) if transposed else (at % 4 != 1))
            block = blocks[chosen, a, b].transpose(0, 2, 1) if transposed else blocks[chosen, a, b]
            begin = at[chosen] // 4
            for i in (0, 1):
                for j in (0, 1):
                    np.add.at(matrix, begin + i * length[chosen] + j, block[:, i, j])
    return matrix


def _inner(law: Material) -> Any:
    return law.law  # type: ignore[attr-defined]


def _aligned(size: int) -> Array:
    """Return memory for ``size`` numbers that begins at the border of a cache line."""
    memory = np.zeros(size + 8)
    shift = (-memory.ctypes.data % 64) // 8
    return memory[shift : shift + size]

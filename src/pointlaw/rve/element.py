"""A volume element: a meshed microstructure, a law for each phase, a constraint; everything an engine needs of them.

The mesh lives on one rank (``COMM_SELF``), because volume elements are spread over the ranks whole. Cells are listed in
the order of the mesh's input, so that a state means the same whatever DOLFINx did to the numbering.
"""

from pointlaw.fem.mpi import MPI  # isort: skip

from collections.abc import Mapping

import dolfinx
import numpy as np
import ufl
from dolfinx import fem
from scipy import sparse

from pointlaw.errors import SetupError
from pointlaw.fem.jit import jit_options
from pointlaw.fem.strain import default_quadrature_degree
from pointlaw.fem.tagged_mesh import TaggedMesh, tagged
from pointlaw.materials import Material, checks
from pointlaw.rve.constraint import Constraint
from pointlaw.rve.engine import FLUCTUATION, STRAIN, phase_variable, state_layout
from pointlaw.rve.faces import Nodes
from pointlaw.rve.mechanism import loose_parts
from pointlaw.tensors import Array, Kinematics

WHOLE = "body"


class VolumeElement:
    """A microstructure with its laws and its constraint.

    Parameters
    ----------
    mesh
        A :class:`TaggedMesh` or DOLFINx mesh of a box-shaped cell on ``MPI.COMM_SELF``, in 2D or 3D; voids are holes.
        The cell is the ``box`` of the mesh where it has one, else as large as the mesh.
    phases
        A law for each cell tag (physical name or number), or one law for the whole cell.
    constraint
        What is prescribed on the boundary.
    degree
        Degree of the displacement, 1 or 2.
    quadrature_degree
        Of the material points; by default exact for the stiffness of undistorted elements.

    Attributes
    ----------
    V, x : function space, [n, d]
        Vector Lagrange space, and the coordinates of its nodes (unit of length).
    P, D : sparse [n·d, free], [n·d, m]
        The constraint ``u = D·(E − E₀) + P·w``, rows in the numbering of ``V``.
    cells : dict
        For each tag the local cells of the phase in the order of the mesh's input.
    volume : float
        Of the box, voids included; the mean stress is per this volume.

    Raises
    ------
    SetupError
        For a mesh on several ranks, kinematics that do not fit, a phase without a law or without cells, or solid
        that can move without strain because it is not connected, or only in hinges.
    MeshError
        For inverted cells, solid that does not reach a face of the box, faces that cannot be matched, and uniform
        tractions that are not in equilibrium.
    """

    def __init__(
        self,
        mesh: TaggedMesh | dolfinx.mesh.Mesh,
        phases: Material | Mapping[str | int, Material],
        constraint: Constraint,
        *,
        degree: int = 1,
        quadrature_degree: int | None = None,
    ):
        self.body, self.constraint, self.degree = tagged(mesh), constraint, degree
        if self.body.mesh.comm.size > 1:
            raise SetupError(
                f"The mesh of a volume element lives on one rank, but {self.body.source} is spread over "
                f"{self.body.mesh.comm.size}: make it with comm = MPI.COMM_SELF."
            )
        self.body.check()
        whole = isinstance(phases, Material)
        self.phases: dict[str | int, Material] = {WHOLE: phases} if isinstance(phases, Material) else dict(phases)
        for law in self.phases.values():
            checks.not_collective("RVEMaterial", law, "mesh, law")
        self.kinematics = _common_kinematics(self.phases, self.body.dim)
        self.cells = {tag: self._in_input_order(None if whole else tag) for tag in self.phases}
        self._require_cover()
        domain = self.body.mesh
        self.V = fem.functionspace(domain, ("Lagrange", degree, (domain.geometry.dim,)))
        self.x: Array = self.V.tabulate_dof_coordinates()[:, : self.body.dim].copy()
        kind = domain.topology.cell_name()
        self.quadrature_degree = (
            default_quadrature_degree(kind, degree) if quadrature_degree is None else quadrature_degree
        )
        self.nodes = Nodes(self.x, _boundary_facets(self.V), self._face_weights, self.body.source, self.body.box)
        self.volume = float(np.prod(self.nodes.upper - self.nodes.lower))
        P, self.D = constraint.matrices(self.nodes, self.kinematics)
        self.P: sparse.csr_array = P
        self._require_rigid()
        points = len(self._quadrature_points())
        self.points = {tag: len(cells) * points for tag, cells in self.cells.items()}
        sizes = {str(tag): self.points[tag] * law.state_layout.size for tag, law in self.phases.items()}
        self.state_layout = state_layout(self.P.shape[1], sizes, self.kinematics)

    @property
    def free(self) -> int:
        """Number of free unknowns."""
        return int(self.P.shape[1])

    @property
    def symmetric(self) -> bool:
        """Whether the tangents of all phases are symmetric."""
        return all(law.symmetric for law in self.phases.values())

    def initial_state(self, points: int) -> Array:
        """Return the virgin state ``[points, S]``: no fluctuation, virgin phases, the reference strain."""
        state = np.zeros((points, self.state_layout.size))
        for tag, law in self.phases.items():
            state[:, self.state_layout[phase_variable(tag)]] = law.initial_state(self.points[tag]).reshape(-1)
        state[:, self.state_layout[STRAIN]] = self.kinematics.reference
        return state

    def phase_state(self, tag: str | int, state: Array) -> Array:
        """Return the states ``[points, s]`` of one phase from the state ``[S]`` of one volume element; a view."""
        return state[self.state_layout[phase_variable(tag)]].reshape(self.points[tag], -1)

    def displacement(self, strain: Array, state: Array) -> Array:
        """Return the nodal displacement ``[n·d]`` of one element: ``D·(E − E₀) + P·w``; unit of length."""
        moved: Array = self.D @ (strain - self.kinematics.reference)
        moved += self.P @ state[self.state_layout[FLUCTUATION]]
        return moved

    def __repr__(self) -> str:
        laws = ", ".join(f"{tag}: {type(law).__name__}" for tag, law in self.phases.items())
        return f"VolumeElement({self.body.source}, {{{laws}}}, {self.constraint!r}, {self.free} unknowns)"

    def _in_input_order(self, tag: str | int | None) -> np.ndarray:
        topology = self.body.mesh.topology
        owned = np.arange(topology.index_map(self.body.dim).size_local, dtype=np.int32)
        cells = owned if tag is None else self.body.cells(tag)
        return cells[np.argsort(topology.original_cell_index[cells])]

    def _require_cover(self) -> None:
        count = np.zeros(self.body.mesh.topology.index_map(self.body.dim).size_local, dtype=int)
        for cells in self.cells.values():
            count[cells] += 1
        if (count == 1).all():
            return
        tags = [] if self.body.cell_tags is None else np.unique(self.body.cell_tags.values).tolist()
        raise SetupError(
            f"{np.count_nonzero(count == 0)} cells of {self.body.source} have no law and "
            f"{np.count_nonzero(count > 1)} have two; the cell tags are {tags}, laws are given for "
            f"{list(self.phases)}. Give each phase a law; a void is left out of the mesh."
        )

    def _require_rigid(self) -> None:
        """Raise ``SetupError`` if a part of the solid could move without strain."""
        d = self.body.dim
        one = sparse.csr_array(self.P[::d, ::d])  # one component; the others are alike
        loose = loose_parts(self.body.mesh, self.V.dofmap.list, self.x, one)
        if loose:
            raise SetupError(
                f"{self.body.source} can move without strain under {self.constraint!r}: {len(loose)} part(s) of the "
                f"solid hang loose or on hinges (points or edges where cells touch), one around x = "
                f"{self.nodes.told(loose[0])}. Remove them, or fill the voids with a soft law."
            )

    def _quadrature_points(self) -> Array:
        import basix

        kind = self.body.mesh.basix_cell()
        points: Array = basix.make_quadrature(kind, self.quadrature_degree)[0]
        return points

    def _face_weights(self, axis: int, side: int) -> Array:
        """Return the integral of every node's shape function over a face of the box, ``[n]``."""
        mesh, d = self.body.mesh, self.body.dim
        mesh.topology.create_connectivity(d - 1, d)
        bound = (self.nodes.lower, self.nodes.upper)[side][axis]
        facets = dolfinx.mesh.locate_entities_boundary(
            mesh, d - 1, lambda x: np.abs(x[axis] - bound) <= self.nodes.reach
        )
        entities = fem.compute_integration_domains(fem.IntegralType.exterior_facet, mesh.topology, facets)
        ds = ufl.Measure("ds", domain=mesh, subdomain_data=[(1, entities)])(1)
        ones = fem.Constant(mesh, np.ones(d))
        form = fem.form(ufl.inner(ones, ufl.TestFunction(self.V)) * ds, jit_options=jit_options())
        weights: Array = fem.assemble_vector(form).array.reshape(-1, d)[:, 0].copy()
        return weights


def _common_kinematics(phases: Mapping[str | int, Material], dim: int) -> Kinematics:
    if not phases:
        raise SetupError("A volume element needs a law for each phase; none is given.")
    found = {tag: law.kinematics for tag, law in phases.items()}
    first = next(iter(found.values()))
    if len(set(found.values())) > 1:
        told = ", ".join(f"{tag}: {kinematics}" for tag, kinematics in found.items())
        raise SetupError(f"All phases of a volume element need the same kinematics; they have {told}.")
    if first.name == "axisymmetric" or first.dim < 2 or first.dim != dim:
        raise SetupError(
            f"Laws with kinematics {first} make no volume element of a mesh of dimension {dim}; wrap them "
            "(PlaneStrain, PlaneStress, FinitePlaneStrain) or use another mesh."
        )
    return first


def _boundary_facets(V: fem.FunctionSpace) -> np.ndarray:
    """Return the nodes ``[b, k]`` of every facet of the boundary, corners first."""
    mesh, fdim = V.mesh, V.mesh.topology.dim - 1
    mesh.topology.create_connectivity(fdim, fdim + 1)
    exterior = dolfinx.mesh.exterior_facet_indices(mesh.topology)
    pairs = fem.compute_integration_domains(fem.IntegralType.exterior_facet, mesh.topology, exterior).reshape(-1, 2)
    layout, cell_nodes = V.dofmap.dof_layout, V.dofmap.list
    local = np.array([layout.entity_closure_dofs(fdim, f) for f in range(int(pairs[:, 1].max(initial=0)) + 1)])
    nodes: np.ndarray = cell_nodes[pairs[:, :1], local[pairs[:, 1]]].astype(np.intp)
    return nodes


__all__ = ["MPI", "VolumeElement"]

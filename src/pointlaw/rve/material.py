"""A volume element as a law: strain in, mean stress, homogenised tangent and state of all its points out.

Behind a macroscopic problem it is concurrent FE²; driven along paths it makes data. Which engine solves it makes no
difference to the answer.
"""

from pointlaw.fem.mpi import MPI  # isort: skip  # noqa: F401 - MPI before DOLFINx

import functools
import logging
from collections.abc import Mapping
from typing import Any

import dolfinx

from pointlaw.errors import InputError
from pointlaw.fem.tagged_mesh import TaggedMesh
from pointlaw.materials import Material, Response
from pointlaw.rve.cell import GeneralEngine
from pointlaw.rve.constraint import Constraint, Periodic
from pointlaw.rve.element import VolumeElement
from pointlaw.rve.engine import Engine
from pointlaw.rve.provenance import mesh_hash
from pointlaw.tensors import Array

log = logging.getLogger(__name__)

ENGINES = ("auto", "general", "batched")


class RVEMaterial(Material):
    """A volume element that is a law; its points are whole volume elements.

    Parameters
    ----------
    mesh
        Mesh of a box-shaped cell on ``MPI.COMM_SELF``, 2D or 3D, with tags of its phases.
    phases
        A law for each cell tag (physical name or number), or one law for the whole cell.
    constraint
        What is prescribed on the boundary; periodic if omitted.
    engine
        ``"batched"`` solves many elements at once where it covers them, ``"general"`` any; ``"auto"`` takes the
        batched one where it can.
    degree, quadrature_degree
        As in :class:`VolumeElement`.
    tolerance
        Relative residual of the volume elements; a macroscopic problem should not be solved more tightly.
    iterations, max_cuts
        Newton iterations of a step, and how often it is halved on the way where they do not suffice.

    Attributes
    ----------
    element : VolumeElement
        The microstructure.
    engine : Engine
        Who solves it.

    Raises
    ------
    SetupError, MeshError
        See :class:`VolumeElement` and :class:`GeneralEngine`.
    InputError
        If the batched engine was asked for and does not cover this element; the message says why.
    """

    def __init__(
        self,
        mesh: TaggedMesh | dolfinx.mesh.Mesh,
        phases: Material | Mapping[str | int, Material],
        constraint: Constraint | None = None,
        *,
        engine: str = "auto",
        degree: int = 1,
        quadrature_degree: int | None = None,
        tolerance: float = 1e-8,
        iterations: int = 25,
        max_cuts: int = 4,
    ):
        self.element = VolumeElement(
            mesh,
            phases,
            Periodic() if constraint is None else constraint,
            degree=degree,
            quadrature_degree=quadrature_degree,
        )
        self.phases = self.element.phases  # the laws whose units are those of the cell
        self._options: dict[str, Any] = {"tolerance": tolerance, "iterations": iterations, "max_cuts": max_cuts}
        self.engine = _engine(self.element, engine, self._options)
        self.kinematics = self.engine.kinematics
        self.state_layout = self.engine.state_layout
        self.symmetric = self.element.symmetric

    @property
    def identity(self) -> str:
        """Hash of the mesh, constraint and identities of the phases; see :attr:`Material.identity`."""
        phases = ", ".join(f"{tag}: {law.identity}" for tag, law in self.element.phases.items())
        return f"{type(self).__name__}({phases}; {self.element.constraint!r}; mesh {mesh_hash(self.element)[:16]})"

    def initial_state(self, points: int) -> Array:
        """Return the virgin state ``[points, S]``."""
        return self.engine.initial_state(points)

    @property
    def effort(self) -> Array:
        """Relative cost ``[p]`` of the rows of the last call, in Newton iterations; :class:`Balanced` deals by it."""
        return self.engine.effort

    @functools.cached_property
    def general(self) -> GeneralEngine:
        """The general engine of this element, which knows the local fields."""
        return self.engine if isinstance(self.engine, GeneralEngine) else GeneralEngine(self.element, **self._options)

    def update(self, strain: Array, state: Array, dt: float, *, tangent: bool = True) -> Response:
        """Solve the volume elements, one a row; see :meth:`Material.update` and :meth:`Engine.solve`."""
        return self.engine.solve(strain, state, dt, tangent=tangent)


def _engine(element: VolumeElement, wanted: str, options: dict[str, Any]) -> Engine:
    if wanted not in ENGINES:
        raise InputError(f"RVEMaterial: engine = {wanted!r} must be one of {', '.join(map(repr, ENGINES))}.")
    if wanted == "general":
        return GeneralEngine(element, **options)
    from pointlaw.rve.batched import BatchedEngine, covers

    sentence = covers(element)
    if sentence is None:
        return BatchedEngine(element, **options)
    if wanted == "batched":
        raise InputError(f"The batched engine does not cover {element!r}: {sentence}. Use engine = 'auto'.")
    log.info("The general engine solves %r; the batched one does not cover it: %s.", element, sentence)
    return GeneralEngine(element, **options)

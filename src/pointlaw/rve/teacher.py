"""The teacher in a sampling file: a law, a volume element of laws, or what a Python function of the user's makes.

The schema names classes and their parameters and adds nothing of its own: ``law`` is any law of ``pointlaw.materials``,
``microstructure`` any of ``pointlaw.rve.microstructure``. Names and parameters that do not exist are a sentence.
"""

import hashlib
from collections.abc import Callable
from pathlib import Path
from typing import Any, Literal

import pydantic

from pointlaw import materials
from pointlaw.data import Settings
from pointlaw.errors import InputError
from pointlaw.fem.mesh_files import read_mesh
from pointlaw.fem.mpi import MPI
from pointlaw.fem.tagged_mesh import TaggedMesh
from pointlaw.materials import UMAT, Material
from pointlaw.materials.by_name import call, concrete_classes, function_in_file, named
from pointlaw.rve import constraint as constraints
from pointlaw.rve import microstructure as microstructures
from pointlaw.rve.constraint import Constraint
from pointlaw.rve.material import RVEMaterial
from pointlaw.rve.microstructure import Microstructure


class Law(Settings):
    """A law by its class.

    Attributes
    ----------
    law : str
        A class of ``pointlaw.materials``, such as ``"J2"``.
    parameters : dict
        Its parameters; the ``library`` of a UMAT is relative to the configuration.
    reduce : str, optional
        A reduction around it: ``"PlaneStrain"``, ``"PlaneStress"``, ``"Axisymmetric"`` or ``"Uniaxial"``.
    """

    law: str
    parameters: dict[str, Any] = pydantic.Field(default={})
    reduce: Literal["PlaneStrain", "PlaneStress", "Axisymmetric", "Uniaxial"] | None = None

    def make(self, folder: Path) -> Material:
        """Return the law, file names relative to ``folder``; raises ``InputError`` for unknown names."""
        known = concrete_classes(materials, Material)
        parameters = dict(self.parameters)
        if isinstance(library := parameters.get("library"), str):
            parameters["library"] = folder / Path(library).expanduser()
        made: Material = _call("law", self.law, known, parameters)
        if isinstance(made, UMAT):
            made.library = self.parameters["library"]  # as it was written: the same run after a move of the folder
        return known[self.reduce](made) if self.reduce else made


class Cell(Settings):
    """A volume element.

    Attributes
    ----------
    microstructure : str, optional
        A class or function of ``pointlaw.rve.microstructure``, such as ``"random_inclusions"``, or ``"read_image"``.
    parameters : dict
        Its parameters.
    resolution : int or list of int, optional
        Voxels along the first or along each axis.
    element_size : float, optional
        Instead of voxels: edge length of a conforming mesh (needs gmsh), unit of length.
    mesh : str, optional
        Instead of a microstructure: a mesh file with tagged cells, relative to the configuration.
    voids : list of str
        Phases that are left out of a voxel mesh.
    phases : dict
        A law for each phase.
    constraint : str
        ``"Periodic"``, ``"LinearDisplacement"`` or ``"UniformTraction"``.
    engine, degree, tolerance
        As in :class:`~pointlaw.rve.RVEMaterial`.
    """

    microstructure: str | None = None
    parameters: dict[str, Any] = pydantic.Field(default={})
    resolution: int | list[int] | None = None
    element_size: float | None = None
    mesh: str | None = None
    voids: list[str] = pydantic.Field(default=[])
    phases: dict[str, Law]
    constraint: Literal["Periodic", "LinearDisplacement", "UniformTraction"] = "Periodic"
    engine: Literal["auto", "general", "batched"] = "auto"
    degree: Literal[1, 2] = 1
    tolerance: float = pydantic.Field(default=1e-8, gt=0.0, lt=1.0)

    @pydantic.model_validator(mode="after")
    def _one_mesh(self) -> "Cell":
        if (self.microstructure is None) == (self.mesh is None):
            raise ValueError("the mesh comes from either microstructure or mesh")
        if self.microstructure and (self.resolution is None) == (self.element_size is None):
            raise ValueError("a microstructure needs either resolution (voxels) or element_size (gmsh)")
        return self

    def make(self, folder: Path) -> Material:
        """Return the volume element on this rank alone; file names are relative to ``folder``."""
        constraint: Constraint = getattr(constraints, self.constraint)()
        phases: dict[str | int, Material] = {
            int(tag) if tag.isdigit() else tag: law.make(folder) for tag, law in self.phases.items()
        }
        options: dict[str, Any] = {"engine": self.engine, "degree": self.degree, "tolerance": self.tolerance}
        return RVEMaterial(self._mesh(folder), phases, constraint, **options)

    def _mesh(self, folder: Path) -> TaggedMesh:
        if self.mesh is not None:
            return read_mesh(folder / self.mesh, MPI.COMM_SELF)
        known: dict[str, Callable[..., Any]] = concrete_classes(microstructures, Microstructure)
        makers = ("random_inclusions", "lattice_inclusions", "read_image")
        known |= {name: getattr(microstructures, name) for name in makers}
        parameters = dict(self.parameters)
        if self.microstructure == "read_image" and "path" in parameters:
            parameters["path"] = folder / parameters["path"]
        structure = _call("microstructure", str(self.microstructure), known, parameters)
        if self.resolution is not None:
            made: TaggedMesh = structure.mesh(self.resolution, voids=self.voids)
            return made
        if not hasattr(structure, "conforming_mesh"):
            raise InputError(f"{self.microstructure} has no conforming mesh; give resolution instead of element_size.")
        conforming: TaggedMesh = structure.conforming_mesh(self.element_size)
        return conforming


class Python(Settings):
    """A function of the user's that makes the teacher; its code is run.

    Attributes
    ----------
    python : str
        ``"file.py:function"``, the file relative to the configuration.
    parameters : dict
        Its arguments, by keyword.
    """

    python: str
    parameters: dict[str, Any] = pydantic.Field(default={})

    def make(self, folder: Path) -> Material:
        """Return what the function returns, with function and SHA-256 of its file under ``made_by``, for the card.

        Raises ``InputError`` unless that is a material.
        """
        made = call(
            self.python,
            function_in_file("python", self.python, folder, module="pointlaw_teacher"),
            self.parameters,
        )
        if not isinstance(made, Material):
            raise InputError(f"{self.python} returned a {type(made).__name__}; it must return a Material.")
        # The law looks the same after a change of the code that makes it; what the file imports is not looked at.
        file = folder / self.python.rpartition(":")[0]
        told = {"python": self.python, "sha256": hashlib.sha256(file.read_bytes()).hexdigest()}
        object.__setattr__(made, "made_by", told)
        return made


def teacher_kind(values: dict[str, Any]) -> type[Law | Cell | Python]:
    """Return the schema that fits the entries of ``[teacher]``; raises ``InputError`` if they do not tell."""
    found = [kind for key, kind in (("law", Law), ("phases", Cell), ("python", Python)) if key in values]
    if len(found) != 1:
        raise InputError(
            "The teacher is given by one of law (a law), phases (a volume element) and python (a function); "
            f"its entries are {', '.join(values) or 'none'}."
        )
    return found[0]


def _call(what: str, name: str, known: dict[str, Any], parameters: dict[str, Any]) -> Any:
    """Call ``known[name]``; wrong names become a sentence, errors inside the call stay what they are."""
    return call(name, named(what, name, known), parameters)

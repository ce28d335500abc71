"""Volume elements: a microstructure, a law for each phase and a constraint, which together are a material."""

from pointlaw.fem.mpi import MPI  # isort: skip  # noqa: F401 - MPI before DOLFINx

from pointlaw.rve.balanced import Balanced
from pointlaw.rve.batched import BatchedEngine
from pointlaw.rve.cell import CellReport, GeneralEngine
from pointlaw.rve.constraint import Constraint, LinearDisplacement, Mixed, Periodic, UniformTraction
from pointlaw.rve.element import VolumeElement
from pointlaw.rve.engine import Engine
from pointlaw.rve.homogenise import Energies, energies, homogenise
from pointlaw.rve.localise import LocalFields, local_fields
from pointlaw.rve.material import RVEMaterial
from pointlaw.rve.microstructure import (
    Fibres,
    Image,
    Inclusions,
    Laminate,
    Microstructure,
    MinimalSurface,
    Polycrystal,
    Truss,
    lattice_inclusions,
    random_inclusions,
    read_image,
)
from pointlaw.rve.plan import make_plan
from pointlaw.rve.sample import SampleReport, sample

__all__ = [
    "Balanced",
    "BatchedEngine",
    "CellReport",
    "Constraint",
    "Energies",
    "Engine",
    "Fibres",
    "GeneralEngine",
    "Image",
    "Inclusions",
    "Laminate",
    "LinearDisplacement",
    "LocalFields",
    "Microstructure",
    "MinimalSurface",
    "Mixed",
    "Periodic",
    "Polycrystal",
    "RVEMaterial",
    "SampleReport",
    "Truss",
    "UniformTraction",
    "VolumeElement",
    "energies",
    "homogenise",
    "lattice_inclusions",
    "local_fields",
    "make_plan",
    "random_inclusions",
    "read_image",
    "sample",
]

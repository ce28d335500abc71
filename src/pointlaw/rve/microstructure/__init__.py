"""Microstructures: periodic arrangements of phases in a box, one kind a file."""

from pointlaw.rve.microstructure.base import Image, Microstructure
from pointlaw.rve.microstructure.fibres import Fibres
from pointlaw.rve.microstructure.image import read_image
from pointlaw.rve.microstructure.inclusions import Inclusions
from pointlaw.rve.microstructure.laminate import Laminate
from pointlaw.rve.microstructure.packing import lattice_inclusions, random_inclusions
from pointlaw.rve.microstructure.polycrystal import Polycrystal
from pointlaw.rve.microstructure.surfaces import MinimalSurface
from pointlaw.rve.microstructure.truss import Truss

__all__ = [
    "Fibres",
    "Image",
    "Inclusions",
    "Laminate",
    "Microstructure",
    "MinimalSurface",
    "Polycrystal",
    "Truss",
    "lattice_inclusions",
    "random_inclusions",
    "read_image",
]

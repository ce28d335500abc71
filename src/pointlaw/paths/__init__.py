"""Load histories of a material point and the solver along them. NumPy only."""

from pointlaw.paths.drive import drive
from pointlaw.paths.generate import cyclic, gaussian_process, proportional, random_directions, random_walk, through
from pointlaw.paths.path import LoadPath, StrainPath
from pointlaw.paths.record import Record

__all__ = [
    "LoadPath",
    "Record",
    "StrainPath",
    "cyclic",
    "drive",
    "gaussian_process",
    "proportional",
    "random_directions",
    "random_walk",
    "through",
]

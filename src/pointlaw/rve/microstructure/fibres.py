"""Unidirectional fibres: a plane arrangement of discs or ellipses, extruded."""

from typing import Any

import numpy as np

from pointlaw.errors import InputError
from pointlaw.fem.tagged_mesh import TaggedMesh
from pointlaw.rve.microstructure.base import Microstructure, Tags
from pointlaw.rve.microstructure.conforming import mesh_fibres
from pointlaw.rve.microstructure.inclusions import Inclusions
from pointlaw.tensors import Array


class Fibres(Microstructure):
    """Fibres along z whose sections are plane inclusions; phases ``matrix`` (1) and ``fibre`` (2).

    Parameters
    ----------
    section : Inclusions
        Arrangement in the plane.
    length : float
        Length of the box along the fibres, unit of length.
    """

    def __init__(self, section: Inclusions, length: float):
        if section.dim != 2:
            raise InputError(f"Fibres need a plane section; this one has dimension {section.dim}.")
        if not length > 0.0:
            raise InputError(f"Fibres: length = {length} must be positive.")
        self.section = section
        self.names = {"matrix": 1, "fibre": 2}
        self.size = np.append(section.size, length)

    def tags_at(self, x: Array) -> Tags:
        """Return matrix or fibre for each place."""
        return self.section.tags_at(x[:, :2])

    def conforming_mesh(self, element_size: float, *, comm: Any = None) -> TaggedMesh:
        """Return a periodic tetrahedral mesh that follows the fibres; needs gmsh."""
        return mesh_fibres(self.section, self.size[2], element_size, self.names, comm=comm)

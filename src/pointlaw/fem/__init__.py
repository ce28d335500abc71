"""The finite-element room: a material at every quadrature point of a DOLFINx problem.

It sees :class:`~pointlaw.materials.Material` only; networks, formulas and volume elements are all the same here.
Importing it brings in MPI before DOLFINx (see :mod:`pointlaw.fem.mpi`).
"""

from pointlaw.fem.mpi import MPI  # isort: skip - MPI before DOLFINx

from pointlaw.fem.arc_length import ArcLength
from pointlaw.fem.attach import attach
from pointlaw.fem.checkpoint import Checkpoint, load_checkpoint, save_checkpoint
from pointlaw.fem.controller import Decision, FixedStep, StepController
from pointlaw.fem.gather import gather_cells
from pointlaw.fem.loads import BodyForce, Displacement, Point, Pressure, Traction
from pointlaw.fem.march import march
from pointlaw.fem.mesh_files import read_mesh
from pointlaw.fem.observe import ForceTable, Observer, Paraview, Progress
from pointlaw.fem.problem import MechanicsProblem, StepReport
from pointlaw.fem.region import QuadratureFields, Region, Verdict
from pointlaw.fem.solution import Solution, Status
from pointlaw.fem.tagged_mesh import TaggedMesh

__all__ = [
    "MPI",
    "ArcLength",
    "BodyForce",
    "Checkpoint",
    "Decision",
    "Displacement",
    "FixedStep",
    "ForceTable",
    "MechanicsProblem",
    "Observer",
    "Paraview",
    "Point",
    "Pressure",
    "Progress",
    "QuadratureFields",
    "Region",
    "Solution",
    "Status",
    "StepController",
    "StepReport",
    "TaggedMesh",
    "Traction",
    "Verdict",
    "attach",
    "gather_cells",
    "load_checkpoint",
    "march",
    "read_mesh",
    "save_checkpoint",
]

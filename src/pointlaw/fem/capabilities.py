"""What the DOLFINx, PETSc and MPI of this process are, and what PETSc was built with.

Builds differ: the wheel has MUMPS but no hypre, images and distributions mostly have both. Whoever chooses a solver
asks here instead of finding out from a PETSc error, and ``pointlaw doctor`` prints it.
"""

import sys
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path

from mpi4py import MPI
from petsc4py import PETSc

import dolfinx
import numpy as np

PACKAGES = ("mumps", "superlu_dist", "hypre")
"""External solvers of PETSc that pointlaw can make use of; its own multigrid, gamg, is always there."""


@dataclass(frozen=True, slots=True)
class Capabilities:
    """Versions and solvers: ``packages`` are those of :data:`PACKAGES` that PETSc was built with."""

    dolfinx: str
    source: str
    petsc: str
    packages: tuple[str, ...]
    real: bool
    mpi4py: str
    mpi_vendor: str
    mpi_version: str
    ranks: int


def has_package(name: str) -> bool:
    """Return whether PETSc was built with the external package ``name``, such as "hypre"."""
    return bool(PETSc.Sys.hasExternalPackage(name))


def capabilities() -> Capabilities:
    """Return what there is; not collective."""
    vendor, version = MPI.get_vendor()
    return Capabilities(
        dolfinx=str(dolfinx.__version__),
        source=_source(),
        petsc=".".join(map(str, PETSc.Sys.getVersion())),
        packages=tuple(name for name in PACKAGES if has_package(name)),
        real=np.dtype(PETSc.ScalarType).kind == "f",
        mpi4py=metadata.version("mpi4py"),
        mpi_vendor=vendor,
        mpi_version=".".join(map(str, version)),
        ranks=MPI.COMM_WORLD.size,
    )


def _source() -> str:
    """Return where DOLFINx came from, as far as its files tell."""
    for name in ("dolfinx-solver-real", "dolfinx-solver"):
        try:
            return f"the wheel {name} {metadata.version(name)}"
        except metadata.PackageNotFoundError:
            continue
    place = Path(dolfinx.__file__).parent
    if (Path(sys.prefix) / "conda-meta").is_dir():
        return f"conda in {sys.prefix}"
    return f"apt in {place}" if place.is_relative_to("/usr/lib") else str(place)

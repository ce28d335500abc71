"""Volume elements: a microstructure, a law for each phase and a constraint, which together are a material."""

from pointlaw.fem.mpi import MPI  # isort: skip  # noqa: F401 - MPI before DOLFINx

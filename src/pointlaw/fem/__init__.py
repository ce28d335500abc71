"""The finite-element room: laws at the quadrature points of a DOLFINx problem. Importing it needs DOLFINx."""

from pointlaw.fem import mpi  # first: it brings MPI in before anything imports DOLFINx

__all__ = ["mpi"]

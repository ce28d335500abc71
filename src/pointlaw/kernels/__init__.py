"""Compiled kernels: C sources that are built for the processor at hand on first use. NumPy and cffi only."""

from pointlaw.kernels.native import load_library

__all__ = ["load_library"]

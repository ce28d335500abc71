"""Constitutive laws: one law per file, one line in ``MATERIALS``. NumPy only."""

from collections.abc import Callable

from pointlaw.materials.base import Material, PointStatus, Response, StateLayout, finite_rows
from pointlaw.materials.elastic import LinearElastic, isotropic_stiffness

# Every law of the package with a typical set of parameters (MPa): the contract tests loop over this list.
MATERIALS: dict[str, Callable[[], Material]] = {
    "linear_elastic": lambda: LinearElastic(E=210e3, nu=0.3),
}

__all__ = [
    "MATERIALS",
    "LinearElastic",
    "Material",
    "PointStatus",
    "Response",
    "StateLayout",
    "finite_rows",
    "isotropic_stiffness",
]

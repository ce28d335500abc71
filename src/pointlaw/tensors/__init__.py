"""Tensors in Mandel order, invariants and kinematics. NumPy only."""

from pointlaw.tensors.invariants import deviator, equivalent_strain, norm, principal, trace, von_mises
from pointlaw.tensors.kinematics import (
    AXISYMMETRIC,
    FINITE_PLANE_STRAIN,
    FINITE_STRAIN_3D,
    KINEMATICS,
    PLANE_STRAIN,
    PLANE_STRESS,
    SMALL_STRAIN_3D,
    UNIAXIAL,
    Kinematics,
)
from pointlaw.tensors.mandel import (
    DEVIATORIC,
    IDENTITY,
    SQRT2,
    VOLUMETRIC,
    Array,
    from_mandel,
    rotation,
    to_mandel,
)

__all__ = [
    "AXISYMMETRIC",
    "DEVIATORIC",
    "FINITE_PLANE_STRAIN",
    "FINITE_STRAIN_3D",
    "IDENTITY",
    "KINEMATICS",
    "PLANE_STRAIN",
    "PLANE_STRESS",
    "SMALL_STRAIN_3D",
    "SQRT2",
    "UNIAXIAL",
    "VOLUMETRIC",
    "Array",
    "Kinematics",
    "deviator",
    "equivalent_strain",
    "from_mandel",
    "norm",
    "principal",
    "rotation",
    "to_mandel",
    "trace",
    "von_mises",
]

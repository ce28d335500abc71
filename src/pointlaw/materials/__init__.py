"""Constitutive laws: one law per file, one line in ``MATERIALS``. NumPy only."""

from collections.abc import Callable

from pointlaw.materials.base import Material, PointStatus, Response, StateLayout, finite_rows
from pointlaw.materials.elastic import LinearElastic, isotropic_stiffness
from pointlaw.materials.j2 import J2
from pointlaw.materials.reduced import Axisymmetric, PlaneStrain, PlaneStress, Uniaxial

# Every law of the package with a typical set of parameters (MPa): the contract tests loop over this list.
MATERIALS: dict[str, Callable[[], Material]] = {
    "linear_elastic": lambda: LinearElastic(E=210e3, nu=0.3),
    "j2": lambda: J2(E=210e3, nu=0.3, yield_stress=250.0, H=1000.0),
    "j2_kinematic": lambda: J2(E=210e3, nu=0.3, yield_stress=250.0, H=500.0, C=20e3),
    "j2_voce": lambda: J2(E=70e3, nu=0.33, yield_stress=120.0, Q=80.0, b=20.0),
    "j2_chaboche": lambda: J2(
        E=200e3, nu=0.3, yield_stress=200.0, H=200.0, Q=50.0, b=10.0, C=(60e3, 6e3), gamma=(600.0, 40.0)
    ),
    "j2_plane_strain": lambda: PlaneStrain(J2(E=210e3, nu=0.3, yield_stress=250.0, H=1000.0)),
    "j2_plane_stress": lambda: PlaneStress(J2(E=210e3, nu=0.3, yield_stress=250.0, H=1000.0)),
    "j2_axisymmetric": lambda: Axisymmetric(J2(E=210e3, nu=0.3, yield_stress=250.0, H=1000.0)),
    "j2_uniaxial": lambda: Uniaxial(J2(E=210e3, nu=0.3, yield_stress=250.0, Q=100.0, b=15.0, C=40e3, gamma=200.0)),
}

__all__ = [
    "J2",
    "MATERIALS",
    "Axisymmetric",
    "LinearElastic",
    "Material",
    "PlaneStrain",
    "PlaneStress",
    "PointStatus",
    "Response",
    "StateLayout",
    "Uniaxial",
    "finite_rows",
    "isotropic_stiffness",
]

"""Constitutive laws: one law per file, one line in ``MATERIALS``. NumPy only, except ``autodiff``."""

import importlib
from collections.abc import Callable

from pointlaw.materials.base import Material, PointStatus, Response, StateLayout, finite_rows
from pointlaw.materials.crystal import CrystalPlasticity
from pointlaw.materials.crystal_finite import FiniteCrystalPlasticity
from pointlaw.materials.drucker_prager import DruckerPrager
from pointlaw.materials.elastic import LinearElastic, isotropic_stiffness
from pointlaw.materials.fields import WithFields
from pointlaw.materials.finite_plane_strain import FinitePlaneStrain
from pointlaw.materials.gent import Gent
from pointlaw.materials.holzapfel import HolzapfelGasserOgden
from pointlaw.materials.j2 import J2
from pointlaw.materials.j2_finite import FiniteJ2
from pointlaw.materials.maxwell import GeneralisedMaxwell
from pointlaw.materials.mean_dilatation import MeanDilatation
from pointlaw.materials.mooney_rivlin import MooneyRivlin
from pointlaw.materials.neo_hooke import NeoHooke
from pointlaw.materials.ogden import Ogden
from pointlaw.materials.orientations import bunge_rotation, random_rotations
from pointlaw.materials.orthotropic import Orthotropic
from pointlaw.materials.perzyna import Perzyna
from pointlaw.materials.reduced import Axisymmetric, PlaneStrain, PlaneStress, Uniaxial
from pointlaw.materials.rotated import Rotated
from pointlaw.materials.scaled import Scaled
from pointlaw.materials.substepped import Substepped
from pointlaw.materials.taylor import TaylorPolycrystal
from pointlaw.materials.transversely_isotropic import TransverselyIsotropic
from pointlaw.materials.umat import UMAT
from pointlaw.materials.umat_library import UMATCrash

# Copper single crystal (MPa, s): Kalidindi, Bronkhorst & Anand 1992, doi 10.1016/0022-5096(92)80003-9, with n = 20.
COPPER = {
    "C11": 170e3, "C12": 124e3, "C44": 75e3, "rate": 1e-3, "n": 20.0,
    "g0": 16.0, "g_sat": 148.0, "h0": 180.0, "a": 2.25, "q": 1.4,
}  # fmt: skip

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
    "orthotropic": lambda: Orthotropic(E=(130e3, 9e3, 9e3), nu=(0.3, 0.3, 0.4), G=(5e3, 5e3, 3.2e3)),
    "transversely_isotropic": lambda: TransverselyIsotropic(130e3, 9e3, 0.3, 0.4, 5e3, axis=(1.0, 1.0, 0.0)),
    "drucker_prager": lambda: DruckerPrager(E=20e3, nu=0.2, friction=30.0, dilation=10.0, cohesion=1.0, H=100.0),
    "perzyna": lambda: Perzyna(E=200e3, nu=0.3, drag=300.0, n=5.0, yield_stress=100.0, H=1000.0),
    "norton": lambda: Perzyna(E=200e3, nu=0.3, drag=300.0, n=8.0),
    "maxwell": lambda: GeneralisedMaxwell(E=1e3, nu=0.4, tau=(0.1, 1.0, 10.0), g=(0.2, 0.3, 0.2), k=(0.0, 0.1, 0.1)),
    "crystal": lambda: CrystalPlasticity(**COPPER),
    "crystal_rotated": lambda: Rotated(CrystalPlasticity(**COPPER), random_rotations(1, seed=0)),
    "taylor": lambda: TaylorPolycrystal(CrystalPlasticity(**COPPER), random_rotations(4, seed=1)),
    "neo_hooke": lambda: NeoHooke(mu=1.0, K=10.0),
    "mooney_rivlin": lambda: MooneyRivlin(C10=0.3, C01=0.2, K=10.0),
    "gent": lambda: Gent(mu=1.0, Jm=20.0, K=10.0),
    "ogden": lambda: Ogden(mu=(0.63, 0.0012, -0.01), alpha=(1.3, 5.0, -2.0), K=10.0),
    "holzapfel": lambda: HolzapfelGasserOgden(
        mu=0.01, k1=0.5, k2=2.0, fibres=[[1.0, 0.8, 0.0], [1.0, -0.8, 0.0]], K=1.0, kappa=0.1
    ),
    "j2_finite": lambda: FiniteJ2(E=206.9e3, nu=0.29, yield_stress=450.0, H=129.24, Q=265.0, b=16.93),
    "j2_finite_plane_strain": lambda: FinitePlaneStrain(FiniteJ2(E=206.9e3, nu=0.29, yield_stress=450.0, H=129.24)),
    "crystal_finite": lambda: FiniteCrystalPlasticity(**COPPER),
    "j2_substepped": lambda: Substepped(J2(E=210e3, nu=0.3, yield_stress=250.0, H=1000.0)),
    "j2_scaled": lambda: Scaled(J2(E=210e3, nu=0.3, yield_stress=250.0, H=1000.0), [0.8]),
    "neo_hooke_dilatation": lambda: MeanDilatation(NeoHooke(mu=1.0, K=100.0)),
    "j2_dilatation": lambda: MeanDilatation(J2(E=210e3, nu=0.3, yield_stress=250.0, H=1000.0)),
    "j2_fields": lambda: WithFields(J2, {"yield_stress": [250.0]}, E=210e3, nu=0.3, H=1000.0),
}

__all__ = [
    "J2",
    "MATERIALS",
    "UMAT",
    "Axisymmetric",
    "CrystalPlasticity",
    "DruckerPrager",
    "FiniteCrystalPlasticity",
    "FiniteJ2",
    "FinitePlaneStrain",
    "GeneralisedMaxwell",
    "Gent",
    "HolzapfelGasserOgden",
    "LinearElastic",
    "Material",
    "MeanDilatation",
    "MooneyRivlin",
    "NeoHooke",
    "Ogden",
    "Orthotropic",
    "Perzyna",
    "PlaneStrain",
    "PlaneStress",
    "PointStatus",
    "Response",
    "Rotated",
    "Scaled",
    "StateLayout",
    "Substepped",
    "TaylorPolycrystal",
    "TransverselyIsotropic",
    "UMATCrash",
    "Uniaxial",
    "WithFields",
    "bunge_rotation",
    "finite_rows",
    "isotropic_stiffness",
    "random_rotations",
]


def __getattr__(name: str) -> object:
    """Import the laws written in torch when they are asked for: nothing else here needs torch."""
    if name in ("EnergyLaw", "ImplicitLaw", "UpdateLaw"):
        return getattr(importlib.import_module("pointlaw.materials.autodiff"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")

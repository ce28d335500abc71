"""What the card says of a material."""

import pytest

from pointlaw.materials import J2, LinearElastic, PlaneStrain, PlaneStress
from pointlaw.rve import Laminate, RVEMaterial
from pointlaw.rve.provenance import describe

pytestmark = pytest.mark.fem
STEEL = J2(200.0, 0.3, 0.25, H=2.0)


def test_a_wrapper_keeps_its_name_beside_that_of_the_law_in_it():
    told = describe(PlaneStrain(STEEL))
    assert told["class"] == "PlaneStrain"
    assert (told["law"]["class"], told["law"]["yield_stress"]) == ("J2", 0.25)
    assert describe(PlaneStress(STEEL)) != told


def test_a_volume_element_tells_the_class_of_each_phase():
    phases = {"layer_1": PlaneStrain(STEEL), "layer_2": PlaneStrain(LinearElastic(400.0, 0.2))}
    told = describe(RVEMaterial(Laminate([0.5, 0.5], dim=2).mesh(2), phases))
    assert told["class"] == "RVEMaterial"
    assert [law["law"]["class"] for law in told["phases"].values()] == ["J2", "LinearElastic"]

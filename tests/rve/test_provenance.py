"""What the card says of a material."""

import numpy as np
import pytest

from pointlaw.materials import (
    J2,
    CrystalPlasticity,
    LinearElastic,
    Material,
    PlaneStrain,
    PlaneStress,
    Response,
    Scaled,
    TaylorPolycrystal,
    WithFields,
    random_rotations,
)
from pointlaw.rve import Laminate, RVEMaterial
from pointlaw.rve.provenance import describe, mesh_hash
from pointlaw.tensors import PLANE_STRAIN

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


class Own(Material):
    """A user's law that keeps what it was given under other names."""

    kinematics = PLANE_STRAIN

    def __init__(self, E, limit):
        self.E, self.ceiling, self._table = E, 2.0 * limit, np.array([0.0, limit])

    def update(self, strain, state, dt, *, tangent=True):
        return Response(self.E * strain, np.tile(self.E * np.eye(3), (len(strain), 1, 1)), state.copy())


class Hidden(Own):
    """The same, without anything public."""

    def __init__(self, E, limit):
        self._E, self._table = E, np.array([0.0, limit])


@pytest.mark.parametrize("kind", [Own, Hidden])
def test_parameters_under_other_names_are_told_apart(kind):
    assert describe(kind(1.0, 2.0)) == describe(kind(1.0, 2.0))
    assert describe(kind(1.0, 2.0)) != describe(kind(1.0, 3.0))
    assert describe(Scaled(kind(1.0, 2.0), 2.0)) != describe(Scaled(kind(1.0, 3.0), 2.0))


def test_the_class_that_a_field_of_parameters_belongs_to_is_told():
    def make(kind):
        return WithFields(lambda E: kind(E, 0.3), {"E": [1.0, 2.0]})

    assert describe(make(LinearElastic)) != describe(make(lambda E, nu: J2(E, nu, 1.0)))


def test_the_order_of_many_grains_is_told():
    crystal = CrystalPlasticity(
        C11=200e3, C12=130e3, C44=100e3, rate=1e-3, n=10, g0=50, g_sat=100, h0=500, a=2.0, q=1.4
    )
    rotations, weights = random_rotations(20, seed=0), np.linspace(1.0, 2.0, 20)
    one, same, other = (
        describe(TaylorPolycrystal(crystal, turned, weights=weights / weights.sum()))
        for turned in (rotations, rotations.copy(), rotations[::-1])
    )
    assert one == same
    assert one != other


def cell(size, *, share=0.5):
    law = PlaneStrain(STEEL)
    return RVEMaterial(Laminate([share, 1.0 - share], size=size).mesh((4, 2)), {"layer_1": law, "layer_2": law})


@pytest.mark.parametrize("size", [1.0, 1e-9, 1e9])
def test_the_identity_of_a_mesh_does_not_depend_on_the_unit_of_length(size):
    one, other = cell((size, size)), cell((size, 1.0001 * size))
    assert mesh_hash(one.element) != mesh_hash(other.element)
    assert describe(one)["mesh"]["box"] == pytest.approx([size, size], rel=1e-12)
    assert describe(other)["mesh"]["box"] == pytest.approx([size, 1.0001 * size], rel=1e-12)


@pytest.mark.parametrize("size", [1e-9, 1e9])
def test_the_identity_of_a_mesh_does_not_see_round_off(size):
    one, other = cell((size, size)), cell((size, size))
    other.element.body.mesh.geometry.x[:] *= 1.0 + 1e-15
    assert mesh_hash(one.element) == mesh_hash(other.element)

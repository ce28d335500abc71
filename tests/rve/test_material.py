"""A volume element keeps the contract of a material and can be driven like one."""

import numpy as np
import pytest

from pointlaw.data import Units, load_dataset
from pointlaw.errors import InputError
from pointlaw.materials import (
    J2,
    FinitePlaneStrain,
    LinearElastic,
    NeoHooke,
    PlaneStrain,
    PlaneStress,
    PointStatus,
)
from pointlaw.paths import LoadPath, StrainPath, cyclic, drive
from pointlaw.rve import Periodic, RVEMaterial, UniformTraction
from pointlaw.rve.microstructure import Fibres, lattice_inclusions
from pointlaw.rve.plan import make_plan
from pointlaw.rve.sample import sample
from pointlaw.tensors import PLANE_STRAIN
from pointlaw.testing import check_material

pytestmark = pytest.mark.fem
DISC = lattice_inclusions("square", 0.3)
J2_LAW, STIFF = J2(200.0, 0.3, 0.25, H=2.0), LinearElastic(400.0, 0.2)


def composite(constraint=None, **options):
    phases = {"matrix": PlaneStrain(J2_LAW), "inclusion": PlaneStrain(STIFF)}
    return RVEMaterial(DISC.mesh(3), phases, constraint, engine="general", **options)


@pytest.mark.parametrize("constraint", [Periodic(), UniformTraction()])
def test_a_plastic_composite_keeps_the_contract(constraint):
    rve = composite(constraint, tolerance=1e-10)
    check_material(rve, points=2, steps=1, halvings=6).raise_if_failed()


def test_the_identity_of_a_volume_element_is_that_of_its_microstructure_and_laws():
    identity = composite().identity
    assert "matrix: PlaneStrain(J2), inclusion: PlaneStrain(LinearElastic); Periodic()" in identity
    assert composite(tolerance=1e-3).identity == identity
    same = {"matrix": PlaneStrain(J2_LAW), "inclusion": PlaneStrain(STIFF)}
    for mesh in (DISC.mesh(4), lattice_inclusions("square", 0.6).mesh(3)):
        assert RVEMaterial(mesh, same).identity != identity
    assert composite(UniformTraction()).identity != identity


def test_a_volume_element_has_the_units_of_its_laws_and_its_samples_too(tmp_path):
    assert composite().units is None
    law = LinearElastic(400.0, 0.2)
    law.units = Units(stress="Pa", time="h")
    rve = RVEMaterial(DISC.mesh(3), {"matrix": PlaneStrain(law), "inclusion": PlaneStrain(STIFF)})
    assert rve.units == law.units
    plan = {"kind": "random_walk", "paths": 1, "steps": 2, "bound": 1e-3, "step_size": 5e-4, "seed": 0}
    sample(rve, make_plan(plan), tmp_path)
    assert load_dataset(tmp_path / "dataset.h5").card.units == law.units


def test_a_rubber_composite_keeps_the_contract():
    phases = {"matrix": FinitePlaneStrain(NeoHooke(1.0, 10.0)), "inclusion": FinitePlaneStrain(NeoHooke(5.0, 50.0))}
    rve = RVEMaterial(DISC.mesh(3), phases, tolerance=1e-10)
    check_material(rve, points=2, steps=1, halvings=4, amplitude=0.1).raise_if_failed()


def test_a_homogeneous_cell_is_its_law_along_a_cycle():
    law = PlaneStrain(J2_LAW)
    rve = RVEMaterial(DISC.mesh(3), law, engine="general", tolerance=1e-12)
    path = cyclic([[1.0, -0.4, 0.3]], amplitude=6e-3, cycles=1, steps=4, kinematics=PLANE_STRAIN)
    one, two = drive(rve, path, tangent=True), drive(law, path, tangent=True)
    np.testing.assert_allclose(one.stress, two.stress, atol=1e-12)
    np.testing.assert_allclose(one.tangent, two.tangent, atol=1e-9)
    assert np.abs(one.variable("fluctuation")).max() < 1e-15


def test_a_cell_is_pulled_under_mixed_control():
    rve = composite(tolerance=1e-10)
    target = np.zeros((1, 5, 3))
    target[0, :, 0] = np.linspace(0.0, 4e-3, 5)
    record = drive(rve, LoadPath(np.arange(5.0), target, [False, True, True], PLANE_STRAIN)).raise_if_failed()
    assert np.abs(record.stress[..., 1:]).max() < 1e-10 * record.stress[..., 0].max()
    assert (record.strain[0, 1:, 1] < 0.0).all()


def test_a_cell_in_3d_that_is_pulled_along_its_fibres_obeys_the_rule_of_mixtures():
    rve = RVEMaterial(Fibres(DISC, 0.25).mesh((4, 4, 1)), {"matrix": LinearElastic(200.0, 0.3), "fibre": STIFF})
    target = np.zeros((1, 2, 6))
    target[0, 1, 2] = 1e-3
    free = [True, True, False, True, True, True]
    record = drive(rve, LoadPath(np.arange(2.0), target, free, rve.kinematics)).raise_if_failed()
    share = rve.element.points["fibre"] / sum(rve.element.points.values())
    modulus = record.stress[0, 1, 2] / 1e-3
    voigt = share * 400.0 + (1.0 - share) * 200.0
    # It is a lower bound along the fibres (Hill 1964, doi 10.1016/0022-5096(64)90019-5), and close.
    assert voigt <= modulus < 1.005 * voigt


def test_plane_stress_of_a_cell_in_3d_is_the_law_under_plane_stress_where_it_is_homogeneous():
    rve = RVEMaterial(Fibres(DISC, 0.5).mesh((2, 2, 1)), J2_LAW, tolerance=1e-12)
    in_plane = np.array([[0.0, 0.0, 0.0], [3e-3, -1e-3, 1e-3], [6e-3, 0.0, 4e-3]])
    target = np.zeros((1, 3, 6))
    target[0][:, [0, 1, 5]] = in_plane
    out_of_plane = [False, False, True, True, True, False]
    record = drive(rve, LoadPath(np.arange(3.0), target, out_of_plane, rve.kinematics)).raise_if_failed()
    law = PlaneStress(J2_LAW)
    expected = drive(law, StrainPath(np.arange(3.0), in_plane, law.kinematics))
    np.testing.assert_allclose(record.stress[..., [0, 1, 5]], expected.stress, atol=1e-10)


def test_a_point_out_of_its_laws_range_marks_its_cell():
    class Limited(LinearElastic):
        def update(self, strain, state, dt, *, tangent=True):
            answer = super().update(strain, state, dt, tangent=tangent)
            far = np.abs(strain).max(axis=1) > 1e-3
            answer.status = np.where(far, PointStatus.OUT_OF_RANGE, PointStatus.FINE).astype(np.int8)
            return answer

    rve = RVEMaterial(DISC.mesh(3), PlaneStrain(Limited(200.0, 0.3)))
    strain = np.array([[5e-4, 0.0, 0.0], [2e-3, 0.0, 0.0]])
    assert rve.update(strain, rve.initial_state(2), 1.0).status.tolist() == [1, 0]


def test_an_unknown_engine_is_refused():
    with pytest.raises(InputError, match="'auto', 'general', 'batched'"):
        RVEMaterial(DISC.mesh(3), PlaneStrain(STIFF), engine="fast")

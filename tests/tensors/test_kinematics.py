"""The list of kinematics is consistent with itself."""

import numpy as np
import pytest

from pointlaw.tensors import FINITE_PLANE_STRAIN, FINITE_STRAIN_3D, KINEMATICS, SMALL_STRAIN_3D


@pytest.mark.parametrize("kinematics", KINEMATICS.values(), ids=str)
def test_every_kinematics_is_found_by_its_name_and_has_a_reference(kinematics):
    assert KINEMATICS[kinematics.name] is kinematics
    assert kinematics.reference.shape == (kinematics.size,)
    assert len(set(kinematics.components)) == kinematics.size


def test_the_undeformed_body_is_zero_strain_or_the_identity():
    assert not SMALL_STRAIN_3D.reference.any()
    assert FINITE_STRAIN_3D.reference.reshape(3, 3) == pytest.approx(np.eye(3))
    assert FINITE_PLANE_STRAIN.reference.reshape(2, 2) == pytest.approx(np.eye(2))


def test_the_measures_are_called_by_their_names():
    assert "Mandel" in SMALL_STRAIN_3D.strain_name
    assert SMALL_STRAIN_3D.stress_name.startswith("Cauchy")
    assert FINITE_STRAIN_3D.strain_name == "deformation gradient"
    assert FINITE_STRAIN_3D.stress_name == "first Piola–Kirchhoff stress"
    assert str(SMALL_STRAIN_3D) == "small_strain_3d (m = 6, 3D)"

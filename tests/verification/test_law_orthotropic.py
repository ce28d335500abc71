"""A ply pulled off its axis: the modulus of Lekhnitskii's transformation."""

import numpy as np
import pytest

from pointlaw.materials import Orthotropic, Rotated, TransverselyIsotropic, Uniaxial, bunge_rotation

E1, E2, NU12, G12 = 130e3, 9e3, 0.3, 5e3
PLY = Orthotropic(E=(E1, E2, E2), nu=(NU12, NU12, 0.4), G=(G12, G12, E2 / 2.8))


def modulus(law):
    return law.update(np.array([[1e-3]]), law.initial_state(1), 1.0).stress[0, 0] / 1e-3


@pytest.mark.parametrize("angle", [0.0, 15.0, 45.0, 70.0, 90.0])
def test_the_off_axis_modulus_of_a_ply(angle):
    """``1/E_x = c⁴/E1 + s⁴/E2 + (1/G12 − 2 ν12/E1) s²c²`` (Jones 1999, doi 10.1201/9781498711067, eq. 2.97)."""
    c, s = np.cos(np.radians(angle)), np.sin(np.radians(angle))
    wanted = 1.0 / (c**4 / E1 + s**4 / E2 + (1.0 / G12 - 2.0 * NU12 / E1) * s * s * c * c)
    assert modulus(Uniaxial(Rotated(PLY, bunge_rotation(angle, 0.0, 0.0)))) == pytest.approx(wanted, rel=1e-10)
    along = TransverselyIsotropic(E1, E2, NU12, 0.4, G12, axis=(c, s, 0.0))
    assert modulus(Uniaxial(along)) == pytest.approx(wanted, rel=1e-10)


def test_the_engineering_constants_come_back_out_of_the_stiffness():
    law = Orthotropic(E=(10.0, 20.0, 30.0), nu=(0.1, 0.2, 0.3), G=(4.0, 5.0, 6.0))
    compliance = np.linalg.inv(law.stiffness)
    assert 1.0 / np.diag(compliance)[:3] == pytest.approx([10.0, 20.0, 30.0])
    assert -compliance[[1, 2, 2], [0, 0, 1]] * [10.0, 10.0, 20.0] == pytest.approx([0.1, 0.2, 0.3])
    # Mandel: √2 ε12 = √2 σ12 / (2 G12), order 23, 13, 12.
    assert 0.5 / np.diag(compliance)[3:] == pytest.approx([6.0, 5.0, 4.0])

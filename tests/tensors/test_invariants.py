"""Invariants against the tensors they come from."""

import numpy as np
import pytest

from pointlaw.tensors import deviator, equivalent_strain, norm, principal, rotation, to_mandel, trace, von_mises


def test_uniaxial_stress_is_its_own_von_mises_stress():
    assert von_mises(np.array([[-3.0, 0, 0, 0, 0, 0]])) == pytest.approx([3.0])


def test_shear_stress_counts_by_the_root_of_three():
    assert von_mises(np.array([0, 0, 0, 0, 0, np.sqrt(2.0) * 5.0])) == pytest.approx(np.sqrt(3.0) * 5.0)


def test_the_equivalent_strain_of_incompressible_tension_is_the_axial_one():
    assert equivalent_strain(np.array([0.2, -0.1, -0.1, 0, 0, 0])) == pytest.approx(0.2)


def test_pressure_has_no_deviator():
    assert deviator(np.array([4.0, 4.0, 4.0, 0, 0, 0])) == pytest.approx(np.zeros(6))


def test_principal_values_rise_and_trace_and_norm_follow_from_them():
    q, _ = np.linalg.qr(np.random.default_rng(1).standard_normal((3, 3)))
    vector = to_mandel(q @ np.diag([3.0, -1.0, 2.0]) @ q.T)
    assert principal(vector) == pytest.approx([-1.0, 2.0, 3.0])
    assert trace(vector) == pytest.approx(4.0)
    assert norm(vector) == pytest.approx(np.sqrt(14.0))


def test_invariants_do_not_change_under_rotation():
    q, _ = np.linalg.qr(np.random.default_rng(2).standard_normal((3, 3)))
    vector = np.random.default_rng(3).standard_normal(6)
    turned = rotation(q * np.sign(np.linalg.det(q))) @ vector
    assert [von_mises(turned), trace(turned), norm(turned)] == pytest.approx(
        [von_mises(vector), trace(vector), norm(vector)]
    )

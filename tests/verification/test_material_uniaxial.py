"""J2 under uniaxial stress in closed form: hardening, Bauschinger effect, stable cycles and ratcheting.

Sources: Simo & Hughes 1998, chapter 1, doi 10.1007/b98904 (bilinear response); Lemaitre & Chaboche 1990, sections 5.3
and 5.4, doi 10.1017/CBO9781139167970 (Armstrong–Frederick: integrals of dX = C dεᵖ − γ X |dεᵖ|); Bari & Hassan 2000,
Int. J. Plasticity 16, 381 (uniaxial ratcheting rate).
"""

import numpy as np
import pytest

from pointlaw.materials import J2, Uniaxial
from pointlaw.paths import LoadPath, cyclic, drive, proportional, through
from pointlaw.tensors import UNIAXIAL

E, NU, SY = 200e3, 0.3, 200.0


def tension(law, strain, steps=50):
    return drive(
        Uniaxial(law), proportional([1.0], amplitude=strain, steps=steps, kinematics=UNIAXIAL)
    ).raise_if_failed()


@pytest.mark.parametrize(("H", "C"), [(0.0, 0.0), (2000.0, 0.0), (0.0, 30e3), (1500.0, 10e3), (-500.0, 0.0)])
def test_the_bilinear_curve(H, C):
    record = tension(J2(E=E, nu=NU, yield_stress=SY, H=H, C=C or ()), 0.01)
    strain = record.strain[0, :, 0]
    hard = (H + C) * E / (E + H + C)
    wanted = np.where(strain <= SY / E, E * strain, SY + hard * (strain - SY / E))
    assert record.stress[0, :, 0] == pytest.approx(wanted, rel=1e-10)


def test_voce_hardening_saturates_along_its_exponential():
    Q, b = 150.0, 30.0
    record = tension(J2(E=E, nu=NU, yield_stress=SY, Q=Q, b=b), 0.1)
    stress, p = record.stress[0, :, 0], record.variable("equivalent_plastic_strain")[0, :, 0]
    assert p[1:] == pytest.approx((record.strain[0, :, 0] - stress / E)[1:], rel=1e-9)
    assert stress[1:] == pytest.approx(SY + Q * (1.0 - np.exp(-b * p[1:])), rel=1e-10)
    assert p[-1] > 0.09


def test_the_lateral_strain_is_elastic_plus_isochoric_plastic():
    record = tension(J2(E=E, nu=NU, yield_stress=SY, H=1000.0), 0.01)
    axial = record.stress[0, :, 0] / E
    lateral = record.variable("free_strain")[0, :, :2]
    wanted = -NU * axial - 0.5 * (record.strain[0, :, 0] - axial)
    assert lateral == pytest.approx(np.column_stack([wanted, wanted]), abs=1e-14)


def test_isotropic_hardening_widens_and_kinematic_hardening_shifts_the_elastic_range():
    path = through([[[0.01], [0.0]]], steps=300, kinematics=UNIAXIAL)
    for law, width in (
        (J2(E=E, nu=NU, yield_stress=SY, H=5000.0), None),
        (J2(E=E, nu=NU, yield_stress=SY, C=5000.0), 2 * SY),
    ):
        record = drive(Uniaxial(law), path).raise_if_failed()
        stress, p = record.stress[0, :, 0], record.variable("equivalent_plastic_strain")[0, :, 0]
        top = stress[300]
        again = 300 + int(np.flatnonzero(np.diff(p[300:]) > 0)[0])  # last point before the reverse yield
        step = E * 0.01 / 300
        assert top - stress[again] == pytest.approx(2 * top if width is None else width, abs=1.01 * step)


def test_the_backstress_follows_its_exponential_with_first_order_error():
    C, gamma = 60e3, 400.0
    law, errors = J2(E=E, nu=NU, yield_stress=SY, C=C, gamma=gamma), []
    for steps in (25, 50, 100):
        record = tension(law, 0.01, steps)
        p = record.variable("equivalent_plastic_strain")[0, -1, 0]
        errors.append(record.stress[0, -1, 0] - (SY + C / gamma * (1.0 - np.exp(-gamma * p))))
    assert abs(errors[-1]) < 5e-3 * SY
    assert np.log2(np.divide(errors[:-1], errors[1:])) == pytest.approx([1.0, 1.0], abs=0.05)


def test_the_stable_cycle_has_the_hyperbolic_tangent_as_its_curve():
    """Δσ/2 = σ_y + C/γ tanh(γ Δεᵖ/2)."""
    C, gamma, errors = 60e3, 400.0, []
    for steps in (50, 100):
        path = cyclic([1.0], amplitude=0.006, cycles=3, steps=steps, kinematics=UNIAXIAL)
        record = drive(Uniaxial(J2(E=E, nu=NU, yield_stress=SY, C=C, gamma=gamma)), path).raise_if_failed()
        stress, plastic = record.stress[0, :, 0], record.variable("plastic_strain")[0, :, 0]
        up, down = 5 * steps, 6 * steps  # the last pair of turning points
        half = 0.5 * (stress[up] - stress[down])
        errors.append(half - (SY + C / gamma * np.tanh(0.5 * gamma * (plastic[up] - plastic[down]))))
    # Backward Euler is of first order, so the value extrapolated from both step sizes meets the closed form.
    assert abs(2.0 * errors[1] - errors[0]) < 2e-4 * SY
    assert abs(errors[1]) < 5e-3 * SY


def test_a_mean_stress_ratchets_at_the_rate_of_the_closed_form():
    """δεᵖ a cycle = 1/γ ln[(a² − (σ_min + σ_y)²)/(a² − (σ_max − σ_y)²)] with a = C/γ, for stress-controlled cycles."""
    C, gamma, low, high = 60e3, 400.0, -220.0, 280.0
    a = C / gamma
    wanted = np.log((a**2 - (low + SY) ** 2) / (a**2 - (high - SY) ** 2)) / gamma
    law, errors = J2(E=E, nu=NU, yield_stress=SY, C=C, gamma=gamma), []
    for steps in (40, 80):
        stress = np.concatenate(
            [[0.0]]
            + [
                np.linspace(first, last, steps + 1)[1:]
                for first, last in [(0.0, high)] + [(high, low), (low, high)] * 3
            ]
        )
        target = np.zeros((1, len(stress), 6))
        target[0, :, 0] = stress
        load = LoadPath(np.linspace(0.0, 1.0, len(stress)), target, np.ones(6, dtype=bool))
        plastic = drive(law, load).raise_if_failed().variable("plastic_strain")[0, steps :: 2 * steps, 0]
        rates = np.diff(plastic)
        assert rates[1:] == pytest.approx(rates[1], rel=1e-9)
        errors.append(rates[1] - wanted)
    assert abs(2.0 * errors[1] - errors[0]) < 5e-3 * wanted
    assert abs(errors[1]) < 0.1 * wanted


def test_the_wrapper_and_stress_control_at_the_point_agree():
    law = J2(E=E, nu=NU, yield_stress=SY, Q=50.0, b=10.0, C=(60e3, 5e3), gamma=(400.0, 10.0))
    path = cyclic([1.0], amplitude=0.01, cycles=2, steps=20, kinematics=UNIAXIAL)
    bar = drive(Uniaxial(law), path).raise_if_failed()
    target = np.zeros((1, len(path.times), 6))
    target[..., 0] = path.strain[..., 0]
    point = drive(law, LoadPath(path.times, target, [False] + [True] * 5)).raise_if_failed()
    assert bar.stress[..., 0] == pytest.approx(point.stress[..., 0], abs=1e-8)

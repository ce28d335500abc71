"""Plane stress, plane strain and shear of J2 against closed forms and an independent algorithm.

Sources: Simo & Taylor 1986, doi 10.1002/nme.1620220310 (return mapping in the plane-stress subspace, solved here by
scipy); Hill 1950, The Mathematical Theory of Plasticity, chapter VI (plane-strain tension at 2/√3 of the yield stress).
"""

import numpy as np
import pytest
from scipy.optimize import brentq

from pointlaw.materials import J2, Axisymmetric, PlaneStrain, PlaneStress
from pointlaw.paths import LoadPath, StrainPath, drive, random_walk
from pointlaw.tensors import AXISYMMETRIC, PLANE_STRAIN, PLANE_STRESS

E, NU, SY, H = 70e3, 0.33, 150.0, 800.0
LAW = J2(E=E, nu=NU, yield_stress=SY, H=H)


def simo_taylor(path):
    """March through ``path[t, 3]`` in the plane-stress subspace: unknowns are three stresses and one multiplier."""
    stiffness = E / (1 - NU**2) * np.array([[1, NU, 0], [NU, 1, 0], [0, 0, 1 - NU]])
    compliance = np.linalg.inv(stiffness)
    projector = np.array([[2, -1, 0], [-1, 2, 0], [0, 0, 3]]) / 3.0
    plastic, p, stresses = np.zeros(3), 0.0, []
    for strain in path:
        trial = stiffness @ (strain - plastic)

        def stress_at(multiplier, trial=trial):
            return np.linalg.solve(compliance + multiplier * projector, compliance @ trial)

        def growth(multiplier, stress):
            return multiplier * np.sqrt(2.0 / 3.0 * stress @ projector @ stress)

        def excess(multiplier, p=p, stress_at=stress_at, growth=growth):
            stress = stress_at(multiplier)
            return np.sqrt(1.5 * stress @ projector @ stress) - SY - H * (p + growth(multiplier, stress))

        multiplier = 0.0
        if excess(0.0) > 0.0:
            multiplier = brentq(excess, 0.0, 1.0, xtol=1e-18, rtol=1e-15)
        stress = stress_at(multiplier)
        plastic = plastic + multiplier * projector @ stress
        p += growth(multiplier, stress)
        stresses.append(stress)
    return np.array(stresses)


def test_condensed_plane_stress_is_the_return_mapping_in_the_plane():
    path = random_walk(6, seed=8, steps=25, step_size=2e-3, bound=0.012, kinematics=PLANE_STRESS)
    record = drive(PlaneStress(LAW), path).raise_if_failed()
    assert (record.variable("equivalent_plastic_strain")[:, -1] > 1e-3).all()
    for k in range(6):
        assert record.stress[k] == pytest.approx(simo_taylor(path.strain[k]), abs=1e-8)


def test_plane_strain_tension_of_a_perfectly_plastic_solid_ends_at_two_over_root_three():
    law = PlaneStrain(J2(E=E, nu=NU, yield_stress=SY))
    times = np.linspace(0.0, 1.0, 201)
    target = np.zeros((1, 201, 3))
    target[0, :, 0] = 0.1 * times
    record = drive(law, LoadPath(times, target, [False, True, True], PLANE_STRAIN)).raise_if_failed()
    assert record.stress[0, -1, 0] == pytest.approx(2.0 / np.sqrt(3.0) * SY, rel=1e-6)
    assert record.variable("fixed_stress")[0, -1, 0] == pytest.approx(SY / np.sqrt(3.0), rel=1e-6)


@pytest.mark.parametrize("reduction", [PlaneStrain, PlaneStress])
def test_simple_shear_follows_the_bilinear_curve_in_both_planes(reduction):
    """τ_y = σ_y/√3, and beyond it the shear modulus is G H/(3G + H)."""
    law = reduction(LAW)
    times = np.linspace(0.0, 1.0, 41)
    strain = np.zeros((1, 41, 3))
    gamma = 0.02 * times
    strain[0, :, 2] = gamma / np.sqrt(2.0)
    tau = drive(law, StrainPath(times, strain, law.kinematics)).raise_if_failed().stress[0, :, 2] / np.sqrt(2.0)
    G = E / 2 / (1 + NU)
    knee = SY / np.sqrt(3.0) / G
    wanted = np.where(gamma <= knee, G * gamma, G * knee + G * H / (3 * G + H) * (gamma - knee))
    assert tau == pytest.approx(wanted, rel=1e-9, abs=1e-9)


def test_axial_symmetry_without_radial_difference_is_plane_strain_of_the_meridian():
    """ε_θθ = 0 in (r, z, θ) is plane strain in (11, 22): another wrapper, the same physics."""
    path = random_walk(4, seed=9, steps=10, step_size=2e-3, bound=0.01, kinematics=PLANE_STRAIN)
    plane = drive(PlaneStrain(LAW), path).raise_if_failed()
    full = np.insert(path.strain, 2, 0.0, axis=2)
    ring = drive(Axisymmetric(LAW), StrainPath(path.times, full, AXISYMMETRIC)).raise_if_failed()
    assert ring.stress[..., [0, 1, 3]] == pytest.approx(plane.stress, abs=1e-10)
    assert ring.stress[..., 2] == pytest.approx(plane.variable("fixed_stress")[..., 0], abs=1e-10)

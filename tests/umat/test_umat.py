"""The UMAT door: a real Fortran UMAT is the built-in law, Abaqus' arguments mean what they mean there."""

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from pointlaw.materials import J2, UMAT, Axisymmetric, PointStatus
from pointlaw.testing import check_material

PROPS = [210e3, 0.3, 250.0, 500.0, 20e3]


def random_walk(points, m, steps, *, size=2e-3, seed=0):
    """Return strains [steps, points, m] of a walk that leaves the elastic range several times."""
    return np.cumsum(size * np.random.default_rng(seed).uniform(-1.0, 1.0, (steps, points, m)), axis=0)


@pytest.mark.parametrize("ntens", [6, 4])
def test_the_fortran_umat_is_the_built_in_j2_along_random_paths(fortran_library, ntens):
    umat = UMAT(fortran_library, props=PROPS, nstatv=2 * ntens + 1, ntens=ntens)
    built_in = J2(210e3, 0.3, 250.0, H=500.0, C=20e3)
    built_in = built_in if ntens == 6 else Axisymmetric(built_in)
    one, two = umat.initial_state(200), built_in.initial_state(200)
    for strain in random_walk(200, ntens, 12):
        a, b = umat.update(strain, one, 1.0), built_in.update(strain, two, 1.0)
        assert np.abs(a.stress - b.stress).max() < 1e-9 * np.abs(b.stress).max()
        assert np.abs(a.tangent - b.tangent).max() < 1e-9 * np.abs(b.tangent).max()
        one, two = a.state, b.state
    plastic = umat.state_layout.split(one)["statev"][:, -1]
    assert plastic == pytest.approx(built_in.state_layout.split(two)["equivalent_plastic_strain"][:, 0], rel=1e-9)
    assert (plastic > 1e-3).any()


def test_a_umat_keeps_the_contract(fortran_library):
    umat = UMAT(fortran_library, props=PROPS, nstatv=13, symmetric=True)
    check_material(umat).raise_if_failed()
    assert umat.identity == f"UMAT('POINTLAW' of {Path(fortran_library).name})"


def test_the_energies_of_the_umat_add_up_to_the_work(fortran_library):
    umat = UMAT(fortran_library, props=PROPS, nstatv=13)
    state, work, last = umat.initial_state(5), np.zeros(5), np.zeros((5, 6))
    stress = np.zeros((5, 6))
    for strain in random_walk(5, 6, 10):
        answer = umat.update(strain, state, 1.0)
        work += 0.5 * np.einsum("pi,pi->p", stress + answer.stress, strain - last)
        state, stress, last = answer.state, answer.stress, strain
    assert umat.state_layout.split(state)["energy"][:, :2].sum(axis=1) == pytest.approx(work, rel=1e-10)


def test_every_argument_arrives_as_abaqus_passes_it(c_library):
    library = c_library(
        """
        statev[0] = time[0]; statev[1] = time[1]; statev[2] = *dtime; statev[3] = *kinc; statev[4] = jstep[0];
        statev[5] = dfgrd1[0 + 3 * 1]; statev[6] = dfgrd0[0 + 3 * 1]; statev[7] = cmname[0] * 1000 + cmname[79];
        statev[8] = stran[3]; statev[9] = dstran[3]; statev[10] = *nprops + 10 * *nstatv; statev[11] = length;
        statev[12] = *ndi * 100 + *nshr * 10 + *ntens; statev[13] = props[1]; statev[14] = drot[4];
        }"""
    )
    law = UMAT(library, props=[1.0, 7.5], nstatv=15, name="steel")
    strain = np.zeros((3, 6))
    strain[:, 5] = np.sqrt(2.0) * 0.01  # Mandel 12: ε12 = 0.01, γ12 = 0.02
    first = law.update(strain, law.initial_state(3), 0.5)
    second = law.update(3.0 * strain, first.state, 0.25)
    told = law.state_layout.split(second.state)["statev"][1]
    assert told[:5] == pytest.approx([0.5, 0.5, 0.25, 2.0, 1.0])
    assert told[5:7] == pytest.approx([0.03, 0.01])
    assert told[7] == ord("S") * 1000 + ord(" ")
    assert told[8:10] == pytest.approx([0.02, 0.04])
    assert told[10:] == pytest.approx([2 + 150, 80, 336, 7.5, 1.0])
    assert law.state_layout.split(second.state)["time"][:, 0] == pytest.approx(0.75)


def test_an_unsymmetric_ddsdde_keeps_its_sides(c_library):
    # DDSDDE(1,4) couples σ11 to γ12: Fortran stores it at [0 + 6·3].
    law = UMAT(c_library("ddsdde[0 + 6 * 3] = 7.0; stress[0] += 7.0 * (stran[3] + dstran[3]); }"))
    strain = 1e-2 * np.random.default_rng(1).normal(size=(4, 6))
    answer = law.update(strain, law.initial_state(4), 1.0)
    assert answer.tangent[0, 0, 5] == pytest.approx(7.0 * np.sqrt(2.0))
    assert answer.tangent[0, 5, 0] == 0.0
    assert answer.stress == pytest.approx(np.einsum("pij,pj->pi", answer.tangent, strain))


def test_a_cut_by_pnewdt_fails_the_point_and_becomes_the_step_factor(c_library):
    law = UMAT(c_library("if (dstran[0] > 0.01) *pnewdt = 0.25; if (dstran[0] < -0.01) *pnewdt = 1.5; }"))
    strain = np.zeros((3, 6))
    state = law.initial_state(3)
    assert law.update(strain, state, 1.0).dt_factor == np.inf
    strain[1, 0] = -0.02
    assert law.update(strain, state, 1.0).dt_factor == 1.5
    strain[2, 0] = 0.02
    answer = law.update(strain, state, 1.0)
    assert answer.dt_factor == 0.25
    assert answer.status.tolist() == [PointStatus.FINE, PointStatus.FINE, PointStatus.FAILED]


def test_plane_stress_umats_have_three_components(c_library):
    law = UMAT(c_library("}"), ntens=3)
    answer = law.update(np.array([[0.1, 0.2, 0.3 * np.sqrt(2.0)]]), law.initial_state(1), 1.0)
    assert answer.stress == pytest.approx(np.array([[10.0, 20.0, 60.0 * np.sqrt(2.0)]]))  # γ12 = 0.6


def test_the_utility_routines_of_abaqus_are_there(c_library):
    library = c_library(
        """
        int stress_kind = 1; double ps[3], turned[6], quarter[9] = {0, 1, 0, -1, 0, 0, 0, 0, 1};
        sinv_(stress, statev, statev + 1, ndi, nshr);
        sprinc_(stress, ps, &stress_kind, ndi, nshr);
        rotsig_(stress, quarter, turned, &stress_kind, ndi, nshr);
        for (int k = 0; k < 3; k++) statev[2 + k] = ps[k];
        for (int k = 0; k < 6; k++) statev[5 + k] = turned[k];
        }"""
    )
    law = UMAT(library, nstatv=11)
    strain = np.random.default_rng(2).normal(size=(4, 6))
    answer = law.update(strain, law.initial_state(4), 1.0)
    from pointlaw.tensors import from_mandel, principal, to_mandel, trace, von_mises
    from pointlaw.tensors.mandel import stress_to_umat

    told = law.state_layout.split(answer.state)["statev"]
    assert told[:, 0] == pytest.approx(trace(answer.stress) / 3.0)
    assert told[:, 1] == pytest.approx(von_mises(answer.stress))
    assert np.sort(told[:, 2:5], axis=1) == pytest.approx(principal(answer.stress))
    R = np.array([[0.0, -1.0, 0.0], [1.0, 0.0, 0.0], [0.0, 0.0, 1.0]])
    turned = R @ from_mandel(answer.stress) @ R.T
    assert told[:, 5:] == pytest.approx(stress_to_umat(to_mandel(turned)))


def test_the_demo_of_the_fortran_umat_reaches_its_numbers(fortran_library):
    demo = Path(__file__).parents[2] / "demos" / "umat" / "demo_umat.py"
    done = subprocess.run([sys.executable, demo], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr

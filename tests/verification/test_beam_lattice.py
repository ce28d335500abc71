"""The beams that stand in for the public lattices: closed forms, objectivity, energy, buckling, and the data."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from scipy.spatial.transform import Rotation

from beam_lattice import (
    CONSTANTS,
    HELD_OUT,
    NAMED,
    WITHOUT,
    asymmetry,
    closed_forms,
    drawn,
    ellipticity,
    misfits,
    public_branches,
)
from beams import Beams
from lattice_data import FOLDER, PATHS, read

EYE = np.eye(3)


@pytest.fixture(params=CONSTANTS)
def cell(request) -> str:
    return request.param


def ramp(gradient: np.ndarray, steps: int) -> np.ndarray:
    return EYE + np.linspace(0.0, 1.0, steps + 1)[None, :, None, None] * np.asarray(gradient)[None, None]


def test_stretched_and_bent_struts_have_the_stress_of_beam_theory(cell) -> None:
    known = closed_forms(CONSTANTS[cell])
    assert known["stretched"] == pytest.approx(1.0, abs=1e-9)
    assert known["bent"] == pytest.approx(1.0, abs=3e-3)  # two-node elements: 1/32², in bending and in shear


def test_uniform_struts_buckle_under_the_load_of_euler() -> None:
    """Joints that turn against each other hinge the struts; beams that hardly twist carry ``π² EI/L²`` then."""
    slender = replace(CONSTANTS["X"], radius=0.01, joint=0.0, softening=0.0)
    beams = Beams(slender, elements=16, uneven=1e-6)
    beams.twist = 1e-3 * beams.bending
    length = 0.5 * np.sqrt(3.0)
    load = np.pi**2 * beams.bending / length**2
    stress = beams.run(ramp(-6.0 * load * EYE, 12))[0][0, -1, 0, 0]
    assert stress == pytest.approx(-4.0 / np.sqrt(3.0) * load, rel=0.02)


def test_a_rotation_turns_the_stress_and_changes_nothing_else(cell) -> None:
    beams = Beams(CONSTANTS[cell], elements=3)
    u = torch.tensor(np.random.default_rng(0).normal(scale=0.02, size=(1, 6 * beams.nodes)))
    u[0, 6:9] = 0.0
    F = torch.tensor(EYE + np.array([[0.2, 0.3, 0.0], [0.0, -0.1, 0.1], [0.0, 0.0, 0.1]]))[None]
    turns = torch.zeros(1, beams.nodes, 4, dtype=torch.float64)
    turns[..., 0] = 1.0
    beams.push = torch.zeros_like(beams.push)  # dead forces do not turn with the body
    Q = Rotation.from_rotvec([0.4, -1.0, 0.7])
    R = torch.tensor(Q.as_matrix())
    turned, moved = u.view(-1, 6).clone(), turns.clone()
    turned[:, :3] = turned[:, :3] @ R.T
    # The nodes' rotations so far are taken into the quaternions, and the turn comes after them.
    spins = Rotation.from_rotvec(turned[:, 3:].numpy())
    turned[:, 3:] = 0.0
    moved[0] = torch.tensor((Q * spins).as_quat(scalar_first=True))
    energy, stress = beams.energy(u, F, turns), beams.stress(u, F, turns)
    other = turned.reshape(1, -1), R @ F, moved
    assert float(beams.energy(*other)) == pytest.approx(float(energy), rel=1e-9)
    assert (beams.stress(*other) - R @ stress).abs().max() < 1e-8 * stress.abs().max()


def test_the_work_of_the_stress_is_the_energy_and_moduli_are_its_slopes() -> None:
    beams, gradient = Beams(CONSTANTS["X"]), np.array(NAMED["tension, shear"])
    F = ramp(gradient, 24)
    P, settled = beams.run(F)
    assert settled.all()
    work = np.trapezoid((P[0] * gradient).sum((1, 2)), dx=1.0 / 24)
    u, turns = beams.last
    stored = float(beams.energy(u, torch.tensor(F[:, -1]), turns))
    assert work == pytest.approx(stored, rel=5e-3)  # trapezoids over the onset of buckling
    moduli = beams.moduli(F[:, -1])[0]
    assert np.abs(moduli - moduli.T).max() < 1e-5 * np.abs(moduli).max()


def test_drawn_paths_stay_within_the_range_of_the_public_ones() -> None:
    stretch = 1.0 + 0.5 * np.linspace(-1.0, 1.0, 21)
    paths = {"volumetric": (stretch[:, None] * EYE.reshape(9), np.zeros((21, 9)))}
    ends = drawn(64, 0, paths)
    sizes = np.linalg.svd(EYE + ends)[1]
    assert sizes.min() > 0.4
    assert sizes.max() < 1.75
    assert np.array_equal(ends, drawn(64, 0, paths))


def test_the_buckled_cell_is_not_elliptic() -> None:
    table = ellipticity(CONSTANTS["X"], {"shear": np.array(NAMED["tension, shear"]), "volume": 0.3 * EYE}, steps=8)
    assert (
        table["shear"]["half way"] < -0.5
    )  # times the least acoustic stiffness at rest: no polyconvex energy does that
    assert table["volume"]["at the end"] > 1.0


@pytest.mark.skipif(not FOLDER.exists(), reason="the public data are not here")
def test_the_beams_follow_the_public_paths_in_tension(cell) -> None:
    paths = read(FOLDER, cell)
    data = {key: branch for key, branch in public_branches(cell, paths, stride=20).items() if key[1] == "tension"}
    assert [name for name, _ in data] == list(PATHS)
    for (name, _), difference in zip(data, misfits(CONSTANTS[cell], data), strict=True):
        assert np.linalg.norm(difference) < 0.025, name


@pytest.mark.skipif(not FOLDER.exists(), reason="the public data are not here")
def test_calibrated_on_three_paths_the_beams_predict_the_other_two() -> None:
    assert all(WITHOUT[cell] != CONSTANTS[cell] for cell in CONSTANTS)
    paths = {name: path for name, path in read(FOLDER, "X").items() if name in HELD_OUT}
    data = {key: branch for key, branch in public_branches("X", paths).items() if key[1] == "tension"}
    for (name, _), difference in zip(data, misfits(WITHOUT["X"], data), strict=True):
        assert np.linalg.norm(difference) < 0.025, name


def test_buckled_struts_break_the_symmetry_of_the_cube_and_straight_ones_do_not() -> None:
    """The mean over all 24 images is cubic, so each image is as far from it as the struts lean."""
    ends = {"pulled": np.diag([0.2, 0.25, 0.3]), "pressed": np.diag([-0.2, -0.15, 0.02])}
    broken = asymmetry(CONSTANTS["X"], ends, steps=4, images=2)
    assert broken["pulled"]["from the mean"] < 1e-4
    assert broken["pressed"]["from the mean"] > 1e-3

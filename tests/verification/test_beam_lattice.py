"""The beams that stand in for the public lattices: closed forms, objectivity, energy, buckling, and the data."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from scipy.spatial.transform import Rotation

from beam_lattice import (
    CONSTANTS,
    HELD_OUT,
    WITHOUT,
    asymmetry,
    closed_forms,
    misfits,
    public_branches,
    stability,
)
from beam_material import BeamCell
from beam_paths import NAMED, drawn, free_sided
from beams import Beams
from lattice_data import FOLDER, PATHS, branches, read, relative
from pointlaw.paths import LoadPath, drive
from pointlaw.tensors import FINITE_STRAIN_3D
from pointlaw.testing import check_material

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
    end, (shifts, turns) = torch.tensor(F[:, -1]), beams.last
    stored = float(beams.energy(torch.nn.functional.pad(shifts, (0, 3)).flatten(1), end, turns))
    assert work == pytest.approx(stored, rel=5e-3)  # trapezoids over the onset of buckling
    moduli = beams.moduli(end, *beams.last)[0].numpy()
    assert np.abs(moduli - moduli.T).max() < 1e-5 * np.abs(moduli).max()


def test_drawn_paths_stay_within_the_range_of_the_public_ones() -> None:
    stretch = 1.0 + 0.5 * np.linspace(-1.0, 1.0, 21)
    paths = {"volumetric": (stretch[:, None] * EYE.reshape(9), np.zeros((21, 9)))}
    ends = drawn(64, 0, paths)
    sizes = np.linalg.svd(EYE + ends)[1]
    assert sizes.min() > 0.4
    assert sizes.max() < 1.75
    assert np.array_equal(ends, drawn(64, 0, paths))


def test_buckled_struts_of_x_are_not_elliptic_and_pulled_ones_of_bcc_stay_polyconvex() -> None:
    ends = {"shear": np.array(NAMED["tension, shear"]), "volume": 0.3 * EYE}
    table = stability(CONSTANTS["X"], ends, steps=8)
    for figure in ("acoustic", "polyconvex"):
        assert table[figure]["shear"]["half way"] < -0.5
        assert table[figure]["volume"]["at the end"] > 1.0
    for row in stability(CONSTANTS["BCC"], ends, steps=8)["polyconvex"].values():
        assert min(row.values()) > 0.05


def test_a_computed_cell_keeps_the_contract_of_a_material() -> None:
    report = check_material(BeamCell(CONSTANTS["X"]), points=3, steps=2, halvings=8, zero_stress=False)
    report.raise_if_failed()  # at rest the imperfection of its struts leaves some stress


def test_free_sides_carry_nothing_and_the_others_go_where_they_are_led(cell) -> None:
    ends = np.array([np.diag([0.3, np.nan, np.nan]), [[0.2, 0.1, 0.0], [0.0, 0.1, 0.0], [0.0, 0.0, np.nan]]])
    for end, (F, P) in zip(ends, free_sided(CONSTANTS[cell], ends, 4), strict=True):
        free = np.isnan(end.reshape(9))
        assert len(F) == 4
        assert np.allclose(F[-1, ~free], (EYE + end).reshape(9)[~free])
        assert np.abs(P[-1, free]).max() < 0.02 * np.linalg.norm(P[-1])


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


@pytest.mark.skipif(not FOLDER.exists(), reason="the public data are not here")
def test_a_free_side_contracts_as_in_the_public_data() -> None:
    """The public biaxial path was led with a free side; the beams find its stretch and the stress of the others."""
    F, P = read(FOLDER, "X")["biaxial"]
    rows = branches(F)["tension"][::20]
    target, free = F[rows].copy(), np.eye(3).reshape(9) * [0, 0, 0, 0, 0, 0, 0, 0, 1] > 0
    target[:, free] = 0.0
    load = LoadPath(np.arange(float(len(rows))), target[None], free, FINITE_STRAIN_3D)
    record = drive(BeamCell(CONSTANTS["X"]), load, tolerance=1e-5)
    record.raise_if_failed()
    assert np.abs(record.strain[0][:, free] - F[rows][:, free]).max() < 0.04
    assert relative(record.stress[0], P[rows]) < 0.01

"""Hyperelastic laws: torch differentiates the same energies, and rubber knows no observer."""

import numpy as np
import pytest
import torch

from pointlaw.errors import InputError
from pointlaw.materials import (
    FinitePlaneStrain,
    Gent,
    HolzapfelGasserOgden,
    LinearElastic,
    MooneyRivlin,
    NeoHooke,
    Ogden,
    PointStatus,
    random_rotations,
)
from pointlaw.materials.autodiff import EnergyLaw
from pointlaw.tensors import FINITE_STRAIN_3D

RNG = np.random.default_rng(8)
F = np.eye(3) + 0.4 * RNG.uniform(-1.0, 1.0, (200, 3, 3))
F = F[np.linalg.det(F) > 0.3]
FIBRES = [[1.0, 0.6, 0.0], [1.0, -0.6, 0.3]]
LAWS = {
    "neo_hooke": NeoHooke(0.8, 6.0),
    "mooney_rivlin": MooneyRivlin(0.3, 0.2, 6.0),
    "gent": Gent(0.8, 12.0, 6.0),
    "ogden": Ogden((0.5, -0.2, 0.05), (2.0, -3.0, 5.5), 6.0),
    "holzapfel": HolzapfelGasserOgden(0.4, 0.9, 0.7, FIBRES, 6.0, kappa=0.12),
}


def energy(F, name):
    """The energies as they stand in the docstrings, by other means (stretches from the eigenvalues of C)."""
    F = F.reshape(3, 3)
    J, C = torch.linalg.det(F), F.T @ F
    I1, I2 = J ** (-2 / 3) * torch.trace(C), 0.5 * J ** (-4 / 3) * (torch.trace(C) ** 2 - torch.trace(C @ C))
    if name == "neo_hooke":
        W = 0.4 * (I1 - 3)
    elif name == "mooney_rivlin":
        W = 0.3 * (I1 - 3) + 0.2 * (I2 - 3)
    elif name == "gent":
        W = -0.4 * 12.0 * torch.log(1 - (I1 - 3) / 12.0)
    elif name == "ogden":
        stretch = J ** (-1 / 3) * torch.linalg.eigvalsh(C).sqrt()
        W = sum(m / a * ((stretch**a).sum() - 3) for m, a in ((0.5, 2.0), (-0.2, -3.0), (0.05, 5.5)))
    else:
        W = 0.2 * (I1 - 3)
        for fibre in FIBRES:
            a = torch.tensor(fibre, dtype=torch.float64)
            a = a / torch.linalg.norm(a)
            E = 0.12 * (I1 - 3) + (1 - 0.36) * (J ** (-2 / 3) * (a @ C @ a) - 1)
            W = W + 0.9 / 1.4 * torch.where(E > 0, torch.expm1(0.7 * E**2), 0.0)
    return W + 1.5 * (J**2 - 1 - 2 * torch.log(J))


def answer(law, body):
    return law.update(body.reshape(-1, 9), law.initial_state(len(body)), 1.0)


@pytest.mark.parametrize("name", LAWS)
def test_stress_and_tangent_are_the_derivatives_of_the_stated_energy(name):
    mine = answer(LAWS[name], F)
    torchs = answer(EnergyLaw(lambda e: energy(e, name), kinematics=FINITE_STRAIN_3D), F)
    assert np.abs(mine.stress - torchs.stress).max() < 1e-10 * np.abs(torchs.stress).max()
    assert np.abs(mine.tangent - torchs.tangent).max() < 1e-9 * np.abs(torchs.tangent).max()


@pytest.mark.parametrize("name", LAWS)
def test_a_rigid_rotation_afterwards_turns_the_stress(name):
    Q = random_rotations(len(F), seed=1)
    turned = Q @ answer(LAWS[name], F).stress.reshape(-1, 3, 3)
    assert answer(LAWS[name], Q @ F).stress.reshape(-1, 3, 3) == pytest.approx(turned, rel=1e-9, abs=1e-10)


@pytest.mark.parametrize("name", ["neo_hooke", "mooney_rivlin", "gent", "ogden"])
def test_a_rotation_of_the_undeformed_body_changes_nothing_in_an_isotropic_solid(name):
    Q = random_rotations(len(F), seed=2)
    turned = answer(LAWS[name], F).stress.reshape(-1, 3, 3) @ Q
    assert answer(LAWS[name], F @ Q).stress.reshape(-1, 3, 3) == pytest.approx(turned, rel=1e-9, abs=1e-10)


@pytest.mark.parametrize("name", LAWS)
def test_the_undeformed_body_is_free_of_stress(name):
    assert np.abs(answer(LAWS[name], np.eye(3)[None]).stress).max() < 1e-14


@pytest.mark.parametrize("gap", [0.0, 1e-16, 1e-12, 1e-8, 1e-5])
def test_equal_and_nearly_equal_stretches_are_no_special_case(gap):
    """An Ogden solid with α = 2 is the neo-Hooke solid, whose formula knows no eigenvalues."""
    rotations = random_rotations(3, seed=3)
    bodies = [np.diag([1.2, 1.2 + gap, 0.9]), np.diag([1.1, 1.1 + gap, 1.1 - gap]), np.eye(3)]
    body = np.array([R @ D @ R.T for R, D in zip(rotations, bodies, strict=True)])
    one, two = answer(Ogden([0.7], [2.0], 5.0), body), answer(NeoHooke(0.7, 5.0), body)
    assert one.stress == pytest.approx(two.stress, abs=1e-13)
    assert one.tangent == pytest.approx(two.tangent, abs=1e-12)


@pytest.mark.parametrize("name", LAWS)
def test_a_body_turned_inside_out_fails_and_its_neighbours_do_not(name):
    body = F[:4].copy()
    body[1] = np.diag([-1.0, 1.0, 1.0])
    body[2] = np.diag([0.0, 1.0, 1.0])
    got = answer(LAWS[name], body)
    assert got.status.tolist() == [PointStatus.FINE, PointStatus.FAILED, PointStatus.FAILED, PointStatus.FINE]
    assert np.isnan(got.stress[1:3]).all()
    assert got.stress[[0, 3]] == pytest.approx(answer(LAWS[name], F[:4]).stress[[0, 3]])


def test_gent_chains_cannot_be_drawn_beyond_their_length():
    body = np.array([np.diag([x, x**-0.5, x**-0.5]) for x in (2.0, 3.0)])  # I1 − 3 = 2, 6.7
    assert answer(Gent(1.0, 5.0, 10.0), body).status.tolist() == [PointStatus.FINE, PointStatus.FAILED]


def test_fully_dispersed_fibres_have_no_direction():
    one = HolzapfelGasserOgden(0.4, 0.9, 0.7, [1.0, 0.0, 0.0], 6.0, kappa=1.0 / 3.0)
    two = HolzapfelGasserOgden(0.4, 0.9, 0.7, [0.0, 0.0, 5.0], 6.0, kappa=1.0 / 3.0)
    assert answer(one, F).stress == pytest.approx(answer(two, F).stress, rel=1e-12, abs=1e-14)


def test_plane_strain_takes_its_part_of_the_solid():
    law = FinitePlaneStrain(LAWS["ogden"])
    plane = np.array([[1.1, 0.2, -0.1, 0.9]])
    body = np.array([[[1.1, 0.2, 0.0], [-0.1, 0.9, 0.0], [0.0, 0.0, 1.0]]])
    full, part = answer(LAWS["ogden"], body), law.update(plane, law.initial_state(1), 1.0)
    assert part.stress == pytest.approx(full.stress[:, [0, 1, 3, 4]])
    assert part.tangent == pytest.approx(full.tangent[:, [0, 1, 3, 4]][:, :, [0, 1, 3, 4]])


@pytest.mark.parametrize(
    ("make", "sentence"),
    [
        (lambda: NeoHooke(-1.0, 1.0), "mu = -1.0"),
        (lambda: NeoHooke(1.0, 0.0), "K = 0.0"),
        (lambda: MooneyRivlin(0.0, 0.0, 1.0), "no shear stiffness"),
        (lambda: MooneyRivlin(-0.1, 0.5, 1.0), "C10 = -0.1"),
        (lambda: Gent(1.0, 0.0, 1.0), "Jm = 0.0"),
        (lambda: Ogden((1.0, 2.0), (2.0,), 1.0), "same length"),
        (lambda: Ogden((), (), 1.0), "at least one pair"),
        (lambda: Ogden((1.0,), (-2.0,), 1.0), "must be > 0"),
        (lambda: HolzapfelGasserOgden(1.0, 1.0, 1.0, FIBRES, 1.0, kappa=0.4), "kappa = 0.4"),
        (lambda: HolzapfelGasserOgden(1.0, 1.0, 1.0, [0.0, 0.0, 0.0], 1.0), "has no length"),
        (lambda: HolzapfelGasserOgden(1.0, 1.0, 1.0, [1.0, 0.0], 1.0), "shape"),
        (lambda: FinitePlaneStrain(LinearElastic(1.0, 0.3)), "finite_strain_3d"),
    ],
)
def test_a_wrong_parameter_gets_a_sentence(make, sentence):
    with pytest.raises(InputError, match=sentence):
        make()

"""Learned energies keep the theorems of hyperelasticity whatever their weights are, and learn a known law.

Polyconvexity implies rank-one convexity, ``(a⊗b):∂P/∂F:(a⊗b) ≥ 0`` (Ball 1977, doi 10.1007/BF00279992); objectivity is
``P(QF) = Q P(F)``, material symmetry ``P(FQ) = P(F) Q``, balance of angular momentum ``P Fᵀ = F Pᵀ``.
"""

import numpy as np
import pytest
import torch
from scipy.optimize import minimize
from scipy.spatial.transform import Rotation

from pointlaw.data import Scaling, sample
from pointlaw.laws import load_law, make_law, save_law
from pointlaw.materials import NeoHooke
from pointlaw.networks import (
    ConvexEnergy,
    EnergyCubic,
    EnergyIsotropic,
    EnergyNetwork,
    EnergySymmetrised,
    EnergyTransverse,
)
from pointlaw.networks.structure import cubic_rotations
from pointlaw.paths import random_walk
from pointlaw.tensors import FINITE_STRAIN_3D
from pointlaw.testing import check_material

AXIS = np.array([1.0, 2.0, 2.0]) / 3.0
EYE = np.eye(3)


def around(axis: np.ndarray, count: int = 4) -> np.ndarray:
    angles = np.linspace(0.3, 5.0, count)
    turns = Rotation.from_rotvec(angles[:, None] * axis).as_matrix()
    flip = Rotation.from_rotvec(np.pi * np.cross(axis, [1.0, 0.0, 0.0]) / np.linalg.norm(np.cross(axis, [1.0, 0, 0])))
    return np.concatenate([turns, flip.as_matrix()[None]])


def free() -> EnergySymmetrised:
    """An energy that is not polyconvex: the weights of its last layer have both signs."""
    network = EnergySymmetrised(hidden=[6, 5], norms=2, polyconvex=False)
    with torch.no_grad():
        network.branches[0].core.top[::2] *= -1.0
    return network


CASES = {
    "isotropic": (lambda: EnergyIsotropic(hidden=[6, 5]), Rotation.random(6, random_state=0).as_matrix()),
    "cubic": (lambda: EnergyCubic(hidden=[6], orbits=["100", "110", "111"]), cubic_rotations()),
    "symmetrised": (lambda: EnergySymmetrised(hidden=[6, 5], norms=2), cubic_rotations()),
    "symmetrised, not polyconvex": (free, cubic_rotations()),
    "transverse": (lambda: EnergyTransverse(hidden=[6], axis=[1.0, 2.0, 2.0]), around(AXIS)),
}


@pytest.fixture(scope="module", params=CASES)
def case(request) -> tuple[EnergyNetwork, np.ndarray]:
    torch.manual_seed(3)
    make, group = CASES[request.param]
    return make().double(), group


@pytest.fixture
def F() -> np.ndarray:
    rng = np.random.default_rng(0)
    F = EYE + 0.3 * rng.normal(size=(200, 3, 3))
    return F[np.linalg.det(F) > 0.1]


def stress(network: EnergyNetwork, F: np.ndarray) -> np.ndarray:
    with torch.no_grad():
        return network.scan(torch.tensor((F - EYE).reshape(1, -1, 9)))[0].numpy().reshape(-1, 3, 3)


def size(array: np.ndarray) -> float:
    return float(np.abs(array).max())


def test_the_energy_is_convex_along_rank_one_unless_it_is_free(case, F) -> None:
    network, _ = case
    x = torch.tensor((F - EYE).reshape(-1, 9))
    tangent = network.step_tangent(x, x[:, :0])[2].detach().numpy()
    rng = np.random.default_rng(1)
    directions = np.einsum("ni,nj->nij", rng.normal(size=(500, 3)), rng.normal(size=(500, 3))).reshape(500, 9)
    directions /= np.linalg.norm(directions, axis=1, keepdims=True)
    acoustic = np.einsum("pij,ni,nj->pn", tangent, directions, directions)
    if not network.config.get("polyconvex", True):
        assert acoustic.min() < -1e-3 * size(tangent)  # and says so in its configuration
        return
    assert acoustic.min() >= -1e-12 * size(tangent)
    assert np.linalg.eigvalsh(tangent).min() < 0.0  # so it is not just convex in F, which no objective law may be


def test_the_stress_is_objective(case, F) -> None:
    network, _ = case
    P = stress(network, F)
    for Q in Rotation.random(4, random_state=1).as_matrix():
        assert size(stress(network, Q @ F) - Q @ P) < 1e-11 * size(P)


def test_the_material_is_symmetric_under_its_group_and_no_other(case, F) -> None:
    network, group = case
    P = stress(network, F)
    for Q in group:
        assert size(stress(network, F @ Q) - P @ Q) < 1e-11 * size(P)
    if not isinstance(network, EnergyIsotropic):
        odd = Rotation.from_rotvec([0.5, 0.2, -0.3]).as_matrix()
        assert size(stress(network, F @ odd) - P @ odd) > 1e-4 * size(P)


def test_the_cauchy_stress_is_symmetric(case, F) -> None:
    P = stress(case[0], F)
    kirchhoff = P @ F.swapaxes(1, 2)
    assert size(kirchhoff - kirchhoff.swapaxes(1, 2)) < 1e-12 * size(kirchhoff)


def test_the_tangent_has_major_symmetry(case, F) -> None:
    x = torch.tensor((F - EYE).reshape(-1, 9))
    tangent = case[0].step_tangent(x, x[:, :0])[2].detach()
    assert (tangent - tangent.transpose(1, 2)).abs().max() < 1e-12 * tangent.abs().max()


def test_energy_and_stress_vanish_at_rest(case) -> None:
    network, _ = case
    zero = torch.zeros(1, 9, dtype=torch.float64)
    assert abs(float(network.energy(zero).detach())) == 0.0
    stiffness = network.step_tangent(zero, zero[:, :0])[2].abs().max()
    assert size(stress(network, EYE[None])) < 1e-13 * float(stiffness.detach())


def test_the_stress_is_the_gradient_of_the_energy(case, F) -> None:
    network, _ = case
    x, step = torch.tensor((F[:20] - EYE).reshape(-1, 9)), 1e-5
    P = torch.tensor(stress(network, F[:20]).reshape(-1, 9))
    for k in range(9):
        shift = torch.zeros(9, dtype=torch.float64)
        shift[k] = step
        with torch.no_grad():
            slope = (network.energy(x + shift) - network.energy(x - shift)) / (2 * step)
        assert (slope - P[:, k]).abs().max() < 1e-6 * P.abs().max()


def test_the_energy_grows_without_bound_when_the_volume_vanishes(case) -> None:
    stretch = 10.0 ** -np.arange(1.0, 4.0, 1.0 / 3.0)  # J from 1e-3 to 1e-12
    x = torch.tensor((stretch[:, None] - 1.0) * EYE.reshape(9))
    gain = case[0].energy(x).detach().diff()
    assert (gain > 0).all()
    assert (gain[1:] > 0.9 * gain[:-1]).all()  # like −ln J: equal gains for equal factors of J


def test_a_convex_energy_at_small_strain_makes_nothing_of_a_cycle_and_is_stable() -> None:
    torch.manual_seed(0)
    network = ConvexEnergy(features=6, outputs=6, hidden=[8, 6]).double()
    x = 0.02 * torch.randn(200, 6, dtype=torch.float64)
    y, _, tangent = network.step_tangent(x, x[:, :0])
    assert torch.equal(network.scan(torch.zeros(1, 1, 6, dtype=torch.float64)), torch.zeros(1, 1, 6).double())
    assert (tangent - tangent.transpose(1, 2)).abs().max() < 1e-12 * tangent.abs().max()
    assert torch.linalg.eigvalsh(tangent).min() > 0.0
    leaf = x.clone().requires_grad_()
    (slope,) = torch.autograd.grad(network.energy(leaf).sum(), leaf)
    assert (slope - y).abs().max() < 1e-11 * y.abs().max()


@pytest.fixture(scope="module")
def law(tmp_path_factory):
    """A neo-Hooke rubber, learnt from 24 walks by L-BFGS and read back from its file.

    (Its energy is polyconvex; that of the isochoric Mooney–Rivlin law is not, and must not be learnt exactly.)
    """
    torch.manual_seed(0)
    walks = random_walk(30, seed=0, steps=10, step_size=0.06, bound=0.25, kinematics=FINITE_STRAIN_3D)
    data = sample(NeoHooke(mu=2.0, K=6.0), walks)
    training, kept_back = data.subset(slice(0, 24)), data.subset(slice(24, 30))
    network, scaling = EnergyIsotropic(hidden=[8]).double(), Scaling.fit(training, "physical")
    x = torch.tensor(training.strain - training.kinematics.reference)
    target = torch.tensor(scaling.apply(training.stress))
    weights, answer = list(network.parameters()), network.at(x.reshape(-1, 9))

    def loss(vector: np.ndarray) -> tuple[float, np.ndarray]:
        torch.nn.utils.vector_to_parameters(torch.tensor(vector), weights)
        value = (answer() - target.reshape(-1, 9)).square().mean()
        slopes = torch.autograd.grad(value, weights)
        return value.item(), torch.nn.utils.parameters_to_vector(slopes).numpy()

    start = torch.nn.utils.parameters_to_vector(weights).detach().numpy()
    options = {"maxcor": 50, "maxiter": 400, "ftol": 1e-12, "gtol": 1e-9}
    found = minimize(loss, start, jac=True, method="L-BFGS-B", options=options)
    torch.nn.utils.vector_to_parameters(torch.tensor(found.x), weights)
    made = make_law(network, scaling, name="rubber", training=training, kept_back=kept_back)
    path = tmp_path_factory.mktemp("law") / "rubber.safetensors"
    save_law(path, made)
    return load_law(path)


def test_a_rubber_is_learnt_to_one_percent(law) -> None:
    assert law.card.figures.error_mean < 0.01


def test_the_learned_rubber_keeps_the_contract_of_a_material(law) -> None:
    check_material(law, amplitude=0.2).raise_if_failed()

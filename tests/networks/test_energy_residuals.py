"""Residuals of the stress are those of the network, and their Jacobian is that of differences."""

import numpy as np
import pytest
import torch

from pointlaw.networks import EnergySymmetrised
from pointlaw.networks.energy_residuals import StressResiduals
from pointlaw.networks.energy_symmetrised import mean_energy

EYE = np.eye(3)
POINTS = np.array(
    [
        EYE + np.diag([0.3, -0.1, -0.1]),
        EYE + np.diag([0.2, 0.2, -0.3]),
        EYE + np.diag([0.3, 0.0, -0.2]),
        1.1 * EYE,
        EYE,
        EYE + 0.2 * np.outer(EYE[0], EYE[1]),
        EYE + np.array([[0.1, 0.2, -0.1], [0.05, -0.1, 0.2], [0.0, 0.1, 0.1]]),
    ]
).reshape(-1, 9)
DIRECTIONS = 2 + 2 + 3 + 1 + 1 + 4 + 6  # what symmetry leaves of the six of an objective stress


def network(seed: int = 0, convex: bool = True) -> EnergySymmetrised:
    torch.manual_seed(seed)
    answer = EnergySymmetrised(hidden=[6, 4], norms=3, polyconvex=convex).double()
    with torch.no_grad():
        answer.branches[0].core.linear += 0.5
    return answer


def stress(energy: EnergySymmetrised) -> np.ndarray:
    with torch.no_grad():
        return energy.scan(torch.tensor(POINTS - EYE.reshape(9))[None])[0].numpy()


@pytest.fixture(params=[True, False], ids=["polyconvex", "free"])
def convex(request) -> bool:
    return request.param


@pytest.fixture
def problem(convex) -> StressResiduals:
    rng = np.random.default_rng(0)
    return StressResiduals(network(convex=convex), POINTS, stress(network(1)), rng.uniform(0.5, 2.0, len(POINTS)))


def test_every_direction_that_symmetry_allows_counts_once(problem) -> None:
    assert problem.values().shape == (DIRECTIONS,)


def test_the_sum_of_squares_is_that_of_all_nine_components(problem, convex) -> None:
    weight = np.random.default_rng(0).uniform(0.5, 2.0, len(POINTS))
    wanted = (weight[:, None] * (stress(network(convex=convex)) - stress(network(1)))) ** 2
    assert problem.values().square().sum().item() == pytest.approx(wanted.sum(), rel=1e-10)


def test_stress_that_no_symmetric_energy_can_follow_does_not_count(problem) -> None:
    odd = np.zeros_like(POINTS)
    odd[:5, 1] = 3.0  # shear stress at stretches along the edges
    other = StressResiduals(network(), POINTS, stress(network(1)) + odd, np.ones(len(POINTS)))
    same = StressResiduals(network(), POINTS, stress(network(1)), np.ones(len(POINTS)))
    assert torch.allclose(other.values().norm(), same.values().norm(), rtol=1e-12)


def test_the_jacobian_is_that_of_differences_for_every_weight(problem) -> None:
    weights, step = problem.weights(), 1e-6
    problem.values()
    J = problem.jacobian()
    assert J.shape == (DIRECTIONS, len(weights))
    columns = []
    for k in range(len(weights)):
        shift = torch.zeros_like(weights)
        shift[k] = step
        problem.set(weights + shift)
        ahead = problem.values()
        problem.set(weights - shift)
        columns.append((ahead - problem.values()) / (2.0 * step))
    assert (torch.stack(columns, 1) - J).abs().max() < 1e-7 * J.abs().max()


@pytest.mark.parametrize("config", [{"members": 2, "hidden": [4, 3]}, {"hidden": [4]}])
def test_other_networks_are_refused(config) -> None:
    with pytest.raises(ValueError, match="one member with two hidden layers"):
        StressResiduals(EnergySymmetrised(**config).double(), POINTS, POINTS, np.ones(len(POINTS)))


def test_the_mean_of_energies_has_the_mean_of_energy_stress_and_tangent(convex) -> None:
    parts = [network(seed, convex) for seed in range(3)]
    mean = mean_energy(parts)
    x = torch.tensor(POINTS - EYE.reshape(9))
    wanted = np.mean([stress(part) for part in parts], 0)
    assert np.abs(stress(mean) - wanted).max() < 1e-12 * np.abs(wanted).max()
    with torch.no_grad():
        energies = torch.stack([part.energy(x) for part in parts]).mean(0)
        assert (mean.energy(x) - energies).abs().max() < 1e-12 * energies.abs().max()
        tangents = torch.stack([part.step_tangent(x, x[:, :0])[2] for part in parts]).mean(0)
        # The curvature of a norm that vanishes at rest divides round-off by SMOOTH = 1e-4, and by it once more.
        assert (mean.step_tangent(x, x[:, :0])[2] - tangents).abs().max() < 1e-9 * tangents.abs().max()


def test_a_mean_is_taken_of_energies_of_one_configuration() -> None:
    with pytest.raises(ValueError, match="one configuration"):
        mean_energy([network(), EnergySymmetrised(norms=2)])

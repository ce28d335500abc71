"""Gaussian processes as laws: against covariances by automatic differentiation, against scipy, against their data."""

import math

import numpy as np
import pytest
import torch
from scipy.stats import multivariate_normal

from pointlaw.data import Dataset, DatasetCard
from pointlaw.errors import InputError
from pointlaw.laws import Guarded, LearnedMaterial, deviation, load_law, make_law, save_law
from pointlaw.materials import PointStatus
from pointlaw.networks import FeedForward, GaussianProcess
from pointlaw.networks.gaussian_process import gradient_covariance, noisy
from pointlaw.paths import gaussian_process
from pointlaw.tensors import PLANE_STRAIN
from pointlaw.testing import check_material, check_network
from pointlaw.training import TrainConfig, fit, fit_gaussian_process
from pointlaw.training.gaussian_process import farthest, log_evidence

E0, STIFFNESS = 0.012, np.array([[3e5, 1e5, 0.0], [1e5, 3e5, 2e4], [0.0, 2e4, 1e5]])


def stress_of(strain: np.ndarray) -> np.ndarray:
    """Gradient of the energy e0² (√(1 + ε·Cε/(C̄ e0²)) − 1) C̄: a law that softens at strains of the order of e0."""
    elastic = strain @ STIFFNESS
    square = (strain * elastic).sum(-1, keepdims=True)
    return elastic / np.sqrt(1.0 + square / (1e5 * E0**2))


def energy_of(strain: np.ndarray) -> np.ndarray:
    scale = 1e5 * E0**2
    return scale * (np.sqrt(1.0 + (strain * (strain @ STIFFNESS)).sum(-1) / scale) - 1.0)


def answers(paths: int, seed: int) -> Dataset:
    path = gaussian_process(paths, seed=seed, steps=20, bound=0.008, kinematics=PLANE_STRAIN)
    return Dataset(path.times, path.strain, stress_of(path.strain), DatasetCard(kinematics="plane_strain"))


@pytest.fixture(scope="module")
def report():
    return fit_gaussian_process(answers(30, 0), points=120)


@pytest.fixture(scope="module")
def law(report):
    return make_law(report.network, report.scaling, name="gp", training=report.training, kept_back=answers(10, 1))


def small(points: int = 4):
    """A process of a few points with noise, and what it was conditioned on."""
    torch.manual_seed(0)
    given = {
        "x": torch.randn(points, 2).double(),
        "y": torch.randn(points, 2).double(),
        "length": torch.tensor([0.8, 1.3]).double(),
        "amplitude": torch.tensor(1.7).double(),
        "noise": torch.full((points,), 0.1).double(),
        "stiffness": torch.tensor([[2.0, 0.5], [0.5, 1.0]]).double(),
    }
    process = GaussianProcess(features=2, outputs=2, points=points).double()
    process.condition(given["x"], given["y"], **{k: v for k, v in given.items() if k not in ("x", "y")})
    return process, given


def brute(x: torch.Tensor, other: torch.Tensor, length: torch.Tensor, amplitude: torch.Tensor) -> torch.Tensor:
    """∂²k/∂x∂x′ of the squared-exponential covariance by automatic differentiation, point by point."""

    def mixed(a, b):
        a, b = a.clone().requires_grad_(True), b.clone().requires_grad_(True)
        k = amplitude**2 * torch.exp(-0.5 * (((a - b) / length) ** 2).sum())
        (first,) = torch.autograd.grad(k, a, create_graph=True)
        return torch.stack([torch.autograd.grad(row, b, retain_graph=True)[0] for row in first])

    return torch.cat([torch.cat([mixed(a, b) for b in other], 1) for a in x])


def test_the_covariance_of_gradients_is_the_second_derivative_of_that_of_energies() -> None:
    _, given = small()
    other = torch.randn(3, 2).double()
    mine = gradient_covariance(given["x"], other, given["length"], given["amplitude"])
    torch.testing.assert_close(mine, brute(given["x"], other, given["length"], given["amplitude"]))


def test_mean_and_variance_are_those_of_the_textbook() -> None:
    """Equations 2.23 and 2.24 of Rasmussen and Williams, with covariances by automatic differentiation."""
    process, given = small()
    at = torch.randn(5, 2).double()
    scales = given["length"], given["amplitude"]
    inside = brute(given["x"], given["x"], *scales) + noisy(given["noise"], 2)
    cross = brute(at, given["x"], *scales)
    rest = torch.zeros(1, 2).double()
    solved = torch.linalg.solve(inside, (given["y"] - given["x"] @ given["stiffness"]).reshape(-1))
    mean = at @ given["stiffness"] + (cross @ solved).view(-1, 2) - brute(rest, given["x"], *scales) @ solved
    variance = (brute(at, at, *scales) - cross @ torch.linalg.solve(inside, cross.T)).diagonal().view(-1, 2)
    torch.testing.assert_close(process.step(at, process.initial_state(5))[0], mean)
    torch.testing.assert_close(process.variance(at), variance)


def test_the_evidence_is_the_density_of_the_observations() -> None:
    _, given = small()
    covariance = brute(given["x"], given["x"], given["length"], given["amplitude"]) + noisy(given["noise"], 2)
    mine = log_evidence(given["x"], given["y"], given["length"], given["amplitude"], given["noise"])
    assert mine.item() == pytest.approx(
        multivariate_normal(cov=covariance.numpy()).logpdf(given["y"].flatten().numpy())
    )


def test_the_answer_is_the_derivative_of_the_energy_and_the_tangent_is_symmetric() -> None:
    process, _ = small()
    x = torch.randn(6, 2).double().requires_grad_(True)
    (gradient,) = torch.autograd.grad(process.energy(x).sum(), x)
    torch.testing.assert_close(gradient, process.step(x, process.initial_state(6))[0])
    slope = process.step_tangent(x, process.initial_state(6))[2]
    torch.testing.assert_close(slope, slope.transpose(1, 2))
    assert process.energy(torch.zeros(1, 2).double()).abs().item() < 1e-14


def test_a_conditioned_process_keeps_the_contract_of_networks(report) -> None:
    check_network(small()[0]).raise_if_failed()
    assert report.network.state_size == 0


def test_it_meets_its_data_and_knows_it(report) -> None:
    process, scaling = report.network, report.scaling
    x = process.sum.points * process.sum.length
    y = torch.as_tensor(scaling.apply(stress_of(x.numpy())))
    size = y.square().mean().sqrt()
    assert (process.step(x, process.initial_state(len(x)))[0] - y).abs().max() < 1e-3 * size
    assert process.variance(x).sqrt().max() < 1e-3 * size
    assert process.variance(x[:1]).sqrt().max() < 1e-5 * size  # at rest


def test_the_deviation_grows_away_from_the_data_to_that_of_the_prior(report) -> None:
    process = report.network
    line = torch.tensor([[0.004, 0.0, 0.0]]).double() * torch.tensor([1.0, 3.0, 5.0, 1e3]).double()[:, None]
    deviation = process.variance(line).sqrt().sum(1)
    assert (deviation.diff() > 0).all()
    prior = (process.sum.amplitude / process.sum.length).sum()
    assert deviation[-1].item() == pytest.approx(prior.item())


def test_its_errors_are_of_the_size_that_it_says(report) -> None:
    """On other strains within the data, the error over the predicted deviation is neither large nor small."""
    strain = answers(20, 3).strain[:, 1:].reshape(-1, 3)
    x = torch.as_tensor(strain)
    y = report.network.step(x, report.network.initial_state(len(x)))[0]
    score = (y - torch.as_tensor(report.scaling.apply(stress_of(strain)))) / report.network.variance(x).sqrt()
    assert 0.02 < score.square().mean().sqrt() < 3.0


def test_a_nonlinear_elastic_law_is_learned_with_its_tangent_and_energy(report, law) -> None:
    assert law.card.figures.error_mean < 0.01
    assert law.card.figures.tangent_check < 1e-6
    assert law.card.figures.drift == 0.0
    assert max(law.card.figures.refinement.values()) < 1e-12
    strain = answers(10, 1).strain[:, 1:].reshape(-1, 3)
    energy = report.network.energy(torch.as_tensor(strain)).numpy() * report.scaling.stress[0]
    np.testing.assert_allclose(energy, energy_of(strain), atol=0.01 * energy_of(strain).max())


def test_the_law_goes_through_a_file_and_keeps_the_contract_of_materials(law, tmp_path) -> None:
    save_law(tmp_path / "gp.safetensors", law)
    again = load_law(tmp_path / "gp.safetensors")
    strain = 0.003 * np.random.default_rng(0).standard_normal((300, 3))
    first, second = (material.update(strain, material.initial_state(300), 1.0) for material in (law, again))
    np.testing.assert_array_equal(first.stress, second.stress)
    np.testing.assert_array_equal(first.tangent, second.tangent)
    x = torch.as_tensor(strain)
    torch.testing.assert_close(again.network.variance(x), law.network.variance(x), rtol=0.0, atol=0.0)
    # A sum of a hundred terms, each ten thousand times the answer: two digits less than double precision.
    check_material(again, amplitude=0.003, precision=1e-12).raise_if_failed()
    rest = again.update(np.zeros((3, 3)), again.initial_state(3), 1.0)
    assert np.abs(rest.stress).max() < 1e-12 * np.abs(first.stress).max()
    assert (again.update(np.full((1, 3), 1.0), again.initial_state(1), 1.0).status == PointStatus.OUT_OF_RANGE).all()


def test_a_law_tells_its_deviation_in_the_unit_of_stress_and_is_guarded_by_it(law) -> None:
    strain = np.array([[0.0, 0.0, 0.0], [0.002, 0.0, 0.0], [0.05, 0.0, 0.0]])
    found = deviation(law, strain)
    variance = law.network.variance(torch.as_tensor(strain)).numpy()
    np.testing.assert_allclose(found, np.sqrt(variance) * law.card.scaling.stress[0], rtol=1e-12)
    size = np.linalg.norm(found, axis=1)
    guarded = Guarded(law, grade=lambda e, increment, state: np.linalg.norm(deviation(law, e), axis=1) / (2 * size[1]))
    answer = guarded.update(strain, guarded.initial_state(3), 1.0)
    assert answer.status.tolist() == [PointStatus.FINE, PointStatus.FINE, PointStatus.OUT_OF_RANGE]


def test_only_a_gaussian_process_has_a_deviation(law) -> None:
    other = LearnedMaterial(FeedForward(features=3, outputs=3, hidden=[4]), law.card)
    with pytest.raises(InputError, match="is a FeedForward; only a Gaussian process"):
        deviation(other, np.zeros((1, 3)))


def test_noise_is_found_where_there_is_some() -> None:
    clean = answers(30, 0)
    noise = 5.0 * np.random.default_rng(0).standard_normal(clean.stress.shape)
    noisy_data = Dataset(clean.time, clean.strain, clean.stress + noise, clean.card)
    assert fit_gaussian_process(noisy_data, points=120).noise == pytest.approx(5.0, rel=0.3)
    assert fit_gaussian_process(noisy_data, points=20, noise=3.0).noise == pytest.approx(3.0)


def test_points_are_spread_and_none_is_taken_twice() -> None:
    line = np.linspace(-1.0, 1.0, 21)[:, None]
    np.testing.assert_allclose(np.sort(line[farthest(line, 5), 0]), [-1.0, -0.5, 0.5, 1.0], atol=1e-12)
    assert len(farthest(np.repeat(line, 3, axis=0), 50)) == 20  # the virgin strain, zero, is taken for granted


def test_what_does_not_fit_gets_a_sentence() -> None:
    with pytest.raises(InputError, match="at least 2 points"):
        fit_gaussian_process(answers(2, 0), points=1)
    for points in ("a", 20.5):
        with pytest.raises(InputError, match=f"points = {points!r}; points is a whole number"):
            fit_gaussian_process(answers(2, 0), points=points)
    given = answers(2, 0)
    with pytest.raises(InputError, match="None of the 2 training paths leaves the undeformed body"):
        fit_gaussian_process(Dataset(given.time, 0.0 * given.strain, 0.0 * given.stress, given.card))
    with pytest.raises(InputError, match="no parameter that gradient descent could train"):
        fit(GaussianProcess(features=3, outputs=3), answers(4, 0), TrainConfig(epochs=1))
    assert math.isfinite(fit_gaussian_process(answers(2, 0), points=10, iterations=2).evidence)

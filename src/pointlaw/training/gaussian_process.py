"""Condition a Gaussian process on a dataset: choose the points, find the scales by maximum likelihood.

The cost grows with the cube of points times components, so a few hundred strains are chosen, each the one farthest
from those before. The scales of the process maximise the evidence of the stresses there (Rasmussen and Williams 2006,
chapter 5.4, doi:10.7551/mitpress/3206.001.0001), by L-BFGS through the Cholesky factor.
"""

import logging
import math
import time
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from pointlaw.data import Dataset, Scaling
from pointlaw.errors import InputError
from pointlaw.networks.arguments import check_arguments
from pointlaw.networks.gaussian_process import GaussianProcess, gradient_covariance, noisy
from pointlaw.tensors import Array
from pointlaw.training.fit import check_moving

log = logging.getLogger(__name__)

# Least noise over the expected deviation of the stress. The weights grow as its inverse, and round-off with them: at
# this value the answer is a smooth function to about twelve digits, as Newton's method and differences need it.
_FLOOR = 3e-4


@dataclass(frozen=True)
class GaussianProcessReport:
    """What the conditioning found.

    Attributes
    ----------
    network : GaussianProcess
        In float64, ready for ``make_law`` with ``features=("strain",)``.
    scaling : Scaling
        Its scales.
    evidence : float
        Logarithm of the likelihood of the observations.
    length : [m]
        Strains over which the energy changes.
    noise : float
        Standard deviation of an observation, unit of stress.
    training : Dataset
        What it was chosen from.
    """

    network: GaussianProcess
    scaling: Scaling
    evidence: float
    length: Array
    noise: float
    training: Dataset
    seconds: float


def fit_gaussian_process(
    dataset: Dataset, *, points: int = 200, iterations: int = 60, noise: float | None = None
) -> GaussianProcessReport:
    """Return a Gaussian process that knows ``points`` stresses of ``dataset``, and zero stress at zero strain.

    Parameters
    ----------
    dataset : Dataset
        Answers of a law without memory; a dependence on the path becomes noise.
    points : int
        Observations, the one at rest among them; the covariance is ``[points·m, points·m]`` and part of the law file.
    iterations : int
        Steps of L-BFGS.
    noise : float, optional
        Standard deviation of the stresses, unit of stress; found with the other scales if omitted.

    Notes
    -----
    Raises ``InputError`` when ``points`` is no whole number of at least two, the noise is below zero, or no path has a
    strain.
    """
    check_arguments(GaussianProcess, {"points": points})
    if points < 2 or (noise is not None and not noise >= 0.0):
        raise InputError(f"A Gaussian process needs at least 2 points and a noise ≥ 0; got {points} and {noise}.")
    check_moving(dataset)
    begin = time.perf_counter()
    scaling = Scaling.fit(dataset, "physical")
    strain = (dataset.strain - np.array(scaling.reference)).reshape(-1, dataset.kinematics.size)
    stress = scaling.apply(dataset.stress).reshape(strain.shape)
    spread = np.maximum(np.sqrt(np.mean(strain**2, axis=0)), 1e-3 * np.sqrt(np.mean(strain**2)) or 1.0)
    chosen = farthest(strain / spread, points)
    x = torch.tensor(np.vstack([np.zeros(strain.shape[1]), strain[chosen]]))
    y = torch.tensor(np.vstack([np.zeros(strain.shape[1]), stress[chosen]]))
    stiffness = np.linalg.lstsq(strain, stress, rcond=None)[0]
    stiffness = torch.tensor(0.5 * (stiffness + stiffness.T))
    fixed = None if noise is None else noise / scaling.stress[0]
    scales = _Scales(torch.tensor(spread), y - x @ stiffness, fixed)
    evidence = _maximise(scales, x, y - x @ stiffness, iterations)
    with torch.no_grad():
        length, amplitude, deviation = scales()
        network = GaussianProcess(features=x.shape[1], outputs=x.shape[1], points=len(x)).double()
        network.condition(
            x, y, length=length, amplitude=amplitude, noise=_noise(deviation, len(x)), stiffness=stiffness
        )  # fmt: skip
    log.info("Gaussian process: %d points, evidence %.4g, noise %.3g", len(x), evidence, float(deviation))
    return GaussianProcessReport(
        network.eval(), scaling, evidence, length.numpy(), float(deviation) * scaling.stress[0], dataset,
        time.perf_counter() - begin,
    )  # fmt: skip


class _Scales(torch.nn.Module):
    """The logarithms of length, amplitude and noise, from a first guess."""

    def __init__(self, spread: Tensor, rest: Tensor, noise: float | None):
        super().__init__()
        size = float(rest.square().mean().sqrt()) or 1e-6
        self.length = torch.nn.Parameter(spread.log() + math.log(2.0))
        self.amplitude = torch.nn.Parameter((spread.mean() * 2.0 * size).log())
        self.noise = torch.nn.Parameter(torch.tensor(math.log(1e-2 * size), dtype=torch.float64))
        self.given = noise

    def forward(self) -> tuple[Tensor, Tensor, Tensor]:
        """Return length ``[m]``, amplitude and noise."""
        length, amplitude = self.length.exp(), self.amplitude.exp()
        floor = _FLOOR * (amplitude / length).max()
        if self.given is not None:
            return length, amplitude, torch.clamp(floor, min=self.given)
        return length, amplitude, self.noise.exp() + floor


def _maximise(scales: _Scales, x: Tensor, y: Tensor, iterations: int) -> float:
    """Find the scales of greatest evidence; return it."""
    optimizer = torch.optim.LBFGS(
        scales.parameters(), max_iter=iterations, tolerance_change=1e-7, line_search_fn="strong_wolfe"
    )
    best, kept = -math.inf, {name: value.clone() for name, value in scales.state_dict().items()}

    def closure() -> Tensor:
        nonlocal best, kept
        optimizer.zero_grad()
        length, amplitude, deviation = scales()
        value = log_evidence(x, y, length, amplitude, _noise(deviation, len(x)))
        loss = -value / y.numel()
        loss.backward()
        if float(value.detach()) > best:
            best, kept = float(value.detach()), {name: v.clone() for name, v in scales.state_dict().items()}
        return loss

    try:
        optimizer.step(closure)
    except torch.linalg.LinAlgError:  # the line search went where no factor exists; the best so far is kept
        log.info("The search for the scales met a covariance that is not positive definite.")
    scales.load_state_dict(kept)
    return best


def log_evidence(x: Tensor, y: Tensor, length: Tensor, amplitude: Tensor, noise: Tensor) -> Tensor:
    """Return log p(y) for gradients ``y[N, m]`` observed at ``x[N, m]`` with standard deviations ``noise[N]``."""
    root = torch.linalg.cholesky(gradient_covariance(x, x, length, amplitude) + noisy(noise, x.shape[1]))
    white = torch.linalg.solve_triangular(root, y.reshape(-1, 1), upper=False)
    return -0.5 * white.square().sum() - root.diagonal().log().sum() - 0.5 * y.numel() * math.log(2.0 * math.pi)


def _noise(deviation: Tensor, points: int) -> Tensor:
    """Return the noise of each point: the first one, at rest, is known a hundred times better."""
    share = torch.ones(points, dtype=torch.float64)
    share[0] = 1e-2
    return deviation * share


def farthest(points: Array, count: int) -> np.ndarray:
    """Return the rows of at most ``count − 1`` of ``points[n, m]``, each the farthest from zero and those before."""
    distance = np.sum(points**2, axis=1)
    chosen: list[int] = []
    for _ in range(min(count - 1, len(points))):
        row = int(np.argmax(distance))
        if distance[row] <= 1e-16 * max(1.0, float(np.sum(points[chosen[0]] ** 2)) if chosen else 1.0):
            break
        chosen.append(row)
        distance = np.minimum(distance, np.sum((points - points[row]) ** 2, axis=1))
    return np.array(chosen, dtype=int)

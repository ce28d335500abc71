"""What training minimises, and the batches it sees.

The objective is the figure on the card: the mean over paths of ‖σ − σ̂‖/‖σ‖, so that a small path counts as much as
a large one; one without stress is measured against ``FLOOR`` of the typical one. What the first step says about the
stiffness at rest is lost in the norm of a path that goes on to large stresses, so it may count once more. With data
that carry tangents the same measure of the tangent is added (Sobolev training, Czarnecki et al. 2017,
arXiv:1706.04859), and so are stored and dissipated energy for a network that knows an energy. Sub-sampled batches read
paths at random times and hold some steps; refined batches cut every step.
"""

import inspect
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from pointlaw.data import Dataset, FeatureMap
from pointlaw.laws.audit import FLOOR
from pointlaw.networks import Network
from pointlaw.training.config import TrainConfig


@dataclass(frozen=True)
class Samples:
    """A dataset as tensors: ``time[n, t]``, ``strain[n, t, m]``, ``stress[n, t, m]``, what is optional like it or None.

    ``A, B, c, x0`` is the feature map; ``scale[m]`` the stress scale.
    """

    time: Tensor
    strain: Tensor
    stress: Tensor
    tangent: Tensor | None
    A: Tensor
    B: Tensor
    c: Tensor
    x0: Tensor
    scale: Tensor
    energy: Tensor | None = None
    dissipation: Tensor | None = None

    @classmethod
    def of(
        cls, dataset: Dataset, features: FeatureMap, scale: list[float], device: torch.device, dtype: torch.dtype
    ) -> "Samples":
        """Return ``dataset`` as numbers of ``dtype`` on ``device``."""

        def tensor(array: np.ndarray | list[float]) -> Tensor:
            return torch.tensor(np.asarray(array), dtype=dtype, device=device)

        return cls(
            time=tensor(dataset.time - dataset.time[:, :1]),
            strain=tensor(dataset.strain),
            stress=tensor(dataset.stress),
            tangent=None if dataset.tangent is None else tensor(dataset.tangent),
            A=tensor(features.A),
            B=tensor(features.B),
            c=tensor(features.c),
            x0=tensor(features.x0),
            scale=tensor(scale),
            energy=None if dataset.energy is None else tensor(dataset.energy),
            dissipation=None if dataset.dissipation is None else tensor(dataset.dissipation),
        )

    def features(self, time: Tensor, strain: Tensor) -> Tensor:
        """Return the features ``[n, t − 1, f]`` of the steps of some paths."""
        x = strain[:, 1:] @ self.A.T + strain[:, :-1] @ self.B.T + self.x0
        return x + time.diff(dim=1).unsqueeze(-1) * self.c


def path_errors(network: Network, samples: Samples, rows: Tensor) -> Tensor:
    """Return ‖σ − σ̂‖/‖σ‖ of the paths ``rows``, ``[b]``."""
    y = network.scan(samples.features(samples.time[rows], samples.strain[rows]))
    return _relative(y * samples.scale - samples.stress[rows, 1:], samples.stress[rows, 1:])


def objective(
    network: Network, samples: Samples, rows: Tensor, config: TrainConfig, rng: torch.Generator
) -> dict[str, Tensor]:
    """Return the errors of one batch of paths by name, ``stress`` first; which ones is up to ``config``."""
    if config.subsample > 0 and torch.rand((), generator=rng).item() < config.subsample:
        return {"stress": _subsampled(network, samples, rows, config, rng)}
    if config.refine > 0 and torch.rand((), generator=rng).item() < config.refine:
        return {"stress": _refined(network, samples, rows, config, rng)}
    if config.energy_weight > 0 or config.dissipation_weight > 0:
        terms = _energies(network, samples, rows, config)
        if config.tangent_weight > 0:
            terms["tangent"] = _sobolev(network, samples, rows, config, rng)["tangent"]
        return terms
    if config.tangent_weight > 0:
        return _sobolev(network, samples, rows, config, rng)
    y = network.scan(samples.features(samples.time[rows], samples.strain[rows]))
    return _stress_terms(y * samples.scale, samples.stress[rows, 1:], config)


def _stress_terms(answer: Tensor, stress: Tensor, config: TrainConfig) -> dict[str, Tensor]:
    """Return the error of the stress ``[b, t, m]`` over whole paths and, if it counts, that of the first step alone."""
    terms = {"stress": _relative(answer - stress, stress).mean()}
    if config.rest_weight > 0:
        terms["rest"] = _relative(answer[:, 0] - stress[:, 0], stress[:, 0]).mean()
    return terms


def _subsampled(network: Network, samples: Samples, rows: Tensor, config: TrainConfig, rng: torch.Generator) -> Tensor:
    """Return the error of the stress where each path is read at its own random choice of times."""
    moments = random_moments(len(rows), samples.time.shape[1], config.hold, rng).to(samples.time.device)
    path = torch.arange(len(rows), device=rows.device)[:, None]
    strain, stress = samples.strain[rows][path, moments], samples.stress[rows][path, moments]
    gaps = samples.time[rows][path, moments].diff(dim=1)
    gaps = torch.where(gaps > 0, gaps, samples.time.diff(dim=1).mean())  # holding a strain takes time as well
    time = torch.nn.functional.pad(gaps.cumsum(1), (1, 0))
    y = network.scan(samples.features(time, strain))
    return _relative(y * samples.scale - stress[:, 1:], stress[:, 1:]).mean()


def _refined(network: Network, samples: Samples, rows: Tensor, config: TrainConfig, rng: torch.Generator) -> Tensor:
    """Return the error of the stress at the times of the data where each step is cut into several equal ones."""
    factor = int(torch.randint(2, config.refine_most + 1, (), generator=rng))
    time, strain = refined(samples.time[rows], factor), refined(samples.strain[rows], factor)
    y = network.scan(samples.features(time, strain))[:, factor - 1 :: factor]
    stress = samples.stress[rows, 1:]
    return _relative(y * samples.scale - stress, stress).mean()


def refined(values: Tensor, factor: int) -> Tensor:
    """Return ``values[b, t, ...]`` with ``factor − 1`` more points evenly between each two neighbours."""
    shares = torch.arange(1, factor + 1, dtype=values.dtype, device=values.device) / factor
    shares = shares.reshape(1, 1, factor, *[1] * (values.dim() - 2))
    between = values[:, :-1].unsqueeze(2) + shares * values.diff(dim=1).unsqueeze(2)
    return torch.cat([values[:, :1], between.flatten(1, 2)], 1)


def _sobolev(
    network: Network, samples: Samples, rows: Tensor, config: TrainConfig, rng: torch.Generator
) -> dict[str, Tensor]:
    """Return the errors of stress and tangent."""
    x = samples.features(samples.time[rows], samples.strain[rows])
    # A quarter of the steps, others in every batch: the slopes cost as much as several scans.
    moments = torch.randperm(x.shape[1], generator=rng)[: max(1, x.shape[1] // 4)].to(x.device)
    y, slopes = network.scan_tangent(x, moments)
    tangent = samples.scale[:, None] * (slopes @ samples.A)
    stress = samples.stress[rows, 1:]
    teacher = samples.tangent[rows][:, 1 + moments]  # type: ignore[index]
    terms = _stress_terms(y * samples.scale, stress, config)
    return terms | {"tangent": _relative(tangent - teacher, teacher).mean()}


def _energies(network: Network, samples: Samples, rows: Tensor, config: TrainConfig) -> dict[str, Tensor]:
    """Return the errors of stress, stored energy and dissipation, all counted from the first row of a path.

    The network says what it stores. Unless it also says what it dissipates, that is the work it does not store.
    """
    strain, stress = samples.strain[rows], samples.stress[rows]
    y, stored, lost = scan_energy(network, samples, samples.time[rows], strain)
    answer, scale = y * samples.scale, samples.scale[0]
    terms = _stress_terms(answer, stress[:, 1:], config)
    if config.energy_weight > 0 and samples.energy is not None:
        energy = samples.energy[rows, 1:] - samples.energy[rows, :1]
        terms["energy"] = _relative(stored * scale - energy, energy).mean()
    if config.dissipation_weight > 0 and samples.dissipation is not None:
        if lost is None:
            before = torch.cat([stress[:, :1], answer[:, :-1]], 1) / scale
            work = (0.5 * (before + y) * strain.diff(dim=1)).sum(2).cumsum(1)  # trapezoidal rule
            lost = work - stored
        dissipation = samples.dissipation[rows, 1:] - samples.dissipation[rows, :1]
        terms["dissipation"] = _relative(lost * scale - dissipation, dissipation).mean()
    return terms


def scan_energy(
    network: Network, samples: Samples, time: Tensor, strain: Tensor
) -> tuple[Tensor, Tensor, Tensor | None]:
    """Return the answers ``y[b, t − 1, g]``, and stored and dissipated energy ``[b, t − 1]`` since the start.

    Energies are over the stress scale; the last answer is None unless the network has a ``dissipation(x, state)``.
    """
    known: Any = network  # its energies are an offer, not part of the contract of all networks
    # An energy network without memory may leave the state out.
    arguments = len(inspect.signature(known.energy).parameters)
    state = network.initial_state(len(strain))
    start = strain[:, 0] @ (samples.A + samples.B).T + samples.x0  # at rest at the first strain: no increment, no time
    first = known.energy(*(start, state)[:arguments])
    answers, stored, lost = [], [], []
    for x in samples.features(time, strain).unbind(1):
        if hasattr(network, "dissipation"):
            lost.append(known.dissipation(x, state))
        y, state = network.step(x, state)
        answers.append(y)
        stored.append(known.energy(*(x, state)[:arguments]) - first)
    dissipation = torch.stack(lost, 1).cumsum(1) if lost else None
    return torch.stack(answers, 1), torch.stack(stored, 1), dissipation


def random_moments(paths: int, times: int, hold: float, rng: torch.Generator) -> Tensor:
    """Return increasing times ``[paths, k]``: 0 first, some left out, some repeated.

    Each path gets its own density, from every time to about every fifth one.
    """
    keep = torch.rand(paths, 1, generator=rng) * 0.8 + 0.2
    kept = torch.rand(paths, times, generator=rng) < keep
    kept[:, 0] = kept[:, -1] = True  # a path that keeps nothing else still goes somewhere
    steps = max(2, int(0.5 * times))
    # Moments that are kept come first in order; a path that has too few repeats its last one (a held strain).
    order = torch.where(kept, torch.arange(times), times).sort(dim=1).values[:, :steps]
    last = torch.where(order < times, order, torch.full_like(order, -1)).max(dim=1, keepdim=True).values
    order = torch.minimum(order, last)
    held = torch.rand(paths, steps, generator=rng) < hold
    held[:, 0] = False
    source = torch.where(held, torch.zeros(1, dtype=torch.long), torch.arange(steps)).cummax(dim=1).values
    return order.gather(1, source)


def _relative(error: Tensor, reference: Tensor) -> Tensor:
    """Euclidean norm of each path's error over that of its reference, ``[b]``; smooth where either is zero."""
    square = reference.flatten(1).square().sum(1)
    typical = square.mean() + 1e-30
    return ((error.flatten(1).square().sum(1) + 1e-14 * typical) / (square + FLOOR**2 * typical)).sqrt()

"""Cells with random weights, strain walks and refinement, shared by the tests of this folder."""

import torch
from torch import Tensor

from pointlaw.networks import Network


def cell(kind: type[Network], config: dict, seed: int = 0) -> Network:
    """Return a cell with random weights, the elastic prior too."""
    torch.manual_seed(seed)
    network = kind(features=3, outputs=3, **config).double()
    head = getattr(network, "head", None)
    if head is not None:
        torch.nn.init.normal_(head.prior)
    return network.requires_grad_(False)


def walk(rows: int = 6, steps: int = 40, size: float = 0.15, seed: int = 1) -> Tensor:
    """Return scaled strains ``[r, t, 3]`` of a persistent random walk; the training data have steps of 0.1 to 0.5."""
    generator = torch.Generator().manual_seed(seed)
    steps_taken = torch.randn(rows, steps, 3, generator=generator, dtype=torch.float64)
    return size * (steps_taken + steps_taken.roll(1, 1) + steps_taken.roll(2, 1)).cumsum(1)


def refine(x: Tensor, factor: int) -> Tensor:
    before = torch.cat([torch.zeros_like(x[:, :1]), x[:, :-1]], 1)
    share = torch.arange(1, factor + 1, dtype=x.dtype) / factor
    return (before[:, :, None] + (x - before)[:, :, None] * share[:, None]).flatten(1, 2)


def books(network: Network, x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Return what is stored after the strains ``x[r, t, m]``, what was lost, never less than nothing, and the work."""
    state, work, lost = network.initial_state(len(x)), x.new_zeros(len(x)), x.new_zeros(len(x))
    old, y_old = torch.zeros_like(x[:, 0]), torch.zeros_like(x[:, 0])
    with torch.no_grad():
        for moment in x.unbind(1):
            loss = network.dissipation(moment, state)
            assert (loss >= 0).all()
            y, state = network.step(moment, state)
            work += (0.5 * (y + y_old) * (moment - old)).sum(1)
            lost += loss
            old, y_old = moment, y
        return network.energy(x[:, -1], state), lost, work


def spread(network: Network, x: Tensor, factor: int = 8) -> float:
    coarse, fine = network.scan(x), network.scan(refine(x, factor))[:, factor - 1 :: factor]
    return float((fine - coarse).norm() / coarse.norm())

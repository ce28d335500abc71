"""Minimal state cell: few state variables that advance with strain arc length by an exponential update.

In a minimal state cell (Bonatti & Mohr 2021, doi 10.1126/sciadv.abf3658) the number of state variables is that of a
physical model and does not grow with the number of weights: small layers compute from state and strain direction how
fast each variable relaxes and towards what. The linearised cell (Bonatti & Mohr 2022, doi
10.1016/j.jmps.2021.104697) keeps rate and target independent of the size of the increment, so that the update is
first-order consistent: refinement converges, and a held strain moves nothing. It is not exact: the spread between
step sizes is a figure to measure.
"""

from typing import ClassVar

import torch
from torch import Tensor, nn

from pointlaw.networks.base import Head
from pointlaw.networks.incremental import Incremental, polar


class MinimalState(Incremental):
    """Linearised minimal state cell, s′ = s + (1 − exp(−a λ)) ∘ (b − s), under a linear head.

    Rate ``a(s, n) > 0`` and target ``b(s, n)`` come from hidden layers that see the old state and the direction ``n``
    of the strain increment; ``λ`` is its length. Where nothing moves there is no direction, and the tangent is that of
    frozen state variables: the linear part of the head.

    Parameters
    ----------
    features, outputs : int
        Number of input features ``f`` (strain only) and of answers ``g``.
    states : int
        Number of state variables.
    hidden : int
        Width of the hidden layers.
    layers : int
        Number of hidden layers, at least one.
    steps : int
        Equal parts into which an increment is cut; more parts, less spread between step sizes.
    """

    architecture = "minimal_state"
    stepping: ClassVar[bool] = True

    def __init__(
        self, *, features: int, outputs: int, states: int = 12, hidden: int = 48, layers: int = 2, steps: int = 1
    ):
        super().__init__(
            strains=features,
            memory={"state": states},
            features=features,
            outputs=outputs,
            config={
                "features": features,
                "outputs": outputs,
                "states": states,
                "hidden": hidden,
                "layers": layers,
                "steps": steps,
            },
        )
        self.states, self.hidden, self.steps = states, hidden, steps
        self.direction = nn.Linear(features, hidden)
        self.recall = nn.Linear(states, hidden, bias=False)
        self.layers = nn.ModuleList([nn.Linear(hidden, hidden) for _ in range(layers - 1)])
        self.rate = nn.Linear(hidden, states)
        self.target = nn.Linear(hidden, states)
        self.head = Head(states, features, outputs, prior=True, bias=False)

    def drive(self, x: Tensor, old: Tensor) -> Tensor:
        """Return the first layer's share of the direction and the length, ``[..., H + 1]``."""
        direction, length = polar(x - old)
        return torch.cat([self.direction(direction), length], -1)

    def advance(self, drive: Tensor, memory: Tensor) -> Tensor:
        """Return the new state variables; see :meth:`Incremental.advance`."""
        pushed, length = drive[:, : self.hidden], drive[:, self.hidden :] / self.steps
        for _ in range(self.steps):
            signal = (pushed + self.recall(memory)).tanh()
            for layer in self.layers:
                signal = layer(signal).tanh()
            # exp of a bounded number: rates stay within three decades of each other
            rate = torch.exp(3.5 * self.rate(signal).tanh())
            memory = memory - torch.expm1(-rate * length) * (self.target(signal).tanh() - memory)
        return memory

    def answer(self, x: Tensor, memory: Tensor) -> Tensor:
        """Return ``y[r, g]``, linear in strain and state variables; see :meth:`Incremental.answer`."""
        return self.head(memory, x)

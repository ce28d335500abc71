"""Networks that move by strain increments: the old strain is part of their state, so the law stays a pure function.

An :class:`Incremental` network splits a step in three: what depends on the strains alone (``drive``), the recursion
of the memory (``advance``), and the answer that belongs to strain and memory (``answer``). A scan does the first and
the last for all steps at once and loops over the recursion only. The increment is zero where strain is held, so a
memory that advances with the length of the increment does not move then, and its answer does not drift.
"""

from abc import ABC, abstractmethod
from typing import Any

import torch
from torch import Tensor

from pointlaw.networks.base import Network


def polar(vector: Tensor) -> tuple[Tensor, Tensor]:
    """Return direction ``[..., d]`` and length ``[..., 1]`` of ``vector[..., d]``.

    A zero vector has length zero and direction zero, and both have finite derivatives there.
    """
    square = (vector * vector).sum(-1, keepdim=True)
    # The square root of the smallest number whose square is still a normal number: no inf · 0 in the derivatives.
    root = (square + (1e-36 if vector.dtype == torch.float32 else 1e-280)).sqrt()
    return vector / root, square / root


class Incremental(Network, ABC):
    """A network whose memory moves with the strain increment.

    The first ``strains`` features are the strain; its old value is the first part of the state row, the memory
    follows.
    """

    def __init__(self, *, strains: int, memory: dict[str, int], **named: Any):
        super().__init__(state_sizes={"strain": strains, **memory}, strains=strains, **named)

    @abstractmethod
    def drive(self, x: Tensor, old: Tensor) -> Tensor:
        """Return ``[..., D]``: all that a step with features ``x[..., f]`` from strain ``old[..., m]`` needs."""

    @abstractmethod
    def advance(self, drive: Tensor, memory: Tensor) -> Tensor:
        """Return the new memory ``[r, h]`` from ``drive[r, D]`` and the old memory ``[r, h]``."""

    @abstractmethod
    def answer(self, x: Tensor, memory: Tensor) -> Tensor:
        """Return ``y[r, g]`` at the features ``x[r, f]`` and the new memory ``[r, h]``."""

    @torch.jit.export
    def step(self, x: Tensor, state: Tensor) -> tuple[Tensor, Tensor]:
        """Return ``y[r, g]`` and the new state; see :meth:`Network.step`."""
        strain = x[:, : self.strains]
        memory = self.advance(self.drive(x, state[:, : self.strains]), state[:, self.strains :])
        return self.answer(x, memory), torch.cat([strain, memory], 1)

    @torch.jit.export
    def scan(self, x: Tensor) -> Tensor:
        """Return the answers ``y[r, t, g]`` along ``x[r, t, f]``; see :meth:`Network.scan`."""
        return self.plain_scan(x)

    @torch.jit.export
    def plain_scan(self, x: Tensor) -> Tensor:
        """Scan in torch: the recursion of the memory is the only loop."""
        state = self.initial_state(x.shape[0])
        strain = x[:, :, : self.strains]
        old = torch.cat([state[:, : self.strains].unsqueeze(1), strain[:, :-1]], 1)
        memory = state[:, self.strains :]
        memories: list[Tensor] = []
        for drive in self.drive(x, old).unbind(1):
            memory = self.advance(drive, memory)
            memories.append(memory)
        y = self.answer(x.flatten(0, 1), torch.stack(memories, 1).flatten(0, 1))
        return y.view(x.shape[0], x.shape[1], self.outputs)

"""Stacked recurrent cells and their folded inference kernel, shared by LSTM and GRU.

In one step a gated cell depends on its input only through ``W x``, and the new hidden state depends on each gate row
by row: ``dh/dx = Σ_gate diag(D_gate) W_gate``. With a linear head the whole tangent of a one-layer network is
therefore one matrix product ``D [b, G·H] × K [G·H, m·m]`` with a constant ``K`` that is built once; further layers
add one product each.
"""

from abc import ABC, abstractmethod
from typing import ClassVar, cast

import torch
from torch import Tensor, nn

from pointlaw.networks.base import Head, Kernel, Network


class Cell(nn.Module, ABC):
    """One recurrent layer; its state row ``[memory]`` begins with the hidden state ``[hidden]``.

    A subclass has the input weight ``weight_x[G·H, in]`` with ``gates`` = G.
    """

    weight_x: nn.Parameter

    def __init__(self, *, size: int, hidden: int, gates: int, memory: int):
        super().__init__()
        self.hidden, self.gates, self.memory = hidden, gates, memory
        bound = hidden**-0.5
        self.weight_x = nn.Parameter(torch.empty(gates * hidden, size).uniform_(-bound, bound))
        self.weight_h = nn.Parameter(torch.empty(gates * hidden, hidden).uniform_(-bound, bound))

    @abstractmethod
    def forward(self, x: Tensor, state: Tensor) -> Tensor:
        """Return the new state ``[r, memory]``."""

    @abstractmethod
    def slopes(self, x: Tensor, state: Tensor) -> tuple[Tensor, Tensor]:
        """Return the new state and ``D[r, G, H]`` with ``dh/dx = Σ_gate diag(D_gate) W_gate``."""

    @abstractmethod
    def sequence(self, x: Tensor) -> Tensor:
        """Return the hidden states ``[r, t, H]`` along ``x[r, t, in]`` from zero, by torch's fused recurrence."""

    @abstractmethod
    def states(self, x: Tensor, hidden: Tensor) -> Tensor:
        """Return the state ``[r, t, memory]`` *before* each step, given the hidden states after it."""

    @abstractmethod
    def kernel(self, block: int, *, first: bool) -> "CellKernel":
        """Return the inference kernel of this layer."""


class CellKernel(nn.Module, ABC):
    """One layer without gradients: it writes the new state in place and answers with its ``D[b, G·H]``.

    The input of the ``first`` layer ends with a column of ones, and ``weight_x`` has the bias as its last row. What is
    constant in ``D`` is left to ``slope_scale[G]``, which multiplies the weights that ``D`` meets.
    """

    gates: Tensor
    weight_x: Tensor
    bias: Tensor
    slope_scale: Tensor

    def __init__(self, cell: Cell, block: int, *, first: bool, scale: list[float], bias: Tensor):
        super().__init__()
        self.first = first
        factor = torch.tensor(scale, dtype=torch.float64).repeat_interleave(cell.hidden)
        weight, shift = factor * cell.weight_x.detach().double().T, factor * bias.detach().double().reshape(1, -1)
        self.register_buffer("weight_x", torch.cat([weight, shift]) if first else weight.contiguous())
        self.register_buffer("bias", shift)
        self.hidden, self.memory, self.size = cell.hidden, cell.memory, cell.gates * cell.hidden
        self.register_buffer("gates", torch.zeros(block, self.size, dtype=torch.float64))

    def drive(self, x: Tensor) -> Tensor:
        """Return the part of the gates ``[b, G·H]`` that comes from the input, a view of a buffer."""
        z = self.gates.narrow(0, 0, x.shape[0])
        if self.first:
            return torch.mm(x, self.weight_x, out=z)  # one product: a bias added by addmm would be copied first
        return torch.addmm(self.bias, x, self.weight_x, out=z)

    @abstractmethod
    def forward(self, x: Tensor, state: Tensor, new: Tensor, slopes: bool) -> Tensor:
        """Write ``new[b, memory]`` and return ``D[b, G·H]``, which is valid only if ``slopes`` are wanted."""


class Recurrent(Network, ABC):
    """Layers of one kind of cell under a linear head.

    A subclass makes the cells and names the ``parts`` of their state row, each as wide as the hidden state; parameters
    as in :class:`~pointlaw.networks.lstm.LSTM`.
    """

    parts: ClassVar[tuple[str, ...]]

    def __init__(
        self, *, features: int, outputs: int, hidden: int = 64, layers: int = 1, rest: bool = True, prior: bool = True
    ):
        super().__init__(
            features=features,
            outputs=outputs,
            state_sizes={f"{part}_{layer}": hidden for layer in range(1, layers + 1) for part in self.parts},
            config={
                "features": features,
                "outputs": outputs,
                "hidden": hidden,
                "layers": layers,
                "rest": rest,
                "prior": prior,
            },
        )
        self.hidden, self.memory = hidden, len(self.parts) * hidden
        sizes = [features] + [hidden] * (layers - 1)
        self.cells = nn.ModuleList([self.make_cell(size, hidden, rest=rest) for size in sizes])
        self.head = Head(hidden, features, outputs, prior=prior, bias=not rest)

    @abstractmethod
    def make_cell(self, size: int, hidden: int, *, rest: bool) -> Cell:
        """Return a layer with input ``[r, size]``; ``rest`` as above."""

    @torch.jit.export
    def step(self, x: Tensor, state: Tensor) -> tuple[Tensor, Tensor]:
        """Return ``y[r, g]`` and the new state; see :meth:`Network.step`."""
        signal, start = x, 0
        states: list[Tensor] = []
        for cell in self.cells:
            new = cell(signal, state[:, start : start + self.memory])
            states.append(new)
            start += self.memory
            signal = new[:, : self.hidden]
        return self.head(signal, x), torch.cat(states, 1)

    @torch.jit.export
    def scan(self, x: Tensor) -> Tensor:
        """Return the answers ``y[r, t, g]`` along ``x[r, t, f]``; see :meth:`Network.scan`."""
        signal = x
        for cell in self.cells:
            signal = cell.sequence(signal)  # type: ignore[operator]
        return self.head(signal, x)

    def step_tangent(self, x: Tensor, state: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Return ``y``, the new state and ``dy/dx`` in closed form; see :meth:`Network.step_tangent`."""
        signal, start = x, 0
        states: list[Tensor] = []
        slopes: list[Tensor] = []
        for cell in cast(list[Cell], self.cells):
            new, D = cell.slopes(signal, state[:, start : start + self.memory])
            states.append(new)
            slopes.append(D)
            start += self.memory
            signal = new[:, : self.hidden]
        return self.head(signal, x), torch.cat(states, 1), self.chain(slopes)

    def scan_tangent(self, x: Tensor, moments: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """Return answers and slopes, the slopes of all steps at once; see :meth:`Network.scan_tangent`."""
        signal = x
        chosen = torch.arange(x.shape[1], device=x.device) if moments is None else moments
        slopes: list[Tensor] = []
        for cell in cast(list[Cell], self.cells):
            hidden = cell.sequence(signal)
            before = cell.states(signal, hidden)
            slopes.append(cell.slopes(signal[:, chosen].flatten(0, 1), before[:, chosen].flatten(0, 1))[1])
            signal = hidden
        return self.head(signal, x), self.chain(slopes).unflatten(0, (len(x), len(chosen)))

    def chain(self, slopes: list[Tensor]) -> Tensor:
        """Return ``dy/dx[r, g, f]`` from the slopes ``D[r, G, H]`` of each layer, first layer first."""
        reach: Tensor = self.head.weight  # dy/dh of the layer above, [g, H] and then [r, g, H]
        for cell, D in zip(reversed(cast(list[Cell], list(self.cells))), reversed(slopes), strict=True):
            weight = cell.weight_x.view(cell.gates, cell.hidden, -1)
            if reach.ndim == 2:
                folded = torch.einsum("yh,ghi->ghyi", reach, weight).flatten(2).flatten(0, 1)
                reach = (D.flatten(1) @ folded).view(len(D), len(reach), -1)
            else:
                reach = torch.einsum("ryh,rgh,ghi->ryi", reach, D, weight)
        return reach + self.head.prior

    def kernel(self, A: Tensor, S: Tensor, block: int) -> Kernel:
        """Return the folded kernel; see :meth:`Network.kernel`."""
        return RecurrentKernel(self, A, S, block)


class RecurrentKernel(Kernel):
    """The folded kernel of a :class:`Recurrent` network."""

    head: Tensor
    prior: Tensor
    constant: Tensor
    top: Tensor
    reach: Tensor

    def __init__(self, network: Recurrent, A: Tensor, S: Tensor, block: int):
        super().__init__()
        cells = cast(list[Cell], list(network.cells))
        m, H = A.shape[1], network.hidden
        self.hidden, self.memory = H, network.memory
        self.cells = nn.ModuleList([cell.kernel(block, first=cell is cells[0]) for cell in cells])
        head, prior, offset = network.head.scaled(S)
        self.register_buffer("head", head.T.contiguous())
        self.register_buffer("prior", torch.cat([prior.T, offset[None]]))
        self.register_buffer("constant", (prior @ A).reshape(1, m * m))
        scales = [cast(CellKernel, kernel).slope_scale for kernel in self.cells]
        weights = [
            scale[:, None, None] * cell.weight_x.detach().double().view(cell.gates, H, -1)
            for cell, scale in zip(cells, scales, strict=True)
        ]
        weights[0] = weights[0] @ A
        # The top layer with the head: K[(gate, k), (a, j)] = V[a, k] W[gate, k, j].
        top = torch.einsum("ak,gkj->gkaj", head, weights[-1])
        self.register_buffer("top", top.reshape(weights[-1].shape[0] * H, -1).contiguous())
        self.lower = nn.ModuleList([Chain(weight, m, block) for weight in weights[-2::-1]])
        reach = block if len(cells) > 1 else 0
        self.register_buffer("reach", torch.zeros(reach, m * H, dtype=torch.float64))

    def forward(self, x: Tensor, state: Tensor, stress: Tensor, new_state: Tensor, tangent: Tensor | None) -> None:
        """Write stress, new state and tangent of one block; see :meth:`Kernel.forward`."""
        signal, start = x, 0
        slopes: list[Tensor] = []
        for cell in self.cells:
            new = new_state.narrow(1, start, self.memory)
            slopes.append(cell(signal, state.narrow(1, start, self.memory), new, tangent is not None))
            start += self.memory
            signal = new.narrow(1, 0, self.hidden)
        torch.mm(x, self.prior, out=stress)
        stress.addmm_(signal, self.head)
        if tangent is None:
            return
        if len(slopes) == 1:
            torch.addmm(self.constant, slopes[0], self.top, out=tangent)
            return
        reach = self.reach.narrow(0, 0, x.shape[0])
        torch.mm(slopes.pop(), self.top, out=reach)
        for chain in self.lower:
            reach = chain(reach, slopes.pop())
        torch.add(reach, self.constant, out=tangent)


class Chain(nn.Module):
    """The chain rule through one lower layer: ``reach[b, m·H]`` becomes ``Σ_gate (reach ∘ D_gate) W_gate``."""

    weight: Tensor
    product: Tensor
    answer: Tensor

    def __init__(self, weight: Tensor, m: int, block: int):
        super().__init__()
        self.m, self.hidden = m, weight.shape[1]
        self.register_buffer("weight", weight.contiguous())
        self.register_buffer("product", torch.zeros(block * m, self.hidden, dtype=torch.float64))
        self.register_buffer("answer", torch.zeros(block * m, weight.shape[2], dtype=torch.float64))

    def forward(self, reach: Tensor, slopes: Tensor) -> Tensor:
        """Return ``[b, m·in]``, a view of a buffer."""
        rows = reach.shape[0]
        wide = reach.view(rows, self.m, self.hidden)
        product, answer = self.product.narrow(0, 0, rows * self.m), self.answer.narrow(0, 0, rows * self.m)
        for gate, weight in enumerate(self.weight.unbind(0)):
            slope = slopes.narrow(1, gate * self.hidden, self.hidden).unsqueeze(1)
            torch.mul(wide, slope, out=product.view(rows, self.m, self.hidden))
            if gate == 0:
                torch.mm(product, weight, out=answer)
            else:
                answer.addmm_(product, weight)
        return answer.view(rows, -1)

"""A feed-forward network: stress as a smooth function of the features, without memory.

For laws without path dependence, and the yardstick that shows what memory is worth. With ``rest=True`` the answer at
zero features is subtracted, so that zero strain gives zero stress exactly.
"""

from typing import cast

import torch
from torch import Tensor, nn

from pointlaw.networks.base import Head, Kernel, Network


class FeedForward(Network):
    """Hidden layers with tanh under a linear head.

    Parameters
    ----------
    features, outputs : int
        Number of input features ``f`` and of answers ``g``.
    hidden : list of int
        Width of each hidden layer, at least one.
    rest : bool
        Whether zero features give exactly zero.
    prior : bool
        Whether the head has a part that is linear in the features.
    """

    architecture = "feedforward"

    def __init__(
        self, *, features: int, outputs: int, hidden: list[int] | None = None, rest: bool = True, prior: bool = True
    ):
        widths = [64, 64] if hidden is None else list(hidden)
        super().__init__(
            features=features,
            outputs=outputs,
            state_sizes={},
            config={"features": features, "outputs": outputs, "hidden": widths, "rest": rest, "prior": prior},
        )
        self.at_rest = rest
        sizes = zip([features, *widths[:-1]], widths, strict=True)
        self.layers = nn.ModuleList([nn.Linear(size, width) for size, width in sizes])
        self.head = Head(widths[-1], features, outputs, prior=prior, bias=not rest)

    def hidden(self, x: Tensor) -> Tensor:
        """Return the last hidden layer ``[r, H]``."""
        for layer in self.layers:
            x = layer(x).tanh()
        return x

    @torch.jit.export
    def step(self, x: Tensor, state: Tensor) -> tuple[Tensor, Tensor]:
        """Return ``y[r, g]`` and the (empty) state; see :meth:`Network.step`."""
        signal = self.hidden(x)
        if self.at_rest:
            signal = signal - self.hidden(torch.zeros_like(x[:1]))
        return self.head(signal, x), state

    def step_tangent(self, x: Tensor, state: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Return ``y``, the state and ``dy/dx`` in closed form; see :meth:`Network.step_tangent`."""
        signal, slope = x, torch.eye(x.shape[1], dtype=x.dtype, device=x.device).expand(len(x), -1, -1)
        for layer in cast(list[nn.Linear], self.layers):
            signal = layer(signal).tanh()
            slope = (1.0 - signal * signal).unsqueeze(-1) * (layer.weight @ slope)
        y, _ = self.step(x, state)
        return y, state, self.head.weight @ slope + self.head.prior

    def kernel(self, A: Tensor, S: Tensor, block: int) -> Kernel:
        """Return the folded kernel; see :meth:`Network.kernel`."""
        return FeedForwardKernel(self, A, S, block)


class FeedForwardKernel(Kernel):
    """Head and last weight folded into one matrix, one product for each layer below; in-place operations only."""

    head: Tensor
    prior: Tensor
    constant: Tensor
    top: Tensor
    reach: Tensor

    def __init__(self, network: FeedForward, A: Tensor, S: Tensor, block: int):
        super().__init__()
        m = A.shape[1]
        linear = [
            (layer.weight.detach().double(), layer.bias.detach().double())
            for layer in cast(list[nn.Linear], network.layers)
        ]
        head, prior, offset = network.head.scaled(S)
        if network.at_rest:
            rest = torch.zeros(1, network.features, dtype=torch.float64)
            for weight, bias in linear:
                rest = torch.addmm(bias, rest, weight.T).tanh()
            offset = offset - head @ rest[0]
        self.register_buffer("head", head.T.contiguous())
        self.register_buffer("prior", torch.cat([prior.T, offset[None]]))
        self.register_buffer("constant", (prior @ A).reshape(1, m * m))
        # tanh(z) = 2 σ(2z) − 1, the inner 2 folded into the weights.
        self.layers = nn.ModuleList(
            [TanhLayer(weight, bias, block, first=weight is linear[0][0]) for weight, bias in linear]
        )
        last = linear[-1][0] if len(linear) > 1 else linear[0][0] @ A
        self.register_buffer("top", torch.einsum("ak,kj->kaj", head, last).reshape(len(last), -1).contiguous())
        below = [weight for weight, _ in linear[-2::-1]]
        if below:
            below[-1] = below[-1] @ A
        self.lower = nn.ModuleList([Slope(weight, m, block) for weight in below])
        wide = block if below else 0
        self.register_buffer("reach", torch.zeros(wide, self.top.shape[1], dtype=torch.float64))

    def forward(self, x: Tensor, state: Tensor, stress: Tensor, new_state: Tensor, tangent: Tensor | None) -> None:
        """Write stress and tangent of one block; see :meth:`Kernel.forward`."""
        signal = x
        signals: list[Tensor] = []
        for layer in self.layers:
            signal = layer(signal)
            signals.append(signal)
        torch.mm(x, self.prior, out=stress)
        stress.addmm_(signal, self.head)
        new_state.copy_(state)
        if tangent is None:
            return
        slope = signals.pop().square_().neg_().add_(1.0)
        if len(signals) == 0:
            torch.addmm(self.constant, slope, self.top, out=tangent)
            return
        reach = self.reach.narrow(0, 0, x.shape[0])
        torch.mm(slope, self.top, out=reach)
        for layer in self.lower:
            reach = layer(reach, signals.pop())
        torch.add(reach, self.constant, out=tangent)


class TanhLayer(nn.Module):
    """``tanh(W x + b)`` into a buffer; the input of the ``first`` layer ends with a column of ones."""

    weight: Tensor
    bias: Tensor
    answer: Tensor

    def __init__(self, weight: Tensor, bias: Tensor, block: int, *, first: bool):
        super().__init__()
        self.first = first
        self.register_buffer("weight", 2.0 * (torch.cat([weight.T, bias[None]]) if first else weight.T.contiguous()))
        self.register_buffer("bias", 2.0 * bias)
        self.register_buffer("answer", torch.zeros(block, len(weight), dtype=torch.float64))

    def forward(self, x: Tensor) -> Tensor:
        """Return ``[b, H]``, a view of a buffer."""
        answer = self.answer.narrow(0, 0, x.shape[0])
        if self.first:
            torch.mm(x, self.weight, out=answer)
        else:
            torch.addmm(self.bias, x, self.weight, out=answer)
        return answer.sigmoid_().mul_(2.0).sub_(1.0)


class Slope(nn.Module):
    """The chain rule through one lower layer: ``reach[b, m·H]`` becomes ``(reach ∘ tanh′) W``."""

    weight: Tensor
    answer: Tensor

    def __init__(self, weight: Tensor, m: int, block: int):
        super().__init__()
        self.m, self.hidden = m, weight.shape[0]
        self.register_buffer("weight", weight.clone())  # the network may be trained on
        self.register_buffer("answer", torch.zeros(block * m, weight.shape[1], dtype=torch.float64))

    def forward(self, reach: Tensor, signal: Tensor) -> Tensor:
        """Return ``[b, m·in]``, a view of a buffer; ``reach`` and ``signal`` are used up."""
        rows = reach.shape[0]
        answer = self.answer.narrow(0, 0, rows * self.m)
        reach.view(rows, self.m, self.hidden).mul_(signal.square_().neg_().add_(1.0).unsqueeze(1))
        torch.mm(reach.view(rows * self.m, self.hidden), self.weight, out=answer)
        return answer.view(rows, -1)

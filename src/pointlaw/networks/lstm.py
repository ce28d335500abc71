"""Long short-term memory (Hochreiter and Schmidhuber 1997, doi:10.1162/neco.1997.9.8.1735).

The baseline of learned path dependence. Without a bias in the candidate gate and in the head (``rest=True``), zero
strain and zero memory are a fixed point: an unloaded material answers zero stress exactly, and for ever.
"""

import torch
from torch import Tensor, nn

from pointlaw.networks.recurrent import Cell, CellKernel, Recurrent


class LSTM(Recurrent):
    """LSTM layers under a linear head.

    Parameters
    ----------
    features, outputs : int
        Number of input features ``f`` and of answers ``g``.
    hidden : int
        Width of the hidden state of each layer; the state row holds ``2 · hidden · layers`` numbers.
    layers : int
        Number of layers.
    rest : bool
        Whether zero features and zero state give exactly zero.
    prior : bool
        Whether the head has a part that is linear in the features.
    """

    architecture = "lstm"
    parts = ("hidden", "cell")

    def make_cell(self, size: int, hidden: int, *, rest: bool) -> "LSTMCell":
        """Return one layer; see :meth:`Recurrent.make_cell`."""
        return LSTMCell(size=size, hidden=hidden, rest=rest)


class LSTMCell(Cell):
    """One layer; gates in the order input, forget, candidate, output; state row ``[h, c]``."""

    bias_mask: Tensor

    def __init__(self, *, size: int, hidden: int, rest: bool):
        super().__init__(size=size, hidden=hidden, gates=4, memory=2 * hidden)
        # The forget gate starts open, so that memory survives the first steps of training.
        bias = torch.zeros(4, hidden)
        bias[1] = 1.0
        self.bias = nn.Parameter(bias)
        mask = torch.ones(4, 1)
        mask[2] = 0.0 if rest else 1.0
        self.register_buffer("bias_mask", mask, persistent=False)

    def gates_of(self, x: Tensor, state: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """Return the activated gates i, f, g, o, each ``[r, H]``."""
        z = torch.addmm((self.bias * self.bias_mask).view(-1), x, self.weight_x.T)
        z = z + state[:, : self.hidden] @ self.weight_h.T
        i, f, g, o = z.chunk(4, 1)
        return i.sigmoid(), f.sigmoid(), g.tanh(), o.sigmoid()

    def forward(self, x: Tensor, state: Tensor) -> Tensor:
        """Return the new state; see :meth:`Cell.forward`."""
        i, f, g, o = self.gates_of(x, state)
        c = f * state[:, self.hidden :] + i * g
        return torch.cat([o * c.tanh(), c], 1)

    def slopes(self, x: Tensor, state: Tensor) -> tuple[Tensor, Tensor]:
        """Return the new state and D; see :meth:`Cell.slopes`."""
        i, f, g, o = self.gates_of(x, state)
        old = state[:, self.hidden :]
        c = f * old + i * g
        t = c.tanh()
        q = o * (1.0 - t * t)  # dh/dc
        D = torch.stack([q * g * i * (1.0 - i), q * old * f * (1.0 - f), q * i * (1.0 - g * g), t * o * (1.0 - o)], 1)
        return torch.cat([o * t, c], 1), D

    def sequence(self, x: Tensor) -> Tensor:
        """Return the hidden states; see :meth:`Cell.sequence`."""
        bias = (self.bias * self.bias_mask).view(-1)
        zero = torch.zeros(1, x.shape[0], self.hidden, dtype=x.dtype, device=x.device)
        weights = [self.weight_x, self.weight_h, bias, torch.zeros_like(bias)]
        return torch.lstm(x, [zero, zero], weights, True, 1, 0.0, self.training, False, True)[0]

    def states(self, x: Tensor, hidden: Tensor) -> Tensor:
        """Return the state before each step; see :meth:`Cell.states`."""
        before = torch.cat([torch.zeros_like(hidden[:, :1]), hidden[:, :-1]], 1)
        i, f, g, _ = (gate.view_as(hidden) for gate in self.gates_of(x.flatten(0, 1), before.flatten(0, 1)))
        c, cells = torch.zeros_like(hidden[:, 0]), []
        for kept, added in zip(f.unbind(1), (i * g).unbind(1), strict=True):
            cells.append(c)
            c = torch.addcmul(added, kept, c)
        return torch.cat([before, torch.stack(cells, 1)], 2)

    def kernel(self, block: int, *, first: bool) -> CellKernel:
        """Return the inference kernel of this layer."""
        return LSTMKernel(self, block, first=first)


class LSTMKernel(CellKernel):
    """One LSTM layer with in-place operations only.

    The candidate uses tanh(z) = 2 σ(2z) − 1 with the inner 2 folded into its weights: one sigmoid over all four
    gates is three times faster than tanh. ``D`` is ordered like the gates.
    """

    weight_h: Tensor
    minus_one: Tensor
    candidate: Tensor
    tanh_c: Tensor
    dh_dc: Tensor
    input: Tensor

    def __init__(self, cell: LSTMCell, block: int, *, first: bool):
        double = [1.0, 1.0, 2.0, 1.0]
        super().__init__(cell, block, first=first, scale=double, bias=cell.bias * cell.bias_mask)
        # dg/dz = 4 σ′(2z) for the undoubled z
        self.register_buffer("slope_scale", torch.tensor([1.0, 1.0, 4.0, 1.0], dtype=torch.float64))
        factor = torch.tensor(double, dtype=torch.float64).repeat_interleave(self.hidden)
        self.register_buffer("weight_h", (factor * cell.weight_h.detach().double().T).contiguous())
        self.register_buffer("minus_one", torch.tensor(-1.0, dtype=torch.float64))
        for name in ("candidate", "tanh_c", "dh_dc", "input"):
            self.register_buffer(name, torch.zeros(block, self.hidden, dtype=torch.float64))

    def forward(self, x: Tensor, state: Tensor, new: Tensor, slopes: bool) -> Tensor:
        """Write the new state and return D; see :meth:`CellKernel.forward`."""
        rows, H = x.shape[0], self.hidden
        z = self.drive(x)
        g, t, q = self.candidate.narrow(0, 0, rows), self.tanh_c.narrow(0, 0, rows), self.dh_dc.narrow(0, 0, rows)
        old, h, c = state.narrow(1, H, H), new.narrow(1, 0, H), new.narrow(1, H, H)
        z.addmm_(state.narrow(1, 0, H), self.weight_h)
        z.sigmoid_()
        i, f, s, o = z.narrow(1, 0, H), z.narrow(1, H, H), z.narrow(1, 2 * H, H), z.narrow(1, 3 * H, H)
        torch.add(self.minus_one, s, alpha=2.0, out=g)
        torch.mul(f, old, out=c)
        c.addcmul_(i, g)
        torch.mul(c, 2.0, out=t)
        t.sigmoid_()
        torch.add(self.minus_one, t, alpha=2.0, out=t)
        torch.mul(o, t, out=h)
        if slopes:
            torch.addcmul(o, h, t, value=-1.0, out=q)
            g.mul_(q)
            torch.mul(i, q, out=self.input.narrow(0, 0, rows))
            q.mul_(old)
            z.addcmul_(z, z, value=-1.0)  # σ′ of all gates, in their place: what a block touches stays in the cache
            i.mul_(g)
            f.mul_(q)
            s.mul_(self.input.narrow(0, 0, rows))
            o.mul_(t)
        return z

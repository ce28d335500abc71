"""Gated recurrent unit (Cho et al. 2014, doi:10.3115/v1/D14-1179): half the memory of an LSTM.

As in the LSTM, ``rest=True`` leaves out the bias of the candidate and of the head, so that zero strain and zero
memory give zero stress exactly.
"""

import torch
from torch import Tensor, nn

from pointlaw.networks.recurrent import Cell, CellKernel, Recurrent


class GRU(Recurrent):
    """GRU layers under a linear head; parameters as in :class:`~pointlaw.networks.lstm.LSTM`.

    The state row holds ``hidden · layers`` numbers.
    """

    architecture = "gru"
    parts = ("hidden",)

    def make_cell(self, size: int, hidden: int, *, rest: bool) -> "GRUCell":
        """Return one layer; see :meth:`Recurrent.make_cell`."""
        return GRUCell(size=size, hidden=hidden, rest=rest)


class GRUCell(Cell):
    """One layer, h′ = (1 − z) n + z h with n = tanh(W x + r ∘ (U h) + b); gates in the order r, z, n."""

    bias_mask: Tensor

    def __init__(self, *, size: int, hidden: int, rest: bool):
        super().__init__(size=size, hidden=hidden, gates=3, memory=hidden)
        bias = torch.zeros(3, hidden)
        bias[1] = 1.0  # keep the old state at first
        self.bias = nn.Parameter(bias)
        mask = torch.ones(3, 1)
        mask[2] = 0.0 if rest else 1.0
        self.register_buffer("bias_mask", mask, persistent=False)

    def parts(self, x: Tensor, state: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """Return r, z, n and U h of the candidate, each ``[r, H]``."""
        H = self.hidden
        inner = torch.addmm((self.bias * self.bias_mask).view(-1), x, self.weight_x.T)
        outer = state @ self.weight_h.T
        gates = (inner[:, : 2 * H] + outer[:, : 2 * H]).sigmoid()
        r, z, recalled = gates[:, :H], gates[:, H:], outer[:, 2 * H :]
        return r, z, (inner[:, 2 * H :] + r * recalled).tanh(), recalled

    def forward(self, x: Tensor, state: Tensor) -> Tensor:
        """Return the new state; see :meth:`Cell.forward`."""
        _, z, n, _ = self.parts(x, state)
        return n + z * (state - n)

    def slopes(self, x: Tensor, state: Tensor) -> tuple[Tensor, Tensor]:
        """Return the new state and D; see :meth:`Cell.slopes`."""
        r, z, n, recalled = self.parts(x, state)
        candidate = (1.0 - z) * (1.0 - n * n)
        D = torch.stack([candidate * recalled * r * (1.0 - r), (state - n) * z * (1.0 - z), candidate], 1)
        return n + z * (state - n), D

    def sequence(self, x: Tensor) -> Tensor:
        """Return the hidden states; see :meth:`Cell.sequence`."""
        bias = (self.bias * self.bias_mask).view(-1)
        zero = torch.zeros(1, x.shape[0], self.hidden, dtype=x.dtype, device=x.device)
        weights = [self.weight_x, self.weight_h, bias, torch.zeros_like(bias)]
        return torch.gru(x, zero, weights, True, 1, 0.0, self.training, False, True)[0]

    def states(self, x: Tensor, hidden: Tensor) -> Tensor:
        """Return the state before each step; see :meth:`Cell.states`."""
        return torch.cat([torch.zeros_like(hidden[:, :1]), hidden[:, :-1]], 1)

    def kernel(self, block: int, *, first: bool) -> CellKernel:
        """Return the inference kernel of this layer."""
        return GRUKernel(self, block, first=first)


class GRUKernel(CellKernel):
    """One GRU layer with in-place operations only; tanh by the sigmoid of the doubled argument as in the LSTM."""

    weight_gates: Tensor
    weight_candidate: Tensor
    minus_one: Tensor
    recalled: Tensor
    candidate: Tensor
    difference: Tensor
    one: Tensor

    def __init__(self, cell: GRUCell, block: int, *, first: bool):
        double = [1.0, 1.0, 2.0]
        super().__init__(cell, block, first=first, scale=double, bias=cell.bias * cell.bias_mask)
        # dn/dz = 4 σ′(2z) for the undoubled z; dn/dr brings half of that with the doubled U h
        self.register_buffer("slope_scale", torch.tensor([2.0, 1.0, 4.0], dtype=torch.float64))
        outer = torch.tensor(double, dtype=torch.float64).repeat_interleave(self.hidden) * cell.weight_h.detach().T
        self.register_buffer("weight_gates", outer[:, : 2 * self.hidden].contiguous())
        self.register_buffer("weight_candidate", outer[:, 2 * self.hidden :].contiguous())
        self.register_buffer("one", torch.tensor(1.0, dtype=torch.float64))
        self.register_buffer("minus_one", torch.tensor(-1.0, dtype=torch.float64))
        for name in ("recalled", "candidate", "difference"):
            self.register_buffer(name, torch.zeros(block, self.hidden, dtype=torch.float64))

    def forward(self, x: Tensor, state: Tensor, new: Tensor, slopes: bool) -> Tensor:
        """Write the new state and return D; see :meth:`CellKernel.forward`."""
        rows, H = x.shape[0], self.hidden
        v = self.drive(x)
        recalled, n = self.recalled.narrow(0, 0, rows), self.candidate.narrow(0, 0, rows)
        difference = self.difference.narrow(0, 0, rows)
        gates, s = v.narrow(1, 0, 2 * H), v.narrow(1, 2 * H, H)
        gates.addmm_(state, self.weight_gates)
        gates.sigmoid_()
        r, z = v.narrow(1, 0, H), v.narrow(1, H, H)
        torch.mm(state, self.weight_candidate, out=recalled)  # 2 U h
        s.addcmul_(r, recalled)
        s.sigmoid_()
        torch.add(self.minus_one, s, alpha=2.0, out=n)
        torch.sub(state, n, out=difference)
        torch.addcmul(n, z, difference, out=new)
        if slopes:
            torch.sub(self.one, z, out=n)
            v.addcmul_(v, v, value=-1.0)  # σ′ of all gates, in their place
            s.mul_(n)
            r.mul_(recalled).mul_(s)
            z.mul_(difference)
        return v

"""The inner call of a learned law: features, network, stress, tangent and status, block by block, in torch.

Two evaluators answer the same call. :class:`FoldedEvaluator` is torch-scripted as a whole and runs a network's
folded kernel on blocks of 256 points that stay in the cache, writing straight into the caller's arrays; nothing
it allocates grows with the number of points. :class:`AutodiffEvaluator` runs any scripted cell and takes the tangent
by batched vector–Jacobian products.
"""

import math

import torch
from torch import Tensor, nn

from pointlaw.data import FeatureMap
from pointlaw.networks import Kernel, autodiff_tangent
from pointlaw.tensors import Array

BLOCK = 256  # points; what an LSTM-64 touches in a block then fits into 2 MB of second-level cache


def _double(array: Array) -> Tensor:
    return torch.as_tensor(array, dtype=torch.float64).contiguous()


class _Frame(nn.Module):
    """The affine feature map and the strain box as buffers, shared by both evaluators.

    The features end with a column of ones: see :class:`~pointlaw.networks.Kernel`.
    """

    A: Tensor
    B: Tensor
    c: Tensor
    x0: Tensor
    middle: Tensor
    half_width: Tensor

    def __init__(self, features: FeatureMap, lower: Array, upper: Array):
        super().__init__()
        self.m = features.A.shape[1]
        self.with_old = features.needs_old_strain
        wide = torch.nn.functional.pad
        self.register_buffer("A", wide(_double(features.A.T), (0, 1)))
        self.register_buffer("B", wide(_double(features.B.T), (0, 1)))
        self.register_buffer("c", wide(_double(features.c), (0, 1)))
        self.register_buffer("x0", wide(_double(features.x0), (0, 1), value=1.0))
        middle, half = (lower + upper) / 2, (upper - lower) / 2
        self.register_buffer("middle", _double(middle))
        # Round-off at the end of the box is not outside.
        self.register_buffer("half_width", _double(half * (1 + 1e-9) + 1e-14))

    def forward(self, strain: Tensor, old: Tensor, dt: float) -> Tensor:
        """Return the features ``[b, f + 1]``."""
        x = torch.addmm(torch.add(self.x0, self.c, alpha=dt), strain, self.A)
        if self.with_old:
            x.addmm_(old, self.B)
        return x

    @torch.jit.export
    def judge(self, strain: Tensor, stress: Tensor, state: Tensor, tangent: Tensor | None, status: Tensor) -> None:
        """Write into ``status[b]`` 1 inside the strain box, 0 outside, −1 where an answer is not finite."""
        status.copy_(torch.le((strain - self.middle).abs_(), self.half_width).all(1))
        total = stress.sum(1)  # the sum of a row minus itself is zero, unless NaN or inf is in it
        if state.shape[1] > 0:
            total.add_(state.sum(1))
        if tangent is not None:
            total.add_(tangent.sum(1))
        status.masked_fill_(total.sub_(total).ne(0.0), -1)


class FoldedEvaluator(nn.Module):
    """Blocks through a folded kernel; scripted by the caller."""

    def __init__(self, kernel: Kernel, features: FeatureMap, lower: Array, upper: Array, state_size: int, block: int):
        super().__init__()
        self.kernel, self.block, self.state_size = kernel, block, state_size
        self.frame = _Frame(features, lower, upper)

    def forward(
        self,
        strain: Tensor,
        state: Tensor,
        dt: float,
        stress: Tensor,
        new_state: Tensor,
        status: Tensor,
        tangent: Tensor | None,
    ) -> None:
        """Write the answers to ``strain[p, m]`` and ``state[p, s]`` in place; ``tangent`` is ``[p, m·m]`` or None."""
        h, m = self.state_size, strain.shape[1]
        start = 0
        while start < strain.shape[0]:
            rows = min(self.block, strain.shape[0] - start)
            e, s, sigma = strain.narrow(0, start, rows), state.narrow(0, start, rows), stress.narrow(0, start, rows)
            new = new_state.narrow(0, start, rows)
            C = None if tangent is None else tangent.narrow(0, start, rows)
            x = self.frame(e, s.narrow(1, s.shape[1] - m, m) if self.frame.with_old else e, dt)
            self.kernel(x, s.narrow(1, 0, h), sigma, new.narrow(1, 0, h), C)
            if self.frame.with_old:
                new.narrow(1, h, m).copy_(e)
            self.frame.judge(e, sigma, new, C, status.narrow(0, start, rows))
            start += rows


class SinglePrecision(Kernel):
    """A kernel that computes in float32 between float64 doors; buffers for one block."""

    old: Tensor
    new: Tensor
    sigma: Tensor
    C: Tensor

    def __init__(self, kernel: Kernel, sizes: dict[str, int], block: int):
        super().__init__()
        self.kernel = kernel.float()
        for name, size in sizes.items():
            self.register_buffer(name, torch.zeros(block, size, dtype=torch.float32))

    def forward(self, x: Tensor, state: Tensor, stress: Tensor, new_state: Tensor, tangent: Tensor | None) -> None:
        """Convert, evaluate and convert back; see :meth:`Kernel.forward`."""
        rows = x.shape[0]
        old, new = self.old.narrow(0, 0, rows), self.new.narrow(0, 0, rows)
        sigma, C = self.sigma.narrow(0, 0, rows), self.C.narrow(0, 0, rows)
        old.copy_(state)
        if tangent is None:
            self.kernel(x.float(), old, sigma, new, None)
        else:
            self.kernel(x.float(), old, sigma, new, C)
            tangent.copy_(C)
        stress.copy_(sigma)
        new_state.copy_(new)


class AutodiffEvaluator:
    """Blocks through a scripted cell ``(x, state) -> (y, state)``; the tangent by one product a component.

    A strain increment longer than ``longest`` is out of range. If that is finite, the state begins with the strain as
    the features have it.
    """

    def __init__(
        self, cell: torch.jit.ScriptModule, features: FeatureMap, lower: Array, upper: Array, S: Tensor,
        state_size: int, block: int, dtype: torch.dtype, longest: float = math.inf,
    ):  # fmt: skip
        self.cell, self.S, self.block, self.state_size, self.dtype = cell, S, block, state_size, dtype
        self.frame = _Frame(features, lower, upper)
        self.A, self.longest = _double(features.A), longest

    def __call__(
        self,
        strain: Tensor,
        state: Tensor,
        dt: float,
        stress: Tensor,
        new_state: Tensor,
        status: Tensor,
        tangent: Tensor | None,
    ) -> None:
        """Write the answers in place; see :meth:`FoldedEvaluator.forward`."""
        h, m = self.state_size, strain.shape[1]
        for start in range(0, len(strain), self.block):
            part = slice(start, start + self.block)
            e, old = strain[part], state[part]
            x = self.frame(e, old[:, h:] if self.frame.with_old else e, dt)[:, :-1].to(self.dtype)
            memory = old[:, :h].to(self.dtype)
            if tangent is None:
                with torch.no_grad():
                    y, new = self.cell(x, memory)
            else:
                y, new, slope = autodiff_tangent(self.cell, x, memory)
                tangent[part] = (self.S @ slope.double() @ self.A).reshape(-1, m * m)
            stress[part] = y.double() @ self.S.T
            new_state[part, :h] = new
            if self.frame.with_old:
                new_state[part, h:] = e
            self.frame.judge(e, stress[part], new_state[part], None if tangent is None else tangent[part], status[part])
            if self.longest < math.inf:
                scaled = (new - memory)[:, :m].double()
                far = torch.linalg.solve(self.A[:m], scaled.T).norm(dim=0) > self.longest
                status[part].masked_fill_(far & status[part].gt(0), 0)

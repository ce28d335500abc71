"""Elastic–plastic elements in parallel, each with the exact flow along a straight strain increment.

Every element sees its own learned projection of the strain, ``e = A ε``, and carries a stress that is elastic inside
a ball and slides on its surface. For a perfectly plastic ball the flow along a straight segment has a closed form
(Krieg & Krieg 1977, doi 10.1115/1.3454568); it is extended here by a ball that grows while the element slides. The
flow is exact, so a segment cut into pieces gives the same state to round-off, a held strain moves nothing, and inside
all balls the law is linear elastic. Elements in parallel are Besseling's sublayer model (1958, doi
10.1115/1.4011867), in one dimension Iwan's (1967, doi 10.1115/1.3607751) or a Prandtl–Ishlinskii operator; learned
projections under a linear head are the idea of physically recurrent networks (Maia et al. 2023, doi
10.1016/j.cma.2023.115934).
"""

import copy
import math

import torch
from torch import Tensor, nn

from pointlaw.networks.base import Head, Kernel
from pointlaw.networks.incremental import Incremental, polar
from pointlaw.networks.sliding import slide


class PlasticElements(Incremental):
    """Parallel elastic–plastic elements under a linear head.

    Parameters
    ----------
    features, outputs : int
        Number of input features ``f`` (strain only) and of answers ``g``.
    elements : int
        Number of elements ``K``.
    size : int, optional
        Components ``d`` of the strain that an element sees; ``features`` if omitted.
    hardening : bool
        Whether the balls grow while their element slides; otherwise every element is perfectly plastic.
    sensitivity : pair of float
        Sizes of the first projections, from the least to the most sensitive element: an element of sensitivity ``w``
        starts to slide where the scaled strain is about ``1/w``.

    Notes
    -----
    The state row holds the old strain, the stress of the elements (``K d``) and the growth of their radius (``K``).
    The radius is 1 at first and ``R − (R − 1) exp(−b z)`` after sliding over the strain length ``z``, with a learned
    limit ``R > 1`` and rate ``b`` for each element.
    """

    architecture = "plastic_elements"

    def __init__(
        self,
        *,
        features: int,
        outputs: int,
        elements: int = 24,
        size: int | None = None,
        hardening: bool = True,
        sensitivity: tuple[float, float] = (0.5, 8.0),
    ):
        size = features if size is None else size
        super().__init__(
            strains=features,
            memory={"stress": elements * size} | ({"growth": elements} if hardening else {}),
            features=features,
            outputs=outputs,
            config={
                "features": features,
                "outputs": outputs,
                "elements": elements,
                "size": size,
                "hardening": hardening,
                "sensitivity": list(sensitivity),
            },
        )
        self.elements, self.size, self.hardening = elements, size, hardening
        least, most = sensitivity
        scale = torch.logspace(math.log10(least), math.log10(most), elements) / math.sqrt(features)
        self.weight = nn.Parameter(scale[:, None, None] * torch.randn(elements, size, features))
        grows = hardening  # without hardening the two parameters stay, unused, and the radius is one
        self.log_growth = nn.Parameter(torch.full((elements,), math.log(0.5)), requires_grad=grows)  # ln(R − 1)
        self.log_rate = nn.Parameter(torch.full((elements,), math.log(0.3)), requires_grad=grows)  # ln b
        self.head = Head(elements * size, features, outputs, prior=True, bias=False)

    def drive(self, x: Tensor, old: Tensor) -> Tensor:
        """Return each element's strain increment, its direction and its length, ``[..., K (2 d + 1)]``."""
        seen = (x - old) @ self.weight.flatten(0, 1).T
        direction, length = polar(seen.unflatten(-1, [self.elements, self.size]))
        return torch.cat([seen, direction.flatten(-2), length.squeeze(-1)], -1)

    def advance(self, drive: Tensor, memory: Tensor) -> Tensor:
        """Return the new stress and growth of the elements; see :meth:`Incremental.advance`."""
        return self.flow(drive, memory, False)[0]

    def flow(self, drive: Tensor, memory: Tensor, slopes: bool) -> tuple[Tensor, Tensor]:
        """Return the new memory and, if ``slopes`` are wanted, dσ/de of the elements ``[r, K, d, d]``."""
        n, shape = self.elements * self.size, [self.elements, self.size]
        seen, direction, length = drive[:, :n], drive[:, n : 2 * n], drive[:, 2 * n :]
        stress, seen, direction = (
            memory[:, :n].unflatten(1, shape),
            seen.unflatten(1, shape),
            direction.unflatten(1, shape),
        )
        if self.hardening:
            growth, rate = self.log_growth.exp(), self.log_rate.exp()
            stress, grown, J = slide(stress, memory[:, n:], seen, direction, length, growth, rate, slopes)
            return torch.cat([stress.flatten(1), grown], 1), J
        stress, _, J = slide(stress, torch.zeros_like(length), seen, direction, length, None, None, slopes)
        return stress.flatten(1), J

    def answer(self, x: Tensor, memory: Tensor) -> Tensor:
        """Return ``y[r, g]``, linear in strain and element stresses; see :meth:`Incremental.answer`."""
        return self.head(memory[:, : self.elements * self.size], x)

    def step_tangent(self, x: Tensor, state: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Return ``y``, the new state and ``dy/dx`` in closed form; see :meth:`Network.step_tangent`."""
        m = self.strains
        memory, J = self.flow(self.drive(x, state[:, :m]), state[:, m:], True)
        head = self.head.weight.unflatten(1, [self.elements, self.size])
        slope = J.flatten(1) @ torch.einsum("aki,kjc->kijac", head, self.weight).flatten(0, 2).flatten(1)
        tangent = self.head.prior + slope.unflatten(1, [self.outputs, m])
        return self.answer(x, memory), torch.cat([x, memory], 1), tangent

    def kernel(self, A: Tensor, S: Tensor, block: int) -> Kernel:
        """Return the inference kernel; see :meth:`Network.kernel`."""
        return PlasticKernel(self, A, S)


class PlasticKernel(Kernel):
    """Plastic elements for inference: scales folded into head and slopes, the tangent by one product.

    Temporaries have the size of one block.
    """

    head: Tensor
    prior: Tensor
    constant: Tensor
    reach: Tensor

    def __init__(self, network: PlasticElements, A: Tensor, S: Tensor):
        super().__init__()
        self.network = copy.deepcopy(network).double().eval().requires_grad_(False)
        head, prior = S @ self.network.head.weight, S @ self.network.head.prior
        self.strains = network.strains
        self.memory = network.elements * network.size
        self.register_buffer("head", head.T.contiguous())
        self.register_buffer("prior", prior.T.contiguous())
        self.register_buffer("constant", (prior @ A).reshape(1, -1))
        wide = head.unflatten(1, [network.elements, network.size])
        reach = torch.einsum("aki,kjc->kijac", wide, self.network.weight @ A)
        self.register_buffer("reach", reach.flatten(0, 2).flatten(1).contiguous())

    def forward(self, x: Tensor, state: Tensor, stress: Tensor, new_state: Tensor, tangent: Tensor | None) -> None:
        """Write stress, new state and tangent of one block; see :meth:`Kernel.forward`."""
        m = self.strains
        strain = x.narrow(1, 0, m)
        drive = self.network.drive(strain, state.narrow(1, 0, m))
        memory, J = self.network.flow(drive, state.narrow(1, m, state.shape[1] - m), tangent is not None)
        new_state.narrow(1, 0, m).copy_(strain)
        new_state.narrow(1, m, memory.shape[1]).copy_(memory)
        torch.mm(strain, self.prior, out=stress)
        stress.addmm_(memory.narrow(1, 0, self.memory), self.head)
        if tangent is not None:
            torch.addmm(self.constant, J.flatten(1), self.reach, out=tangent)

"""A function that is convex in its inputs, with its gradient and Hessian in closed form.

Softplus layers with non-negative weights between them are convex in the inputs, and non-decreasing in those inputs
whose own weights are non-negative too (Amos, Xu & Kolter 2017, arXiv:1609.07152). Energies are built from it, so the
first derivative is the answer and the second one its tangent; both are written out here, in matrix products that
automatic differentiation can follow once more when the weights are trained.
"""

import math
from typing import Final

import torch
from torch import Tensor, nn
from torch.nn.functional import softplus


class ConvexCore(nn.Module):
    """``n(z) = w·h + p·z`` over one or two softplus layers ``h``; the second layer also sees ``z``.

    Parameters
    ----------
    increasing : list of bool
        For each input, whether ``n`` must not decrease in it.
    hidden : list of int
        Width of the layers, one or two.
    kinks : (float, float), optional
        Slopes of the flattest and of the steepest unit of the first layer, all bent near rest: for answers that turn
        within a strain of one over the steepest. Without it the bends lie spread over the range of the inputs.
    convex : bool
        False: all weights may take either sign, so ``n`` is neither convex nor increasing; it only begins so.
    """

    free: Tensor
    share: Tensor
    deep: Final[bool]  # so that the scripted module knows which layers it has
    convex: bool

    def __init__(
        self, increasing: list[bool], hidden: list[int], *, kinks: tuple[float, float] | None = None,
        convex: bool = True,
    ):  # fmt: skip
        super().__init__()
        if len(hidden) not in (1, 2) or min(hidden) < 1:
            raise ValueError(f"a convex core has one or two layers of at least one unit; got hidden = {hidden}")
        inputs = len(increasing)
        self.deep, self.convex = len(hidden) == 2, True
        free = torch.tensor([not up for up in increasing])
        self.register_buffer("free", free, persistent=False)
        # What the second layer takes of a unit of the first: of a steep one little, so that all weights have one size.
        share = torch.ones(hidden[0])
        self.linear = nn.Parameter(torch.where(free, 0.0, -2.0))
        if kinks is not None:
            slope = torch.logspace(math.log10(kinks[0]), math.log10(kinks[1]), hidden[0])
            share = 1.0 / slope
            self._bend_near_rest(slope, inputs, hidden)
        else:
            self._bend_everywhere(inputs, hidden)
        self.register_buffer("share", share.double(), persistent=False)
        if not convex:
            self._release()

    def _release(self) -> None:
        """Let all weights take either sign, and keep the function as it is."""
        names = ["first", "linear", "top"] + (["between", "second"] if self.deep else [])
        with torch.no_grad():
            for name in names:
                weight = getattr(self, name)
                weight.copy_(self.positive(weight) if name in ("top", "between") else self.signed(weight))
        self.convex = False

    def _bend_near_rest(self, slope: Tensor, inputs: int, hidden: list[int]) -> None:
        """Draw weights for an answer that is stiff near rest and soft beyond."""
        self.first = nn.Parameter(0.7 * slope[:, None] * torch.randn(hidden[0], inputs))
        self.first_bias = nn.Parameter(torch.randn(hidden[0]) * (0.3 * slope).clamp_max(2.0))
        top = 0.5 / slope
        if self.deep:
            self.between = nn.Parameter(0.3 * torch.randn(hidden[1], hidden[0]))
            self.second = nn.Parameter(0.5 * torch.randn(hidden[1], inputs))
            self.second_bias = nn.Parameter(0.5 * torch.randn(hidden[1]))
            top = torch.full((hidden[1],), 0.1)
        self.top = nn.Parameter(inverse(top))

    def _bend_everywhere(self, inputs: int, hidden: list[int]) -> None:
        """Draw weights for an answer that turns anywhere in the range of the inputs."""
        # Units of many widths, each with its bend at a point within the range of the inputs (about 0.3 from rest).
        slope = torch.exp(torch.empty(hidden[0], 1).uniform_(0.7, 3.5))
        first = slope * torch.randn(hidden[0], inputs)
        self.first = nn.Parameter(first)
        self.first_bias = nn.Parameter(-(self.signed(first) * 0.2 * torch.randn(hidden[0], inputs)).sum(1))
        width = slope
        if self.deep:
            width = torch.exp(torch.empty(hidden[1], 1).uniform_(0.0, 2.0))
            self.between = nn.Parameter(inverse(width * torch.rand(hidden[1], hidden[0]) / slope.T))
            self.second = nn.Parameter(torch.randn(hidden[1], inputs))
            self.second_bias = nn.Parameter(-width[:, 0] * torch.rand(hidden[1]))
        self.top = nn.Parameter(inverse(torch.rand(hidden[-1]) / width[:, 0]))

    def weights(self) -> list[Tensor]:
        """Return the effective weights: the first layer, the second if there is one, then the top."""
        rows = [self.signed(self.first), self.first_bias]
        if self.deep:
            between = self.positive(self.between) * self.share.to(self.top.dtype)
            rows += [between, self.signed(self.second), self.second_bias]
        return rows + [self.positive(self.top), self.signed(self.linear)]

    def positive(self, raw: Tensor) -> Tensor:
        """Return ``raw``, made positive if the function must be convex."""
        return softplus(raw) if self.convex else raw

    def signed(self, raw: Tensor) -> Tensor:
        """Return ``raw[..., k]``, made positive in the columns in which the function must not decrease."""
        return torch.where(self.free, raw, self.positive(raw))

    @torch.jit.unused
    @torch.no_grad()
    def scale(self, factor: float) -> None:
        """Multiply the function by a positive factor."""
        if self.convex:
            tiny = torch.finfo(self.top.dtype).tiny
            top, linear = (inverse(factor * softplus(weight), tiny) for weight in (self.top, self.linear))
            self.top.copy_(top)
            self.linear.copy_(torch.where(self.free, factor * self.linear, linear))
        else:
            self.top.mul_(factor)
            self.linear.mul_(factor)


def inverse(positive: Tensor, least: float = 1e-4) -> Tensor:
    """Return the number whose softplus is ``positive``, or ``least`` if that is larger: weights at zero cannot move."""
    positive = positive.clamp_min(least)
    return positive + torch.log(-torch.expm1(-positive))  # not ln(eˣ − 1): that overflows


def bend(z: Tensor) -> Tensor:
    """Return the softplus of ``z``, exact to round-off: torch's own turns into a line at 20 already."""
    return softplus(z, 1.0, 40.0)


def convex_value(z: Tensor, weights: list[Tensor]) -> Tensor:
    """Return ``n(z)``, ``[p]``, at the inputs ``z[p, k]``."""
    hidden = bend(torch.addmm(weights[1], z, weights[0].T))
    if len(weights) > 4:
        hidden = bend(torch.addmm(weights[4], z, weights[3].T) + hidden @ weights[2].T)
    return hidden @ weights[-2] + z @ weights[-1]


def convex_derivatives(z: Tensor, weights: list[Tensor], curved: bool) -> tuple[Tensor, Tensor]:
    """Return ``∂n/∂z[p, k]`` and, if ``curved``, ``∂²n/∂z∂z[p, k, k]`` (empty otherwise)."""
    p, k = z.shape
    W, top = weights[0], weights[-2]
    before = torch.addmm(weights[1], z, W.T)
    slope = torch.sigmoid(before)
    curvature = torch.empty(0, dtype=z.dtype, device=z.device)
    if len(weights) == 4:
        if curved:
            squares = (W.unsqueeze(2) * W.unsqueeze(1)).reshape(-1, k * k)
            curvature = ((slope * (1.0 - slope) * top) @ squares).view(p, k, k)
        return torch.addmm(weights[-1], slope * top, W), curvature
    U, V = weights[2], weights[3]
    upper = torch.sigmoid(torch.addmm(weights[4], z, V.T) + bend(before) @ U.T)
    pulled = (upper * top) @ U  # ∂n/∂h of the first layer
    gradient = (pulled * slope) @ W + (upper * top) @ V + weights[-1]
    if curved:
        chain = (U.T.unsqueeze(2) * W.unsqueeze(1)).reshape(W.shape[0], -1)
        G = (slope @ chain).view(p, U.shape[0], k) + V  # gradients of the second layer's inputs
        squares = (W.unsqueeze(2) * W.unsqueeze(1)).reshape(-1, k * k)
        curvature = ((pulled * slope * (1.0 - slope)) @ squares).view(p, k, k)
        curvature = curvature + G.transpose(1, 2) @ ((upper * (1.0 - upper) * top).unsqueeze(2) * G)
    return gradient, curvature

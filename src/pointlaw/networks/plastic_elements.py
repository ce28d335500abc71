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

import math

import torch
from torch import Tensor, nn

from pointlaw.networks.base import Head
from pointlaw.networks.incremental import Incremental, polar


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
            memory={"stress": elements * size, "growth": elements if hardening else 0},
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
        n, shape = self.elements * self.size, [self.elements, self.size]
        increment, direction = drive[:, :n].unflatten(1, shape), drive[:, n : 2 * n].unflatten(1, shape)
        length, stress = drive[:, 2 * n :], memory[:, :n].unflatten(1, shape)
        if self.hardening:
            growth, rate = self.log_growth.exp(), self.log_rate.exp()
            stress, grown = slide(stress, memory[:, n:], increment, direction, length, growth, rate)
            return torch.cat([stress.flatten(1), grown], 1)
        stress, _ = slide(stress, torch.zeros_like(length), increment, direction, length, None, None)
        return stress.flatten(1)

    def answer(self, x: Tensor, memory: Tensor) -> Tensor:
        """Return ``y[r, g]``, linear in strain and element stresses; see :meth:`Incremental.answer`."""
        return self.head(memory[:, : self.elements * self.size], x)


def slide(
    stress: Tensor,
    grown: Tensor,
    increment: Tensor,
    direction: Tensor,
    length: Tensor,
    growth: Tensor | None,
    rate: Tensor | None,
) -> tuple[Tensor, Tensor]:
    """Return stress and growth of elements after a straight strain increment, exactly.

    Parameters
    ----------
    stress : [r, K, d]
        Inside or on the ball of radius ``ρ = 1 + grown``.
    grown : [r, K]
        Growth of the radius so far.
    increment, direction, length : [r, K, d], [r, K, d], [r, K]
        The increment ``L e``, its unit vector ``e`` and its length ``L``; all zero where there is none.
    growth, rate : [K], optional
        ``R − 1`` and ``b``: ``dρ = b (R − ρ) dz`` over the strain length ``z`` while the element slides.

    Notes
    -----
    The stress goes straight to the surface, ``L = τ`` with ``|σ + τ e| = ρ``. On the surface the unit normal turns
    towards ``e``: with ``cos θ = tanh u`` it is ``du = dz/ρ``, so over the sliding length ``u`` rises by
    ``w = ∫ dz/ρ = z/R + ln(ρ₁/ρ)/(b R)``, and the addition theorems of the hyperbolic functions give the end point
    ``σ₁ = ρ₁ [n + (sinh w + c (cosh w − 1)) e] / (cosh w + c sinh w)`` with ``c = n·e``. All is written with
    ``q = exp(−w) ≤ 1``; nothing overflows, and for ``L = 0`` every factor is exactly one or zero.
    """
    radius = 1.0 + grown
    along = (stress * direction).sum(-1)
    gap = (radius * radius - (stress * stress).sum(-1)).clamp_min(0.0)
    root = (along * along + gap + 1e-30).sqrt()  # what is added keeps the derivative of grazing contact finite
    outward = along > 0.0
    reach = torch.where(outward, gap / torch.where(outward, root + along, torch.ones_like(root)), root - along)
    # Elastic share of the increment; all of it where nothing moves, also on the surface, as in a return mapping.
    slides = reach < length
    share = torch.where(slides, reach / torch.where(slides, length, torch.ones_like(length)), torch.ones_like(length))
    elastic = share * length
    plastic = length - elastic
    cosine = (along + elastic) / radius
    if growth is not None and rate is not None:
        more = -(growth - grown) * torch.expm1(-rate * plastic)
        ratio = 1.0 + more / radius
        turn = (plastic + ratio.log() / rate) / (1.0 + growth)
    else:
        more, ratio, turn = torch.zeros_like(plastic), torch.ones_like(plastic), plastic
    q = torch.exp(-turn)
    rise, rest = 0.5 * (1.0 - q * q), 0.5 * (1.0 - q) * (1.0 - q)  # q sinh w and q (cosh w − 1)
    scale = ratio / (q + rest + cosine * rise)
    contact = stress + share.unsqueeze(-1) * increment
    pull = scale * radius * (rise + cosine * rest)
    return (scale * q).unsqueeze(-1) * contact + pull.unsqueeze(-1) * direction, grown + more

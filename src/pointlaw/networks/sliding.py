"""The exact flow of elastic–plastic elements along a straight strain increment, and its derivative.

The stress ``σ`` of an element goes straight to the surface of its ball, ``L = τ`` with ``|σ + τ e| = ρ``. Then the
unit normal ``n`` turns towards the direction ``e`` of the increment: with ``n·e = tanh u`` it is ``du = dz/ρ``, so over
the sliding length ``z = L − τ`` the angle variable rises by ``w = ∫ dz/ρ = z/R + ln(ρ₁/ρ)/(b R)``, and the addition
theorems of the hyperbolic functions give the end point ``σ₁ = ρ₁ [n + (sinh w + c (cosh w − 1)) e] / (cosh w + c sinh
w)`` with ``c = n·e`` at contact. All is written with ``q = exp(−w) ≤ 1``; nothing overflows.
"""

import torch
from torch import Tensor


def slide(
    stress: Tensor,
    grown: Tensor,
    increment: Tensor,
    direction: Tensor,
    length: Tensor,
    growth: Tensor | None,
    rate: Tensor | None,
    slopes: bool = False,
) -> tuple[Tensor, Tensor, Tensor]:
    """Return stress and growth of elements after a straight strain increment, and dσ₁/d increment ``[r, K, d, d]``.

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
    slopes : bool
        Whether the derivative is wanted; otherwise an empty tensor stands in its place.
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
        left = (growth - grown) * torch.exp(-rate * plastic)
        more = -(growth - grown) * torch.expm1(-rate * plastic)
        wider = 1.0 + more / radius
        turn = (plastic + wider.log() / rate) / (1.0 + growth)
        hardening = rate * left  # dρ₁/dz
    else:
        more, wider, turn = torch.zeros_like(plastic), torch.ones_like(plastic), plastic
        hardening = more
    q = torch.exp(-turn)
    rise, rest = 0.5 * (1.0 - q * q), 0.5 * (1.0 - q) * (1.0 - q)  # q sinh w and q (cosh w − 1)
    scale = wider / (q + rest + cosine * rise)
    contact = stress + share.unsqueeze(-1) * increment
    pull = scale * radius * (rise + cosine * rest)
    new = (scale * q).unsqueeze(-1) * contact + pull.unsqueeze(-1) * direction
    if not slopes:
        return new, grown + more, torch.zeros(0, dtype=stress.dtype, device=stress.device)
    # On the surface: dσ₁ = v₁ dz + v₂ (t·da) + β (I − e eᵀ) da with t = (σ − (σ·e) e)/L, dz = (e + (τ/s) t)·da and
    # s = ρ c; v₁ is the rate of σ₁ in z, the rest is what the turning of e does. Elsewhere β = 1 and no more.
    safe = torch.where(slides, length, torch.ones_like(length))
    final = 1.0 + grown + more
    normal = new / final.unsqueeze(-1)
    v1 = direction + (hardening - (normal * direction).sum(-1)).unsqueeze(-1) * normal
    weight = scale / root
    v2 = (weight * (along * rest - q * reach)).unsqueeze(-1) * direction
    v2 = v2 - (weight * along * rise).unsqueeze(-1) * normal
    beta = torch.where(slides, (scale * q * reach + pull) / safe, torch.ones_like(length))
    turned = ((reach / root).unsqueeze(-1) * v1 + v2) / safe.unsqueeze(-1)
    straight = v1 - beta.unsqueeze(-1) * direction - along.unsqueeze(-1) * turned
    J = straight.unsqueeze(-1) * direction.unsqueeze(-2) + turned.unsqueeze(-1) * stress.unsqueeze(-2)
    J = torch.where(slides.unsqueeze(-1).unsqueeze(-1), J, torch.zeros_like(J))
    eye = torch.eye(stress.shape[-1], dtype=stress.dtype, device=stress.device)
    return new, grown + more, J + beta.unsqueeze(-1).unsqueeze(-1) * eye

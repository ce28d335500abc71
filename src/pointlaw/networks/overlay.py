"""Elastoplastic elements: the flow of a hardening point along a straight strain increment.

An element is a von Mises point in its own coordinates: a stress ``s`` that is elastic inside a sphere and slides on its
surface, while the radius grows with the plastic strain as ``R(p) = R₀ (1 + h ((1 + p/l)^c − 1))`` (Swift 1952, doi
10.1016/0022-5096(52)90002-1). With a fixed radius the flow has a closed form (Krieg & Krieg 1977, doi
10.1115/1.3454568); a growing one enters it with the mean radius of the step, which is of second order in the growth.
Stress and increment span a plane that the new stress does not leave, ``s′ = A s + B d``, so a step is two scalars.
"""

from typing import Any, NamedTuple

import torch
from torch import Tensor


class Flow(NamedTuple):
    """``s′ = A s + B d`` and the plastic strain ``p′``, all ``[r, k]``."""

    A: Tensor
    B: Tensor
    plastic: Tensor


class FlowSlopes(NamedTuple):
    """A :class:`Flow` with the derivatives of A and B by ``|d|²`` (``_dd``) and ``s·d`` (``_sd``), all ``[r, k]``."""

    A: Tensor
    B: Tensor
    plastic: Tensor
    A_dd: Tensor
    A_sd: Tensor
    B_dd: Tensor
    B_sd: Tensor


def radius(p: Tensor, law: Tensor) -> Tensor:
    """Return ``R(p)``; ``law[4, k]`` are ``R₀, h, l, c``."""
    return law[0] * (1.0 + law[1] * ((1.0 + p / law[2]) ** law[3] - 1.0))


def hardening(p: Tensor, law: Tensor) -> Tensor:
    """Return ``dR/dp``."""
    return law[0] * law[1] * law[3] / law[2] * (1.0 + p / law[2]) ** (law[3] - 1.0)


def approach(dd: Tensor, sd: Tensor, ss: Tensor, R: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Return where yielding begins: ``(yields, reach, contact, L)``.

    ``contact`` is the share of the increment that ends on the sphere, ``reach`` its product with the increment there,
    ``L`` the strain length left for sliding. Rows that stay elastic get harmless numbers.
    """
    yields = (dd > 0.0) & (ss + 2.0 * sd + dd > R * R)  # a held strain moves nothing, also by round-off
    room = (R * R - ss).clamp_min(0.0)
    one = torch.ones_like(dd)
    safe = torch.where(yields, dd, one)
    reach = torch.where(yields, sd * sd + dd * room, one).sqrt()
    outward = sd > 0.0
    contact = torch.where(
        outward, room / torch.where(outward, reach + sd, one), (reach - torch.where(outward, one, sd)) / safe
    )
    contact = torch.where(yields, contact.clamp_max(1.0), one)
    return yields, reach, contact, (1.0 - contact) * safe.sqrt()


def sliding(L: Tensor, M: Tensor, cosine: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Return ``q = exp(−L/M)``, ``w = (1 + c + q²(1 − c))/2`` and ``L + M ln w``, plastic strain plus growth."""
    q = torch.exp(-L / M)
    w = 0.5 * (1.0 + cosine + q * q * (1.0 - cosine))
    return q, w, L + M * w.log()


def plastic_step(x: Tensor, p: Tensor, R: Tensor, L: Tensor, cosine: Tensor, law: Tensor) -> tuple[Tensor, Tensor]:
    """Return one Newton step on ``x + R(p + x) − R(p) = L + M ln w`` with ``M = (R(p) + R(p + x))/2``, and its slope.

    The slope is positive: the plastic strain of a step exists and is unique.
    """
    R1, slope = radius(p + x, law), hardening(p + x, law)
    M = 0.5 * (R + R1)
    q, w, length = sliding(L, M, cosine)
    total = 1.0 + slope - 0.5 * slope * (w.log() + L / M * q * q * (1.0 - cosine) / w)
    return (x - (x + R1 - R - length) / total).clamp_min(0.0), total


def first_guess(p: Tensor, R: Tensor, L: Tensor, cosine: Tensor, law: Tensor) -> Tensor:
    """Return the plastic strain with the hardening at the end of the step without hardening."""
    length = sliding(L, R, cosine)[2]
    return length / (1.0 + hardening(p + length, law))


def advance(dd: Tensor, sd: Tensor, ss: Tensor, p: Tensor, law: Tensor, newton: int = 5) -> Flow:
    """Return the flow of elements with ``|d|²``, ``s·d``, ``|s|²`` and plastic strain ``p``, all ``[r, k]``.

    ``law[4, k]`` are ``R₀, h, l, c``, all > 0. The hardening equation is monotone and its first guess of first order:
    ``newton`` steps solve it, two more carry its first and second derivatives.
    """
    R = radius(p, law)
    yields, reach, contact, L = approach(dd, sd, ss, R)
    length = torch.where(yields, dd, torch.ones_like(dd)).sqrt()
    cosine = torch.where(yields, reach / (R * length), torch.zeros_like(R))
    fixed = p.detach(), R.detach(), L.detach(), cosine.detach(), law.detach()
    x = first_guess(fixed[0], fixed[1], fixed[2], fixed[3], fixed[4])
    for _ in range(newton):
        x, _ = plastic_step(x, fixed[0], fixed[1], fixed[2], fixed[3], fixed[4])
    x = x.detach()
    for _ in range(2):
        x, _ = plastic_step(x, p, R, L, cosine, law)
    R1 = radius(p + x, law)
    q, w, _ = sliding(L, 0.5 * (R + R1), cosine)
    alpha = q / w
    beta = (1.0 + cosine) / w - 1.0 - alpha * cosine
    one = torch.ones_like(R)
    A = torch.where(yields, R1 * alpha / R, one)
    B = torch.where(yields, R1 * (alpha * contact / R + beta / length), one)
    return Flow(A, B, torch.where(yields, p + x, p))


def advance_with_slopes(dd: Tensor, sd: Tensor, ss: Tensor, p: Tensor, law: Tensor, newton: int = 5) -> FlowSlopes:
    """Return :func:`advance` with the derivatives of A and B by the increment, in closed form."""
    R = radius(p, law)
    yields, reach, contact, L = approach(dd, sd, ss, R)
    one, zero = torch.ones_like(dd), torch.zeros_like(dd)
    safe = torch.where(yields, dd, one)
    length = safe.sqrt()
    cosine = torch.where(yields, reach / (R * length), zero)
    x = first_guess(p, R, L, cosine, law)
    total = one
    for _ in range(newton):
        x, _ = plastic_step(x, p, R, L, cosine, law)
    x, total = plastic_step(x, p, R, L, cosine, law)
    R1, slope = radius(p + x, law), hardening(p + x, law)
    M = 0.5 * (R + R1)
    q, w, _ = sliding(L, M, cosine)
    alpha, ratio = q / w, (1.0 + cosine) / w
    beta = ratio - 1.0 - alpha * cosine
    pull = alpha * contact / R + beta / length
    # First the derivatives of what leads to the surface, then of what happens on it; one lane for |d|², one for s·d.
    room = (R * R - ss).clamp_min(0.0)
    outward = sd > 0.0
    bottom = torch.where(outward, reach + sd, one)
    reach_dd, reach_sd = 0.5 * room / reach, sd / reach
    contact_dd = torch.where(outward, -contact * reach_dd / bottom, (reach_dd - contact) / safe)
    contact_sd = torch.where(outward, -contact * (reach_sd + 1.0) / bottom, (reach_sd - 1.0) / safe)
    rest = q * q * (1.0 - cosine)
    answers: list[Tensor] = []
    lanes = [
        (contact_dd, 0.5 * (1.0 - contact) / length - contact_dd * length, 0.5 / length,
         reach_dd / (R * length) - 0.5 * cosine / safe),
        (contact_sd, -contact_sd * length, zero, reach_sd / (R * length)),
    ]  # fmt: skip
    for contact_i, L_i, length_i, cosine_i in lanes:
        x_i = ((1.0 - rest / w) * L_i + 0.5 * M * (1.0 - q * q) / w * cosine_i) / total
        R1_i = slope * x_i
        q_i = q * (0.5 * L / M * R1_i - L_i) / M
        w_i = 0.5 * cosine_i * (1.0 - q * q) + q * q_i * (1.0 - cosine)
        alpha_i = (q_i - alpha * w_i) / w
        beta_i = (cosine_i - ratio * w_i) / w - alpha_i * cosine - alpha * cosine_i
        A_i = (R1_i * alpha + R1 * alpha_i) / R
        B_i = R1_i * pull + R1 * (
            (alpha_i * contact + alpha * contact_i) / R + (beta_i - beta * length_i / length) / length
        )
        answers += [torch.where(yields, A_i, zero), torch.where(yields, B_i, zero)]
    A, B = torch.where(yields, R1 * alpha / R, one), torch.where(yields, R1 * pull, one)
    return FlowSlopes(A, B, torch.where(yields, p + x, p), answers[0], answers[2], answers[1], answers[3])


class Scan(torch.autograd.Function):
    """All steps of all paths in compiled code, and the way back.

    ``increment[n, t, k, d]`` and ``law[k, 4]`` give ``s[n, t, k, d]``, all float64 on the CPU.
    """

    @staticmethod
    def forward(ctx: Any, increment: Tensor, law: Tensor) -> Tensor:
        """Return the stresses after each step, from the virgin state."""
        from pointlaw.kernels.native import load_library

        ffi, library = load_library("overlay")
        increment, law = increment.contiguous(), law.contiguous()
        n, t, k, d = increment.shape
        stress = torch.empty(n, t + 1, k, d, dtype=torch.float64)
        plastic = torch.empty(n, t + 1, k, dtype=torch.float64)
        pointers = [ffi.cast("double *", array.data_ptr()) for array in (increment, law, stress, plastic)]
        library.overlay_scan(n, t, k, d, *pointers)
        ctx.save_for_backward(increment, law, stress, plastic)
        return stress[:, 1:]

    @staticmethod
    def backward(ctx: Any, *pulls: Tensor) -> tuple[Tensor, Tensor]:
        """Return the gradients by increments and parameters."""
        from pointlaw.kernels.native import load_library

        ffi, library = load_library("overlay")
        increment, law, stress, plastic = ctx.saved_tensors
        pull, by_increment, by_law = pulls[0].contiguous(), torch.empty_like(increment), torch.empty_like(law)
        arrays = (increment, law, stress, plastic, pull, by_increment, by_law)
        library.overlay_pull(*increment.shape, *(ffi.cast("double *", array.data_ptr()) for array in arrays))
        return by_increment, by_law

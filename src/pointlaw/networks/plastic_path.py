"""Plastic strains of many von Mises points along whole paths, with the adjoint in closed form.

Back-propagation through time by a graph of each operation of each step costs some fifty small tensors a step. The
radial return needs less: everything that the adjoint of a step asks for follows from the plastic strains themselves,
for all times at once, and what remains of the backward sweep is a dozen operations a step.
"""

import math
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

Hardening = Callable[[Tensor, Tensor], tuple[Tensor, Tensor, Tensor]]
ROOT32 = math.sqrt(1.5)


class PlasticPath(torch.autograd.Function):
    """Backward Euler along ``deviator[r, t, k, d]``; returns the plastic strains ``[r, t, k, d]`` after each step.

    ``values[q, k]`` are the parameters of the points, the shear modulus first, and ``hardening(p, values)`` gives yield
    stress, its slope and curvature at the equivalent plastic strain ``p``. ``surface`` is the share of the yield stress
    by which a trial stress must be outside to flow. The points start virgin. First derivatives only.
    """

    @staticmethod
    def forward(ctx: Any, deviator: Tensor, values: Tensor, hardening: Hardening, surface: float) -> Tensor:
        """Return the plastic strains."""
        stiff, precision = 3.0 * values[0], torch.finfo(deviator.dtype)
        plastic = torch.zeros_like(deviator[:, 0])
        p = plastic[..., 0]
        plastics, lengths = [], []
        for e in deviator.unbind(1):
            elastic = e - plastic
            length = torch.linalg.vector_norm(elastic, dim=-1)
            radius = hardening(p, values)[0]
            excess = 2.0 * ROOT32 * values[0] * length - radius
            excess = torch.where(excess > surface * radius, excess, torch.zeros_like(excess))
            x = torch.zeros_like(p)
            for _ in range(40):
                level, slope, _curvature = hardening(p + x, values)
                gap = excess - stiff * x - (level - radius)
                x = x + gap / (stiff + slope)
                if bool((gap.abs() <= 32.0 * precision.eps * (radius + excess)).all()):
                    break
            plastic = plastic + (ROOT32 * x / length.clamp_min(precision.tiny)).unsqueeze(-1) * elastic
            p = p + x
            plastics.append(plastic)
            lengths.append(p)
        answer, equivalent = torch.stack(plastics, 1), torch.stack(lengths, 1)
        ctx.save_for_backward(deviator, values, answer, equivalent)
        ctx.hardening = hardening
        return answer

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor | None, ...]:
        """Return the derivatives by ``deviator`` and ``values``."""
        deviator, values, plastic, p = ctx.saved_tensors
        G, hardening = values[0], ctx.hardening
        elastic = deviator - torch.nn.functional.pad(plastic, (0, 0, 0, 0, 1, 0))[:, :-1]
        length = torch.linalg.vector_norm(elastic, dim=-1).clamp_min(torch.finfo(p.dtype).tiny)
        normal = elastic / length.unsqueeze(-1)
        x = torch.diff(p, dim=1, prepend=torch.zeros_like(p[:, :1]))
        slope = hardening(p, values)[1]
        inverse = torch.where(x > 0.0, 1.0 / (3.0 * G + slope), torch.zeros_like(x))
        # dP′ = dP + √(3/2) (n dx + x dn),  dp′ = dp + dx,  (3G + h) dx = √6 G n·da − h dp + …  with a = e − P
        turn = ROOT32 * (x / length).unsqueeze(-1)
        push = 2.0 * ROOT32 * G.unsqueeze(-1) * normal
        of_plastic, of_p = torch.zeros_like(plastic[:, 0]), torch.zeros_like(p[:, 0])
        of_strain, multipliers = [], []
        steps = [v.unbind(1) for v in (grads[0], normal, inverse, turn, push, slope)]
        for grad, n, D, c, b, h in reversed(list(zip(*steps, strict=True))):
            of_plastic = of_plastic + grad
            along = (of_plastic * n).sum(-1)
            mu = (ROOT32 * along + of_p) * D
            of_elastic = torch.addcmul(c * (of_plastic - n * along.unsqueeze(-1)), b, mu.unsqueeze(-1))
            of_plastic, of_p = of_plastic - of_elastic, of_p - h * mu
            of_strain.append(of_elastic)
            multipliers.append(mu)
        mu = torch.stack(multipliers[::-1], 1)
        of_values = None
        if ctx.needs_input_grad[1]:
            with torch.enable_grad():
                leaf = values.detach().requires_grad_()
                stress = hardening(p, leaf)[0] + 3.0 * leaf[0] * x - 2.0 * ROOT32 * leaf[0] * length
            (of_values,) = torch.autograd.grad(stress, leaf, -mu)
        return torch.stack(of_strain[::-1], 1), of_values, None, None

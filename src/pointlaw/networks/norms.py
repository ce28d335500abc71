"""Norms of ``F L`` and ``cof(F L)``: the first layer of an objective network that is convex in ``F`` and ``cof F``.

For a matrix ``L`` with ``G = L Lᵀ`` the sum ``u`` of the singular values of ``F L``, the sum ``v`` of their products in
pairs, and the Frobenius norms of ``F L`` and ``cof(F L)`` are convex (nuclear norms of ``F L`` and its cofactor). They
are functions of ``a = G:C``, ``b = cof G:cof C`` and ``c = det L · J`` alone: ``u² = a + 2 v`` and ``v² = b + 2 c u``.
So no eigenvectors are needed, and equal stretches are no special case. Where ``L`` has rank one, ``u`` is the stretch
of a fibre.
"""

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.functional import softplus

from pointlaw.networks.convex import ConvexCore, convex_derivatives, convex_value
from pointlaw.tensors import Array, rotation, to_mandel

KINDS = 4  # u, v and the two Frobenius norms
NEWTON = 24  # steps to round-off also where two singular values are a thousandth of the third
ROUND = 0.003  # share of the identity in L Lᵀ: at rank one two roots of the quartic would fall together


class NormBranch(nn.Module):
    """A convex function of the norms of some learned matrices and of ``J``, averaged over a group of rotations.

    Parameters
    ----------
    rotations : [q, 3, 3]
        The group.
    norms : int
        Number ``k`` of matrices ``L``, scaled to ``tr(L Lᵀ) = 1``.
    hidden : list of int
        Layers of the core.
    """

    turns: Tensor
    mandel: Tensor

    def __init__(self, rotations: Array, norms: int, hidden: list[int]):
        super().__init__()
        if norms < 1:
            raise ValueError(f"norms = {norms} must be at least 1")
        self.norms, self.images, self.kinds = norms, len(rotations), KINDS
        self.newton, self.round = NEWTON, ROUND
        self.core = ConvexCore([True] * (KINDS * norms) + [False], hidden)
        self.lower = nn.Parameter(torch.randn(norms, 3, 3))
        # Geometry is kept in float64: it is no weight and nothing may round it.
        self.register_buffer("turns", torch.tensor(rotation(rotations)), persistent=False)
        self.register_buffer("mandel", torch.tensor(to_mandel(np.eye(9).reshape(9, 3, 3))), persistent=False)

    def tensors(self) -> tuple[Tensor, Tensor, Tensor]:
        """Return ``G`` and ``cof G`` of every image, ``[q·k, 6]``, and ``det L``, ``[q·k]``."""
        dtype, k = self.lower.dtype, self.norms
        L = self.lower.tril(-1) + torch.diag_embed(softplus(self.lower.diagonal(0, 1, 2)))
        G = L @ L.transpose(1, 2)
        G = G / G.diagonal(0, 1, 2).sum(1).view(k, 1, 1)
        G = (G + self.round * torch.eye(3, dtype=dtype, device=G.device)) / (1.0 + 3.0 * self.round)
        a, b, c = G.unbind(1)
        cross = torch.linalg.cross
        cofactor = torch.stack([cross(b, c, dim=1), cross(c, a, dim=1), cross(a, b, dim=1)], 1)
        det = (a * cofactor[:, 0]).sum(1).sqrt()
        turn = self.turns.to(dtype).transpose(1, 2)
        G = (G.reshape(k, 9) @ self.mandel.to(dtype)) @ turn
        H = (cofactor.reshape(k, 9) @ self.mandel.to(dtype)) @ turn
        return G.reshape(-1, 6), H.reshape(-1, 6), det.repeat(self.images)

    def arguments(self, y: Tensor, G: Tensor, H: Tensor, det: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor, Tensor]:
        """Return ``a, b, c, u, v``, each ``[p, q·k]``, of ``y[p, 13] = (C, cof C, J)``."""
        a, b, c = y[:, :6] @ G.T, y[:, 6:12] @ H.T, y[:, 12:] * det
        u = (3.0 * a).sqrt().detach()  # above the largest root of the quartic, which is convex from there on
        for _ in range(self.newton):
            u = newton(u, a.detach(), b.detach(), c.detach())
        # Two steps more that differentiation follows: exact in the first and second derivatives.
        u = newton(newton(u, a, b, c), a, b, c)
        return a, b, c, u, 0.5 * (u * u - a)

    def inputs(self, y: Tensor, a: Tensor, b: Tensor, u: Tensor, v: Tensor) -> Tensor:
        """Return the norms and ``J`` image by image, ``[p·q, 4 k + 1]``."""
        p, q, k = y.shape[0], self.images, self.norms
        parts = torch.stack([u, v, a.sqrt(), b.sqrt()], 2).view(p * q, k * self.kinds)
        return torch.cat([parts, y[:, 12:].repeat_interleave(q, 0)], 1)

    def rest(self, G: Tensor, H: Tensor, det: Tensor, y: Tensor) -> Tensor:
        """Return the inputs ``[1, 4 k + 1]`` of the undeformed body; all images have the same."""
        k = self.norms
        one = torch.ones(1, 1, dtype=y.dtype, device=y.device)
        still = torch.cat([one, one, one, 0.0 * one, 0.0 * one, 0.0 * one], 1)
        still = torch.cat([still, still, one], 1)
        a, b, _, u, v = self.arguments(still, G[:k], H[:k], det[:k])
        return torch.cat([torch.stack([u, v, a.sqrt(), b.sqrt()], 2).view(1, k * self.kinds), one], 1)

    def value(self, y: Tensor) -> Tensor:
        """Return the energy ``[p]`` at ``y[p, 13]``."""
        G, H, det = self.tensors()
        a, b, _, u, v = self.arguments(y, G, H, det)
        z = self.inputs(y, a, b, u, v) - self.rest(G, H, det, y)
        return convex_value(z, self.core.weights()).view(-1, self.images).mean(1)

    def derivatives(self, y: Tensor, curved: bool) -> tuple[Tensor, Tensor]:
        """Return ``∂W/∂y[p, 13]`` and, if ``curved``, ``∂²W/∂y∂y[p, 13, 13]`` (empty otherwise)."""
        p, q, k = y.shape[0], self.images, self.norms
        G, H, det = self.tensors()
        a, b, c, u, v = self.arguments(y, G, H, det)
        z = self.inputs(y, a, b, u, v) - self.rest(G, H, det, y)
        gradient, curvature = convex_derivatives(z, self.core.weights(), curved)
        by_norm = gradient[:, :-1].reshape(p, q * k, self.kinds) / q
        gu, gv, ga, gb = by_norm.unbind(2)
        e = 1.0 / (u * v - c)
        ua, ub, uc = 0.5 * v * e, 0.5 * e, u * e
        va, vb, vc = 0.5 * c * e, 0.5 * u * e, u * u * e
        root_a, root_b = a.sqrt(), b.sqrt()
        fa, fb = 0.5 / root_a, 0.5 / root_b
        by_a, by_b, by_c = gu * ua + gv * va + ga * fa, gu * ub + gv * vb + gb * fb, gu * uc + gv * vc
        by_J = (by_c @ det).unsqueeze(1) + gradient[:, -1].view(p, q).mean(1, keepdim=True)
        slope = torch.cat([by_a @ G, by_b @ H, by_J], 1)
        if not curved:
            return slope, curvature
        # Through the core: X holds the gradients of its inputs.
        zero = torch.zeros_like(ua)
        rows = [chain(ua, ub, uc * det, G, H), chain(va, vb, vc * det, G, H)]
        rows += [chain(fa, zero, zero, G, H), chain(zero, fb, zero, G, H)]
        X = torch.stack(rows, 2).view(p * q, k * self.kinds, 13)
        last = torch.zeros(p * q, 1, 13, dtype=y.dtype, device=y.device)
        last[:, :, 12] = 1.0
        X = torch.cat([X, last], 1)
        rows_of_point = q * (k * self.kinds + 1)
        parts = (curvature @ X).view(p, rows_of_point, 13)
        total = X.view(p, rows_of_point, 13).transpose(1, 2) @ parts / q
        # Through the curvature of the norms themselves.
        ea, eb, ec = ua * v + u * va, ub * v + u * vb, uc * v + u * vc - 1.0
        uaa, uab, uac = 0.5 * e * (va - v * e * ea), 0.5 * e * (vb - v * e * eb), 0.5 * e * (vc - v * e * ec)
        ubb, ubc, ucc = -0.5 * e * e * eb, -0.5 * e * e * ec, e * (uc - u * e * ec)
        aa = gu * uaa + gv * (ua * ua + u * uaa) - 0.5 * ga * fa / a
        ab = gu * uab + gv * (ua * ub + u * uab)
        ac = (gu * uac + gv * (ua * uc + u * uac)) * det
        bb = gu * ubb + gv * (ub * ub + u * ubb) - 0.5 * gb * fb / b
        bc = (gu * ubc + gv * (ub * uc + u * ubc)) * det
        cc = (gu * ucc + gv * (uc * uc + u * ucc)) @ (det * det)
        CC, CK, KK = weighted(aa, G, G), weighted(ab, G, H), weighted(bb, H, H)
        CJ, KJ = (ac @ G).unsqueeze(2), (bc @ H).unsqueeze(2)
        top = torch.cat([CC, CK, CJ], 2)
        middle = torch.cat([CK.transpose(1, 2), KK, KJ], 2)
        bottom = torch.cat([CJ.transpose(1, 2), KJ.transpose(1, 2), cc.view(p, 1, 1)], 2)
        return slope, total + torch.cat([top, middle, bottom], 1)


def newton(u: Tensor, a: Tensor, b: Tensor, c: Tensor) -> Tensor:
    """Return one Newton step for the largest root of ``(u² − a)² = 4 b + 8 c u``."""
    w = u * u - a
    return u - (w * w - 8.0 * c * u - 4.0 * b) / (4.0 * (u * w - 2.0 * c))


def chain(of_a: Tensor, of_b: Tensor, of_J: Tensor, G: Tensor, H: Tensor) -> Tensor:
    """Return the gradients ``[p, t, 13]`` by ``(C, cof C, J)``."""
    return torch.cat([of_a.unsqueeze(2) * G, of_b.unsqueeze(2) * H, of_J.unsqueeze(2)], 2)


def weighted(weight: Tensor, first: Tensor, second: Tensor) -> Tensor:
    """Return ``Σ_t weight[p, t] first[t] ⊗ second[t]``, ``[p, 6, 6]``."""
    return (weight @ (first.unsqueeze(2) * second.unsqueeze(1)).view(-1, 36)).view(-1, 6, 6)

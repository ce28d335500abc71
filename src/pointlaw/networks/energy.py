"""Networks that are polyconvex strain energies at finite strain: what all of them share.

The energy is a convex function of arguments that are linear in ``(C, cof C, J)``, or roots and squares of those, so it
is polyconvex and depends on ``F`` through ``C``: it is objective and the Cauchy stress is symmetric. A term linear in
``J`` takes the stress at rest away without touching convexity (Linden et al. 2023, doi 10.1016/j.jmps.2023.105363),
and ``c (J − 1 − ln J)`` lets the energy grow without bound when the volume vanishes. Stress and tangent are written
out; nothing is left to automatic differentiation but the training. A branch that is told not to be convex keeps all of
this but polyconvexity.
"""

from abc import abstractmethod
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.functional import softplus

from pointlaw.networks.base import Kernel, Network, frozen_copy
from pointlaw.networks.convex import ConvexCore, convex_derivatives, convex_value
from pointlaw.networks.structure import ARGUMENTS
from pointlaw.tensors import Array, to_mandel

ROOT, LINEAR, SQUARE = 0.5, 1.0, 2.0  # powers of an argument


class Branch(nn.Module):
    """One convex function of some arguments, averaged over the images of a symmetry group.

    Parameters
    ----------
    rows : [q·k, 13] or None
        Rows that take an argument from ``(C, cof C, J)``; image after image. None: a subclass makes them.
    powers : list of float
        Of each of the ``k`` (or, with ``sums``, of all) arguments: ``ROOT``, ``LINEAR`` or ``SQUARE``.
    increasing : list of bool
        For each input of the core, whether it must not decrease. Only ``J`` may be False.
    hidden : list of int
        Layers of the core.
    images : int
        Number ``q`` of images.
    sums : [k, t], optional
        Non-negative; the inputs of the core are these sums of the powers of ``t`` arguments (one image only).
    smooth : float
        Added under the roots: they may then vanish at rest.
    kinks : (float, float), optional
        See :class:`ConvexCore`.
    convex : bool
        False: the function may be any; see :class:`ConvexCore`.
    """

    rows: Tensor
    sums: Tensor
    root: Tensor
    linear: Tensor
    square: Tensor

    def __init__(
        self, rows: Array | None, powers: list[float], increasing: list[bool], hidden: list[int], *, images: int = 1,
        sums: Array | None = None, smooth: float = 0.0, kinks: tuple[float, float] | None = None,
        convex: bool = True,
    ):  # fmt: skip
        super().__init__()
        self.images, self.summed, self.smooth = images, sums is not None, smooth
        self.core = ConvexCore(increasing, hidden, kinks=kinks, convex=convex)
        # Geometry is kept in float64 until the network is told otherwise: it is no weight and nothing may round it.
        constants = {"root": ROOT, "linear": LINEAR, "square": SQUARE}
        for name, power in constants.items():
            mask = np.tile([float(p == power) for p in powers], images)
            self.register_buffer(name, torch.tensor(mask, dtype=torch.float64), persistent=False)
        rows = np.zeros((0, ARGUMENTS)) if rows is None else rows
        self.register_buffer("rows", torch.tensor(rows, dtype=torch.float64), persistent=False)
        self.register_buffer("sums", torch.tensor([] if sums is None else sums, dtype=torch.float64), persistent=False)

    def arguments(self) -> Tensor:
        """Return the rows ``[q·k, 13]`` that take the arguments."""
        return self.rows

    def value(self, y: Tensor) -> Tensor:
        """Return the energy ``[p]`` at ``y[p, 13] = (C, cof C, J)``."""
        t = y @ self.arguments().to(y.dtype).T
        s = (t.abs() + self.smooth).sqrt()
        z = self.inputs(self.root.to(y.dtype) * s + (self.linear.to(y.dtype) + self.square * t) * t)
        return convex_value(z, self.core.weights()).view(-1, self.images).mean(1)

    def inputs(self, powers: Tensor) -> Tensor:
        """Return the inputs ``[p·q, k]`` of the core, zero at rest, from the powers ``[p, t]`` of the arguments."""
        if self.summed:
            return powers @ self.sums.to(powers.dtype).T - 1.0
        return powers.reshape(powers.shape[0] * self.images, powers.shape[1] // self.images) - 1.0

    def derivatives(self, y: Tensor, curved: bool) -> tuple[Tensor, Tensor]:
        """Return ``∂W/∂y[p, 13]`` and, if ``curved``, ``∂²W/∂y∂y[p, 13, 13]`` (empty otherwise)."""
        p = y.shape[0]
        M = self.arguments().to(y.dtype)
        root, linear, square = self.root.to(y.dtype), self.linear.to(y.dtype), self.square.to(y.dtype)
        t = y @ M.T
        s = torch.where(root > 0.0, t.abs() + self.smooth, torch.ones_like(t)).sqrt()
        inputs = self.inputs(root * s + (linear + square * t) * t)
        gradient, curvature = convex_derivatives(inputs, self.core.weights(), curved)
        pulled = gradient @ self.sums.to(y.dtype) if self.summed else gradient.reshape(p, M.shape[0]) / self.images
        first = 0.5 * root / s + linear + 2.0 * square * t
        answer = (pulled * first) @ M
        if not curved:
            return answer, curvature
        second = 2.0 * square - 0.25 * root / (s * s * s)
        n = y.shape[1]
        bent = ((pulled * second) @ (M.unsqueeze(2) * M.unsqueeze(1)).reshape(-1, n * n)).view(p, n, n)
        X = first.unsqueeze(2) * M
        if self.summed:
            X = self.sums.to(y.dtype) @ X
            return answer, bent + X.transpose(1, 2) @ (curvature @ X)
        parts = curvature @ X.reshape(p * self.images, -1, n)
        return answer, bent + X.transpose(1, 2) @ (parts.reshape(p, M.shape[0], n) / self.images)


class EnergyNetwork(Network):
    """First Piola–Kirchhoff stress ``y[r, 9]`` at ``x = F − I``, row by row, as the derivative of an energy.

    A subclass makes the branches and says what takes away the stress at rest (:meth:`relief`).
    """

    scaling = "physical"
    identity: Tensor
    squares: Tensor
    products: Tensor
    undeformed: Tensor

    def __init__(self, features: int, outputs: int, config: dict[str, Any], branches: Sequence[nn.Module]):
        if (features, outputs) != (9, 9):
            raise ValueError(f"an energy of F in 3D has features = outputs = 9; got {features} and {outputs}")
        super().__init__(
            features=9, outputs=9, state_sizes={}, strains=9,
            config={"features": features, "outputs": outputs, **config},
        )  # fmt: skip
        self.branches = nn.ModuleList(branches)
        self.growth = nn.Parameter(torch.tensor(-3.0))
        squares, products = _geometry()
        rest = np.concatenate([to_mandel(np.eye(3)), to_mandel(np.eye(3)), [1.0]])
        constants = {
            "identity": np.eye(3).reshape(9),
            "squares": squares,
            "products": products,
            "undeformed": rest[None],
        }
        for name, value in constants.items():
            self.register_buffer(name, torch.tensor(value, dtype=torch.float64), persistent=False)

    @abstractmethod
    def relief(self, stress: Tensor) -> Tensor:
        """Return the coefficients ``[1, 13]`` of a linear, polyconvex term that takes ``stress`` away at rest.

        ``stress[1, 6]`` is ``∂W/∂C`` at rest in Mandel order.
        """

    def relieve_volume(self, stress: Tensor) -> Tensor:
        """Return the relief of a stress that is the same in all directions: a multiple of ``J``."""
        mean = stress[:, :3].mean(1, keepdim=True)
        return torch.cat([torch.zeros(1, 12, dtype=stress.dtype, device=stress.device), -2.0 * mean], 1)

    def at_rest(self) -> Tensor:
        """Return the coefficients ``[1, 13]`` of the linear term that makes the undeformed body free of stress."""
        y = self.undeformed.to(self.growth.dtype)
        slope, _ = self.potential(y, False)
        D = (y[:, :6] @ self.products.to(y.dtype)).view(-1, 6, 6)
        return self.relief(pull(slope, y, D))

    def potential(self, y: Tensor, curved: bool) -> tuple[Tensor, Tensor]:
        """Return first and, if ``curved``, second derivatives by ``y[p, 13]``, without the term of :meth:`at_rest`."""
        J = y[:, 12:]
        c = softplus(self.growth)
        slope = torch.nn.functional.pad(c * (1.0 - 1.0 / J), (12, 0))
        curvature = torch.empty(0, dtype=y.dtype, device=y.device)
        if curved:
            curvature = torch.nn.functional.pad((c / (J * J)).unsqueeze(2), (12, 0, 12, 0))
        for branch in self.branches:
            first, second = branch.derivatives(y, curved)  # type: ignore[operator]
            slope = slope + first
            if curved:
                curvature = curvature + second
        return slope, curvature

    def answer(self, x: Tensor, linear: Tensor, curved: bool) -> tuple[Tensor, Tensor]:
        """Return ``P[p, 9]`` and, if ``curved``, ``∂P/∂F[p, 9, 9]``; ``linear[1, 13]`` is :meth:`at_rest`."""
        p = x.shape[0]
        y, B, D = self.measures(x)
        slope, curvature = self.potential(y, curved)
        slope = slope + linear
        S = pull(slope, y, D)
        P = (S.unsqueeze(1) @ B).squeeze(1)
        if not curved:
            return P, curvature
        K, J, byJ = y[:, 6:12], y[:, 12:], slope[:, 12:]
        H = curvature
        half = K / (2.0 * J)
        Y = torch.cat([torch.eye(6, dtype=x.dtype, device=x.device).expand(p, 6, 6), D, half.unsqueeze(1)], 1)
        by_C = Y.transpose(1, 2) @ (H @ Y)
        by_C = by_C + (slope[:, 6:12] @ self.products.to(x.dtype)).view(p, 6, 6)
        by_C = (
            by_C + (byJ / (2.0 * J)).unsqueeze(2) * D - (byJ / J).unsqueeze(2) * half.unsqueeze(2) * half.unsqueeze(1)
        )
        return P, (S @ self.squares.to(x.dtype).view(6, 81)).view(p, 9, 9) + B.transpose(1, 2) @ (by_C @ B)

    def measures(self, x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Return ``(C, cof C, J)[p, 13]``, ``∂C/∂F[p, 6, 9]`` and ``∂cof C/∂C[p, 6, 6]``; NaN where ``J ≤ 0``."""
        F = x + self.identity.to(x.dtype)
        B = (F @ self.squares.to(x.dtype).view(54, 9).T).view(-1, 6, 9)
        C = 0.5 * (B @ F.unsqueeze(2)).squeeze(2)
        D = (C @ self.products.to(x.dtype)).view(-1, 6, 6)
        K = 0.5 * (D @ C.unsqueeze(2)).squeeze(2)
        a, b, c, d, e, f, g, h, i = F.unbind(1)
        J = a * (e * i - f * h) - b * (d * i - f * g) + c * (d * h - e * g)
        J = torch.where(J > 0.0, J, torch.full_like(J, float("nan")))
        return torch.cat([C, K, J.unsqueeze(1)], 1), B, D

    @torch.jit.unused
    def linearised(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Return ``y[p, 13] = (C, cof C, J)`` and ``∂y/∂F[p, 13, 9]``."""
        y, B, D = self.measures(x)
        half = y[:, 6:12] / (2.0 * y[:, 12:])
        eye = torch.eye(6, dtype=x.dtype, device=x.device).expand(x.shape[0], 6, 6)
        return y, torch.cat([eye, D.transpose(1, 2), half.unsqueeze(1)], 1) @ B

    @torch.jit.export
    def energy(self, x: Tensor) -> Tensor:
        """Return the energy ``[r]`` at ``x[r, 9] = F − I``, zero at rest, in units of the stress scale."""
        y, _, _ = self.measures(x)
        linear, rest = self.at_rest(), self.undeformed.to(x.dtype)
        J = y[:, 12]
        total = softplus(self.growth) * (J - 1.0 - J.log()) + ((y - rest) * linear).sum(1)
        for branch in self.branches:
            total = total + branch.value(y) - branch.value(rest)  # type: ignore[operator]
        return total

    @torch.jit.export
    def step(self, x: Tensor, state: Tensor) -> tuple[Tensor, Tensor]:
        """Return ``y[r, 9]`` and the (empty) state; see :meth:`Network.step`."""
        return self.answer(x, self.at_rest(), False)[0], state

    @torch.jit.export
    def scan(self, x: Tensor) -> Tensor:
        """Return the answers ``y[r, t, 9]`` along ``x[r, t, 9]``: all steps in one batch, for there is no memory."""
        return self.answer(x.reshape(-1, 9), self.at_rest(), False)[0].view(x.shape)

    def step_tangent(self, x: Tensor, state: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Return ``y``, the state and ``dy/dx`` in closed form; see :meth:`Network.step_tangent`."""
        y, slope = self.answer(x, self.at_rest(), True)
        return y, state, slope

    def scan_tangent(self, x: Tensor, moments: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """Return the answers and slopes along ``x[r, t, 9]``; see :meth:`Network.scan_tangent`."""
        wanted = x if moments is None else x[:, moments]
        slope = self.answer(wanted.reshape(-1, 9), self.at_rest(), True)[1]
        return self.scan(x), slope.view(*wanted.shape, 9)

    def at(self, x: Tensor) -> Callable[[], Tensor]:
        """Return a function that gives the answers at the points ``x[p, 9]`` for the weights of the moment.

        For fits on points that stay the same; a subclass may compute here what does not depend on the weights.
        """
        return lambda: self.scan(x.unsqueeze(0))[0]

    def kernel(self, A: Tensor, S: Tensor, block: int) -> Kernel:
        """Return the kernel: see :meth:`Network.kernel`."""
        return EnergyKernel(self, A, S)


class EnergyKernel(Kernel):
    """The closed forms of the network itself, its linear term computed once."""

    linear: Tensor
    A: Tensor
    S: Tensor

    def __init__(self, network: EnergyNetwork, A: Tensor, S: Tensor):
        super().__init__()
        self.network = frozen_copy(network, torch.float64)
        self.register_buffer("linear", self.network.at_rest())
        self.register_buffer("A", A.double())
        self.register_buffer("S", S.double())

    def forward(self, x: Tensor, state: Tensor, stress: Tensor, new_state: Tensor, tangent: Tensor | None) -> None:
        """Write stress and tangent of one block; see :meth:`Kernel.forward`."""
        y, slope = self.network.answer(x[:, :-1], self.linear, tangent is not None)
        torch.mm(y, self.S.T, out=stress)
        new_state.copy_(state)
        if tangent is not None:
            tangent.copy_((self.S @ slope @ self.A).view(-1, 81))


def pull(slope: Tensor, y: Tensor, D: Tensor) -> Tensor:
    """Return ``∂W/∂C[p, 6]`` from the derivatives ``slope[p, 13]`` by ``C``, ``cof C`` and ``J``."""
    through = (D @ slope[:, 6:12].unsqueeze(2)).squeeze(2)
    return slope[:, :6] + through + slope[:, 12:] * y[:, 6:12] / (2.0 * y[:, 12:])


def _geometry() -> tuple[Array, Array]:
    """Return ``∂²C/∂F∂F[6, 9, 9]`` and ``∂²cof C/∂C∂C`` as ``[6, 36]``, C in Mandel order: both are constant."""
    unit = np.eye(9).reshape(9, 3, 3)
    squares = to_mandel(np.einsum("akj,bkl->abjl", unit, unit) + np.einsum("bkj,akl->abjl", unit, unit))
    basis = np.zeros((6, 3, 3))
    root = np.sqrt(0.5)
    for a, (i, j) in enumerate(((0, 0), (1, 1), (2, 2), (1, 2), (0, 2), (0, 1))):
        basis[a, i, j] = basis[a, j, i] = 1.0 if i == j else root
    # cof(A + B) = cof A + A×B + cof B, and A×B = ε ε A B.
    epsilon = np.zeros((3, 3, 3))
    for i, j, k in ((0, 1, 2), (1, 2, 0), (2, 0, 1)):
        epsilon[i, j, k], epsilon[i, k, j] = 1.0, -1.0
    crossed = np.einsum("ijk,lmn,ajm,bkn->abil", epsilon, epsilon, basis, basis)
    products = np.moveaxis(to_mandel(crossed), 2, 0)
    return np.moveaxis(squares, 2, 0), products.reshape(6, 36)

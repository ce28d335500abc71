"""A Gaussian process over energies: stress, tangent and energy of a path-independent law, and how sure it is of them.

The energy ψ(ε) has a squared-exponential covariance around a quadratic one, and what is known of it are its
derivatives, the stresses at N strains (Rasmussen and Williams 2006, doi:10.7551/mitpress/3206.001.0001, chapters 2 and
9.4). The stress is therefore conservative and the tangent symmetric, whatever the data; both have closed forms. The
process is conditioned, not trained: see :func:`pointlaw.training.fit_gaussian_process`.
"""

import torch
from torch import Tensor, nn

from pointlaw.networks.base import Kernel, Network


class GaussianProcess(Network):
    """Posterior of a process whose gradient was observed at ``points`` strains.

    Parameters
    ----------
    features, outputs : int
        Components of strain and stress; the same number m.
    points : int
        Number of observations N.

    Notes
    -----
    The process has no parameters for gradient descent. A fresh one holds random weights, and its prior variance.
    """

    architecture = "gaussian_process"
    scaling = "physical"
    factor: Tensor

    def __init__(self, *, features: int, outputs: int, points: int = 20):
        if features != outputs:
            raise ValueError(
                f"it takes as many features, the strain, as it gives answers; got {features} and {outputs}"
            )
        super().__init__(
            features=features,
            outputs=outputs,
            state_sizes={},
            strains=features,
            config={"features": features, "outputs": outputs, "points": points},
        )
        self.sum = GradientSum(points, features)
        self.register_buffer("factor", torch.zeros(points * features, points * features))

    @torch.no_grad()
    def condition(
        self, x: Tensor, y: Tensor, *, length: Tensor, amplitude: Tensor, noise: Tensor, stiffness: Tensor
    ) -> None:
        """Set the process to what is known once ``y[N, m]`` was observed at the strains ``x[N, m]``.

        ``length[m]`` is the length over which the energy changes in each direction, ``amplitude`` the standard
        deviation of the energy, ``noise[N]`` that of each observation, and ``stiffness[m, m]`` the second derivative of
        the energy that is expected beforehand. Raises ``torch.linalg.LinAlgError`` when the covariance is not positive
        definite: the noise is too small.
        """
        root = torch.linalg.cholesky(gradient_covariance(x, x, length, amplitude) + noisy(noise, x.shape[1]))
        self.factor.copy_(torch.linalg.solve_triangular(root, torch.eye(len(root), dtype=root.dtype), upper=False))
        alpha = torch.cholesky_solve((y - x @ stiffness).reshape(-1, 1), root).reshape(x.shape)
        self.sum.fill(x / length, amplitude**2 * alpha / length, length, amplitude, stiffness)

    @torch.jit.export
    def step(self, x: Tensor, state: Tensor) -> tuple[Tensor, Tensor]:
        """Return the mean of the stress, ``y[r, g]``, and the (empty) state; see :meth:`Network.step`."""
        return self.sum(x), state

    def step_tangent(self, x: Tensor, state: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Return ``y``, the state and ``dy/dx`` in closed form; see :meth:`Network.step_tangent`."""
        return self.sum(x), state, self.sum.slope(x)

    def energy(self, x: Tensor) -> Tensor:
        """Return the energy ``[r]`` whose derivative is the answer, zero at rest."""
        return self.sum.energy(x)

    @torch.jit.export
    def variance(self, x: Tensor) -> Tensor:
        """Return the variance ``[r, g]`` of each component of the answer: zero where it was observed without noise.

        The noise of an observation is not part of it. Far from all data it is ``(amplitude / length)²``.
        """
        m = self.features
        own = (self.sum.amplitude / self.sum.length).square()
        cross = gradient_covariance(x, self.sum.points * self.sum.length, self.sum.length, self.sum.amplitude)
        known = (cross @ self.factor.T).square().sum(1).view(-1, m)
        return (own - known).clamp(min=0.0)

    def kernel(self, A: Tensor, S: Tensor, block: int) -> Kernel:
        """Return the process between strain and stress; see :meth:`Network.kernel`."""
        return GaussianProcessKernel(self, A, S)


class GradientSum(nn.Module):
    """``y = C x + Σₙ kₙ (wₙ − dₙ (dₙ·wₙ)) / L``, less its value at rest, with ``dₙ = x/L − zₙ``, ``kₙ = exp(−dₙ²/2)``.

    Everything is a matrix product over all points: no array ``[r, N, m]`` is made.
    """

    points: Tensor
    length: Tensor
    amplitude: Tensor
    stiffness: Tensor

    def __init__(self, points: int, m: int):
        super().__init__()
        self.m = m
        self.register_buffer("points", torch.randn(points, m))
        self.weights = nn.Parameter(torch.randn(points, m) * points**-0.5, requires_grad=False)
        self.register_buffer("length", torch.ones(m))
        self.register_buffer("amplitude", torch.ones(()))
        self.register_buffer("stiffness", torch.eye(m))

    def fill(self, points: Tensor, weights: Tensor, length: Tensor, amplitude: Tensor, stiffness: Tensor) -> None:
        """Set all numbers; ``points[N, m]`` are strains over the length."""
        for mine, given in (
            (self.points, points), (self.weights, weights), (self.length, length), (self.amplitude, amplitude),
            (self.stiffness, stiffness),
        ):  # fmt: skip
            mine.copy_(given)

    def parts(self, z: Tensor) -> tuple[Tensor, Tensor]:
        """Return ``kₙ`` and ``kₙ dₙ·wₙ``, each ``[r, N]``."""
        square = (z * z).sum(1, keepdim=True) + (self.points * self.points).sum(1) - 2.0 * (z @ self.points.T)
        k = torch.exp(-0.5 * square)
        return k, k * (z @ self.weights.T - (self.points * self.weights).sum(1))

    def forward(self, x: Tensor) -> Tensor:
        """Return ``y[r, m]``."""
        z = torch.cat([x, torch.zeros_like(x[:1]) if len(x) > 0 else torch.zeros(1, self.m).to(x)]) / self.length
        k, v = self.parts(z)
        g = (k @ self.weights - v.sum(1, keepdim=True) * z + v @ self.points) / self.length
        return x @ self.stiffness + (g[:-1] - g[-1:])

    @torch.jit.export
    def slope(self, x: Tensor) -> Tensor:
        """Return ``dy/dx[r, m, m]``, symmetric."""
        m = self.m
        z = x / self.length
        k, v = self.parts(z)
        total = v.sum(1)[:, None, None]
        outer = (self.weights.unsqueeze(2) * self.points.unsqueeze(1)).view(-1, m * m)
        square = (self.points.unsqueeze(2) * self.points.unsqueeze(1)).view(-1, m * m)
        first = (k @ self.weights).unsqueeze(2) * z.unsqueeze(1) - (k @ outer).view(-1, m, m)
        mixed = z.unsqueeze(2) * (v @ self.points).unsqueeze(1)
        second = total * (z.unsqueeze(2) * z.unsqueeze(1)) - mixed - mixed.transpose(1, 2) + (v @ square).view(-1, m, m)
        eye = torch.eye(m, dtype=x.dtype, device=x.device)
        T = second - first - first.transpose(1, 2) - total * eye
        return T / (self.length.unsqueeze(1) * self.length) + self.stiffness

    @torch.jit.export
    def energy(self, x: Tensor) -> Tensor:
        """Return the energy ``[r]``, zero at rest."""
        rest = torch.zeros_like(self.points[:1])
        k, v = self.parts(rest)
        shift = (k @ self.weights + v @ self.points) / self.length  # what forward subtracts
        _, here = self.parts(x / self.length)
        return 0.5 * (x * (x @ self.stiffness)).sum(1) + here.sum(1) - v.sum() - (x @ shift.T)[:, 0]


class GaussianProcessKernel(Kernel):
    """The closed forms between strain and stress."""

    A: Tensor
    S: Tensor

    def __init__(self, network: GaussianProcess, A: Tensor, S: Tensor):
        super().__init__()
        points, m = network.sum.points.shape
        self.sum = GradientSum(points, m).double()
        self.sum.load_state_dict(network.sum.state_dict())
        self.register_buffer("A", A.clone())
        self.register_buffer("S", S.clone())

    def forward(self, x: Tensor, state: Tensor, stress: Tensor, new_state: Tensor, tangent: Tensor | None) -> None:
        """Write stress and tangent of one block; see :meth:`Kernel.forward`."""
        strain = x[:, :-1]
        torch.mm(self.sum(strain), self.S.T, out=stress)
        new_state.copy_(state)
        if tangent is not None:
            tangent.copy_((self.S @ self.sum.slope(strain) @ self.A).flatten(1))


def gradient_covariance(x: Tensor, other: Tensor, length: Tensor, amplitude: Tensor) -> Tensor:
    """Return the prior covariance ``[r·m, N·m]`` of the gradients at ``x[r, m]`` and ``other[N, m]``.

    It is ``s² (δ_ij − d_i d_j) exp(−d²/2) / (L_i L_j)`` with ``d = (x − x′)/L``.
    """
    r, m = x.shape
    d = (x.unsqueeze(1) - other.unsqueeze(0)) / length
    k = amplitude * amplitude * torch.exp(-0.5 * (d * d).sum(2))
    eye = torch.eye(m, dtype=x.dtype, device=x.device)
    blocks = k[:, :, None, None] * (eye - d.unsqueeze(3) * d.unsqueeze(2)) / (length.unsqueeze(1) * length)
    return blocks.transpose(1, 2).reshape(r * m, -1)


def noisy(noise: Tensor, m: int) -> Tensor:
    """Return the diagonal matrix ``[N·m, N·m]`` of the squares of ``noise[N]``."""
    return torch.diag(noise.square().repeat_interleave(m))

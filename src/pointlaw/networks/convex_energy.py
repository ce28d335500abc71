"""A convex energy at small strain: stress as its gradient, for path-independent laws.

The stress is the derivative of a convex function of the strain, so the tangent is symmetric and positive
semi-definite and no closed cycle makes energy. A quadratic part is linear elasticity; softplus layers bend it.
"""

import torch
from torch import Tensor, nn

from pointlaw.networks.base import Kernel, Network, frozen_copy
from pointlaw.networks.convex import ConvexCore, convex_derivatives, convex_value


class ConvexEnergy(Network):
    """Stress ``y[r, m]`` at strain ``x[r, m]`` (Mandel), as the gradient of a convex energy.

    Parameters
    ----------
    features, outputs : int
        Number of components ``m``, twice the same.
    hidden : list of int
        Width of the one or two layers.
    strain_scale : float
        Strain at which the law bends; the core sees the strain over it.
    """

    architecture = "convex_energy"
    scaling = "physical"

    def __init__(self, *, features: int, outputs: int, hidden: list[int] | None = None, strain_scale: float = 0.01):
        if features != outputs:
            raise ValueError(f"stress has as many components as strain; got {outputs} and {features}")
        if not strain_scale > 0.0:
            raise ValueError(f"strain_scale = {strain_scale} must be > 0")
        hidden = list(hidden or [16])
        super().__init__(
            features=features,
            outputs=outputs,
            state_sizes={},
            strains=features,
            config={"features": features, "outputs": outputs, "hidden": hidden, "strain_scale": strain_scale},
        )
        self.strain_scale = strain_scale
        self.core = ConvexCore([False] * features, hidden)
        self.elastic = nn.Parameter(torch.eye(features))

    def answer(self, x: Tensor, curved: bool) -> tuple[Tensor, Tensor]:
        """Return the stress ``[p, m]`` and, if ``curved``, its derivative ``[p, m, m]`` (empty otherwise)."""
        weights = self.core.weights()
        z = x / self.strain_scale
        gradient, curvature = convex_derivatives(z, weights, curved)
        rest, _ = convex_derivatives(torch.zeros_like(z[:1]), weights, False)
        stiffness = self.elastic @ self.elastic.T
        y = gradient - rest.expand_as(gradient) + z @ stiffness
        return y, (curvature + stiffness) / self.strain_scale if curved else curvature

    @torch.jit.export
    def energy(self, x: Tensor) -> Tensor:
        """Return the energy ``[r]`` at ``x[r, m]``, zero at rest, in units of the stress scale."""
        weights = self.core.weights()
        z = x / self.strain_scale
        zero = torch.zeros_like(z[:1])
        rest, _ = convex_derivatives(zero, weights, False)
        bent = convex_value(z, weights) - convex_value(zero, weights) - (z * rest).sum(1)
        return self.strain_scale * (bent + 0.5 * (z @ self.elastic).square().sum(1))

    @torch.jit.export
    def step(self, x: Tensor, state: Tensor) -> tuple[Tensor, Tensor]:
        """Return ``y[r, m]`` and the (empty) state; see :meth:`Network.step`."""
        return self.answer(x, False)[0], state

    @torch.jit.export
    def scan(self, x: Tensor) -> Tensor:
        """Return the answers ``y[r, t, m]``: all steps in one batch, for there is no memory."""
        return self.answer(x.reshape(-1, x.shape[2]), False)[0].view(x.shape)

    def step_tangent(self, x: Tensor, state: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Return ``y``, the state and ``dy/dx`` in closed form; see :meth:`Network.step_tangent`."""
        y, slope = self.answer(x, True)
        return y, state, slope

    def scan_tangent(self, x: Tensor, moments: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """Return the answers and slopes along ``x[r, t, m]``; see :meth:`Network.scan_tangent`."""
        wanted = x if moments is None else x[:, moments]
        slope = self.answer(wanted.reshape(-1, x.shape[2]), True)[1]
        return self.scan(x), slope.view(*wanted.shape, x.shape[2])

    def kernel(self, A: Tensor, S: Tensor, block: int) -> Kernel:
        """Return the kernel: see :meth:`Network.kernel`."""
        return ConvexEnergyKernel(self, A, S)


class ConvexEnergyKernel(Kernel):
    """The closed forms of the network itself, between the scales of the law."""

    A: Tensor
    S: Tensor

    def __init__(self, network: ConvexEnergy, A: Tensor, S: Tensor):
        super().__init__()
        self.network = frozen_copy(network, torch.float64)
        self.register_buffer("A", A.double())
        self.register_buffer("S", S.double())

    def forward(self, x: Tensor, state: Tensor, stress: Tensor, new_state: Tensor, tangent: Tensor | None) -> None:
        """Write stress and tangent of one block; see :meth:`Kernel.forward`."""
        y, slope = self.network.answer(x[:, :-1], tangent is not None)
        torch.mm(y, self.S.T, out=stress)
        new_state.copy_(state)
        if tangent is not None:
            tangent.copy_((self.S @ slope @ self.A).view(tangent.shape))

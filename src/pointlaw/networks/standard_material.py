"""Generalised standard material: a learned free energy and a dissipation that is never negative, by construction.

The idea of thermodynamics-based networks (Masi et al. 2021, doi 10.1016/j.jmps.2020.104277) in the form of the
generalised standard materials of Halphen & Nguyen (1975): stress and driving force are the derivatives of one convex
free energy Ψ(ε, α), written out in closed form, and the internal variables move against their driving force,
``dα = M X dλ`` with ``X = −∂Ψ/∂α`` and a diagonal mobility ``M ≥ 0``. ``λ`` is strain arc length (rate-independent) or
time (viscous).

A sub-step strains the body by one half with ``α`` at rest, relaxes ``α`` at the strain in the middle, and strains it by
the other half. Straining stores the work that it takes, and relaxing, :meth:`StandardMaterial.relax`, never raises the
energy. The first and second law therefore hold for any weights and for steps of any length: nothing about them has to
be learned.
"""

import math
from typing import ClassVar, Literal

import torch
from torch import Tensor, nn

from pointlaw.networks.incremental import Incremental, polar


class StandardMaterial(Incremental):
    """Convex free energy and positive mobility; the answer is the derivative of the energy by strain.

    With ``z = (ε/strain_scale, α)`` the energy is ``strain_scale · [½ |L z|² + Σ c_j (sp(w_j·z + b_j) − tangent at
    0)]``, ``sp`` = softplus, ``c_j ≥ 0``: convex, and zero with zero derivatives at rest.

    Parameters
    ----------
    features, outputs : int
        Number of input features ``f`` and of answers ``g``; the strain has ``outputs`` components. With ``viscous``
        one more feature, the last one, is the length of the time step.
    states : int
        Number of internal variables.
    ridges : int
        Number of softplus ridges of the energy.
    hidden : int
        Width of the hidden layer of the mobility.
    steps : int
        Sub-steps in one step; the error falls with the square of their number.
    strain_scale : float
        Typical strain: the numbers inside are of order one at this strain.
    viscous : bool
        Whether the variables move with time instead of with strain arc length.

    Raises
    ------
    ValueError
        When there are not as many strains as answers: stress and strain must be conjugate.
    """

    architecture = "standard_material"
    stepping: ClassVar[bool] = True
    scaling: ClassVar[Literal["component", "physical"]] = "physical"

    def __init__(
        self,
        *,
        features: int,
        outputs: int,
        states: int = 12,
        ridges: int = 32,
        hidden: int = 32,
        steps: int = 2,
        strain_scale: float = 1.0,
        viscous: bool = False,
    ):
        if features != outputs + int(viscous):
            raise ValueError(
                f"{outputs} stresses belong to {outputs} strains (viscous: and dt), not {features} features"
            )
        if strain_scale <= 0.0:
            raise ValueError(f"strain_scale = {strain_scale} must be > 0: it is a strain that is typical of the paths")
        super().__init__(
            strains=outputs,
            memory={"internal": states},
            features=features,
            outputs=outputs,
            config={
                "features": features,
                "outputs": outputs,
                "states": states,
                "ridges": ridges,
                "hidden": hidden,
                "steps": steps,
                "strain_scale": strain_scale,
                "viscous": viscous,
            },
        )
        self.states, self.hidden, self.steps = states, hidden, steps
        self.strain_scale, self.viscous = strain_scale, viscous
        z = outputs + states
        self.factor = nn.Parameter(torch.eye(z) + 0.1 * torch.randn(z, z))  # L
        self.weight = nn.Parameter(torch.randn(ridges, z))
        self.bias = nn.Parameter(torch.randn(ridges))
        self.curvature = nn.Parameter(torch.full((ridges,), math.log(math.expm1(1.0 / ridges))))  # c before softplus
        self.motion = nn.Linear(outputs, hidden)  # of the strain direction, or with viscous of the strain
        self.strain = nn.Linear(outputs, hidden, bias=False)
        self.recall = nn.Linear(states, hidden, bias=False)
        self.pull = nn.Linear(states, hidden, bias=False)  # of the driving force
        self.mobility = nn.Linear(hidden, states)

    def drive(self, x: Tensor, old: Tensor) -> Tensor:
        """Return old strain, increment (both over ``strain_scale``), direction and length, ``[..., 3 m + 1]``."""
        start = old / self.strain_scale
        increment = x[..., : self.strains] / self.strain_scale - start
        if self.viscous:
            return torch.cat([start, increment, torch.zeros_like(increment), x[..., self.strains :]], -1)
        direction, length = polar(increment)
        return torch.cat([start, increment, direction, length], -1)

    def advance(self, drive: Tensor, memory: Tensor) -> Tensor:
        """Return the new internal variables; see :meth:`Incremental.advance`."""
        return self.flow(drive, memory)[0]

    def flow(self, drive: Tensor, memory: Tensor) -> tuple[Tensor, Tensor]:
        """Return the new internal variables ``[r, h]`` and the dissipation ``[r]`` of the step, over the scales."""
        m = self.strains
        start, increment, direction = drive[:, :m], drive[:, m : 2 * m], drive[:, 2 * m : 3 * m]
        length, pushed, bound = drive[:, 3 * m :] / self.steps, self.motion(direction), self.bound()
        dissipated = torch.zeros_like(drive[:, 0])
        for k in range(self.steps):
            middle = start + ((k + 0.5) / self.steps) * increment
            relaxed = self.relax(middle, pushed, memory, length, bound)
            fall = self.stored(torch.cat([middle, memory], 1)) - self.stored(torch.cat([middle, relaxed], 1))
            memory, dissipated = relaxed, dissipated + fall.clamp_min(0.0)  # below zero by rounding only
        return memory, dissipated

    def relax(self, strain: Tensor, pushed: Tensor, memory: Tensor, length: Tensor, bound: Tensor) -> Tensor:
        """Return the internal variables after ``length[r, 1]`` at a strain that is held, to second order.

        A step ``Δ = M λ (X − B Δ)``, implicit with the largest curvature ``B`` of the energy, leads to the mobility in
        the middle. With that the step is done again, and once more with the force in the middle,
        ``Δ' = M λ (X(α + Δ/2) − B (Δ' − Δ))``. For a convex energy whose curvature is nowhere above ``B`` the energy
        falls for any ``M λ ≥ 0``: with ``K = (M λ)⁻¹ + B`` and ``X(α + Δ/2) = X − H Δ/2`` it changes by at most
        ``Δᵀ (S K⁻¹ S − K) Δ / 2``, where ``S = B − H/2`` is at most ``K``.
        """
        force = self.force(strain, memory)
        share = length * self.mobile(strain, pushed, memory, force)
        middle = memory + 0.5 * _implicit(share, bound, force)
        share = length * self.mobile(strain, pushed, middle, self.force(strain, middle))
        move = _implicit(share, bound, force)
        return memory + _implicit(share, bound, self.force(strain, memory + 0.5 * move) + move @ bound)

    def force(self, strain: Tensor, memory: Tensor) -> Tensor:
        """Return the driving force ``X[r, h]`` = −∂Ψ/∂α, over the scales."""
        return -self.slope(torch.cat([strain, memory], 1))[:, self.strains :]

    def mobile(self, strain: Tensor, pushed: Tensor, memory: Tensor, force: Tensor) -> Tensor:
        """Return the mobility ``M[r, h]`` ≥ 0."""
        signal = (pushed + self.strain(strain) + self.recall(memory) + self.pull(force)).tanh()
        return nn.functional.softplus(self.mobility(signal))

    def bound(self) -> Tensor:
        """Return ``B[h, h]``, of which no second derivative of the energy by ``α`` is larger."""
        factor, weight = self.factor[:, self.strains :], self.weight[:, self.strains :]
        curvature = 0.25 * nn.functional.softplus(self.curvature)  # a sigmoid is nowhere steeper than 1/4
        return factor.T @ factor + (curvature * weight.T) @ weight

    def slope(self, z: Tensor) -> Tensor:
        """Return the derivative ``[r, m + h]`` of the energy by ``z``, over the scales; zero at rest."""
        ridges = torch.sigmoid(z @ self.weight.T + self.bias) - torch.sigmoid(self.bias)
        convex = (ridges * nn.functional.softplus(self.curvature)) @ self.weight
        return (z @ self.factor.T) @ self.factor + convex

    def answer(self, x: Tensor, memory: Tensor) -> Tensor:
        """Return the stress ``y[r, g]`` = ∂Ψ/∂ε; see :meth:`Incremental.answer`."""
        z = torch.cat([x[:, : self.strains] / self.strain_scale, memory], 1)
        return self.slope(z)[:, : self.strains]

    @torch.jit.export
    def energy(self, x: Tensor, state: Tensor) -> Tensor:
        """Return the free energy ``Ψ[r]`` at ``x[r, f]`` and a *new* ``state[r, h]``, unit of y times unit of x."""
        z = torch.cat([x[:, : self.strains] / self.strain_scale, state[:, self.strains :]], 1)
        return self.strain_scale * self.stored(z)

    def stored(self, z: Tensor) -> Tensor:
        """Return the energy ``[r]`` at ``z[r, m + h]``, over the scales; zero at rest."""
        pushed = z @ self.weight.T
        soft = _softplus(pushed + self.bias) - _softplus(self.bias)
        ridges = (soft - torch.sigmoid(self.bias) * pushed) @ nn.functional.softplus(self.curvature)
        return 0.5 * (z @ self.factor.T).square().sum(1) + ridges

    @torch.jit.export
    def dissipation(self, x: Tensor, state: Tensor) -> Tensor:
        """Return the dissipation ``[r]`` ≥ 0 of the step from ``state[r, h]`` to ``x[r, f]``, unit of the energy.

        It is what the energy falls by while ``α`` relaxes, so that the work of the sub-steps is the change of Ψ and the
        dissipation, exactly. The work of a trapezoidal rule on the stresses at the ends of steps differs from it to
        second order.
        """
        drive = self.drive(x, state[:, : self.strains])
        return self.strain_scale * self.flow(drive, state[:, self.strains :])[1]


def _implicit(share: Tensor, bound: Tensor, force: Tensor) -> Tensor:
    """Return the step ``Δ[r, h]`` with ``Δ = share ∘ (force − bound Δ)``."""
    matrix = torch.eye(len(bound), dtype=bound.dtype, device=bound.device) + share.unsqueeze(2) * bound
    return torch.linalg.solve_ex(matrix, share * force)[0]


def _softplus(z: Tensor) -> Tensor:
    """Return ln(1 + eᶻ), whose derivative is the sigmoid to round-off: torch's is a straight line from 20 on."""
    return nn.functional.softplus(z, threshold=40.0)

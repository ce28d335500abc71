"""Slip systems under one stress: a learned yield polytope with hardening, as in a crystal.

All systems see the same stress, and what they slip adds up; elements in parallel, as in
:class:`~pointlaw.networks.physically_recurrent.PhysicallyRecurrent`, see the same strain, and their stresses add up.
With resistances ``g`` the set ``{|Pₖ·σ| ≤ gₖ}`` is a polytope (Bishop & Hill 1951, doi 10.1080/14786444108561385): any
convex yield surface that is symmetric in tension and compression, to the accuracy of the number of its faces. The flow
rule is the power law of crystal plasticity with the length of the strain increment in place of time.
"""

import math

import torch
from torch import Tensor, nn

from pointlaw.networks.base import Kernel, frozen_copy, generator
from pointlaw.networks.slip_flow import SlipPath, advance, fits, native_step, slip, solve, span, stiffness
from pointlaw.networks.stiff_at_rest import StiffAtRest, check_conjugate


class SlipSystems(StiffAtRest):
    """Learned slip systems under one stress.

    Parameters
    ----------
    features, outputs : int
        Components ``m`` of strain and of stress; equal.
    systems : int
        Number of systems ``K``.
    exponent : float
        First value of the exponent n, 1 to 500; training may change it unless ``learn_exponent`` is false.
    learn_exponent : bool
        Whether n is learned.
    own : bool
        Whether every system learns its own resistance and hardening; otherwise all share them.
    seed : int, optional
        Of the first systems; torch's generator if omitted.

    Notes
    -----
    With the stiffness ``C₀ = Uᵀ U``, known or learned, and unit vectors ``Aₖ`` the stress ``σ = Uᵀ t`` follows
    ``Δt = U Δε − Σ Δγₖ Aₖ`` with ``Δγₖ = |U Δε| |τₖ/gₖ|ⁿ sign τₖ`` and ``τₖ = Aₖ·t``, at the end of the step. The
    resistances ``gₖ = g₀ₖ + aₖ`` saturate with the slip that counts for them, ``daₖ = h₀ₖ (1 − aₖ/cₖ) Σ (q + (1 − q)
    δₖⱼ) |dγⱼ|``, integrated exactly, so that they never leave ``[g₀, g₀ + c]``. (The flow rule and the latent ratio q
    are those of Peirce, Asaro & Needleman 1982, doi 10.1016/0001-6160(82)90005-0; there the rate is that of the system
    that slips.) A held strain moves nothing, slip never gives energy back, and the answer does not depend on time. The
    state row holds the old strain, ``t`` (m) and ``a`` (K).
    """

    architecture = "slip_systems"
    scaling = "physical"

    def __init__(
        self,
        *,
        features: int,
        outputs: int,
        systems: int = 16,
        exponent: float = 30.0,
        learn_exponent: bool = True,
        own: bool = True,
        seed: int | None = None,
    ):
        check_conjugate(features, outputs)
        if not 1.0 <= exponent <= STEEPEST:
            raise ValueError(f"exponent = {exponent} must lie between 1 and {STEEPEST:g}")
        config = {
            "features": features, "outputs": outputs, "systems": systems, "exponent": exponent,
            "learn_exponent": learn_exponent, "own": own, "seed": seed,
        }  # fmt: skip
        memory = {"stress": features, "hardening": systems}
        super().__init__(strains=features, memory=memory, features=features, outputs=outputs, config=config)
        self.systems, self.steepest = systems, math.log(STEEPEST)
        rng = generator(seed)
        self.weight = nn.Parameter(torch.randn(systems, features, generator=rng))
        self.add_root()
        # ln of g₀, of c/g₀ and of h₀, then of q and n, which all systems share.
        first = torch.tensor(FIRST).log()[:, None]
        self.log_law = nn.Parameter(first.expand(3, systems if own else 1).clone())
        self.log_latent = nn.Parameter(torch.zeros(()))
        self.log_exponent = nn.Parameter(torch.tensor(math.log(exponent)), requires_grad=learn_exponent)

    def prepare_flow(self, x: Tensor, y: Tensor, root: Tensor) -> None:
        """Set first systems and resistances from the plastic strains of the data; see :meth:`StiffAtRest.prepare_flow`.

        The first systems are directions in which plastic strain grew, each as far as possible from those before it.
        """
        stress = torch.linalg.solve_triangular(root.T, y.double().flatten(0, 1).T, upper=False).T.view_as(y)
        moved = torch.diff(x.double() @ root.T, dim=1)
        plastic = moved - torch.diff(stress, dim=1)
        flows = plastic.square().sum(2) > 0.25 * moved.square().sum(2)
        directions, at = torch.nn.functional.normalize(plastic[flows], dim=1), stress[:, 1:][flows]
        if not len(directions):
            return
        few = torch.linspace(0, len(directions) - 1, min(len(directions), 5000)).long()
        with torch.no_grad():
            self.weight.copy_(spread(directions[few], self.weight.double()))
            A = torch.nn.functional.normalize(self.weight.double(), dim=1)
            typical = float((at[few] @ A.T).abs().amax(1).median())
            self.log_law[0].fill_(math.log(0.8 * typical))

    @torch.jit.export
    def directions(self) -> Tensor:
        """Return the systems ``A[K, m]``, unit vectors in the metric of the elastic energy."""
        return torch.nn.functional.normalize(self.weight, dim=1)

    @torch.jit.export
    def law(self) -> Tensor:
        """Return first resistance, most hardening, first rate, latent ratio and exponent of the systems, ``[5, K]``."""
        log = self.log_law.expand(3, self.systems)
        shared = (
            torch.stack([self.log_latent, self.log_exponent.clamp(0.0, self.steepest)])
            .unsqueeze(1)
            .expand(2, self.systems)
        )
        return torch.cat([log[:1], log[:1] + log[1:2], log[2:], shared]).exp()

    def drive(self, x: Tensor, old: Tensor) -> Tensor:
        """Return the strain increment in energy coordinates, ``[..., m]``."""
        return (x - old) @ self.unit_root().T

    def advance(self, drive: Tensor, memory: Tensor) -> Tensor:
        """Return the new stress and hardening; see :meth:`Incremental.advance`."""
        m = self.strains
        t, a = advance(memory[:, :m], memory[:, m:], drive, self.directions(), self.law())
        return torch.cat([t, a], 1)

    def answer(self, x: Tensor, memory: Tensor) -> Tensor:
        """Return ``y[r, m]``; see :meth:`Incremental.answer`."""
        return memory[:, : self.strains] @ self.unit_root()

    @torch.jit.export
    def scan(self, x: Tensor) -> Tensor:
        """Return the answers ``y[r, t, g]`` along ``x[r, t, f]``, outside of compiled code with a short way back."""
        if not torch.jit.is_scripting():
            return self.adjoint_scan(x)
        return self.plain_scan(x)

    @torch.jit.unused
    def adjoint_scan(self, x: Tensor) -> Tensor:
        """Return the answers; their first derivatives are cheap, there are no second ones."""
        root = self.unit_root()
        increment = torch.diff(x, dim=1, prepend=torch.zeros_like(x[:, :1])) @ root.T
        return SlipPath.apply(increment, self.directions(), self.law()) @ root

    def step_tangent(self, x: Tensor, state: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Return ``y``, the new state and ``dy/dx`` in closed form; see :meth:`Network.step_tangent`."""
        m, root, drive = self.strains, self.unit_root(), self.drive(x, state[:, : self.strains])
        memory = self.advance(drive, state[:, m:])
        old, systems, law = state[:, 2 * m :], self.directions(), self.law()
        slope = stiffness(memory[:, :m], memory[:, m:], old, drive, systems, law)
        return self.answer(x, memory), torch.cat([x, memory], 1), root.T @ slope @ root

    @torch.jit.export
    def energy(self, x: Tensor, state: Tensor) -> Tensor:
        """Return the elastic energy ``[r]`` of the state that goes with ``x[r, m]``; hardening stores nothing."""
        return 0.5 * state[:, self.strains : 2 * self.strains].square().sum(1)

    @torch.jit.export
    def dissipation(self, x: Tensor, state: Tensor) -> Tensor:
        """Return what slip dissipates ``[r]`` in a step to ``x[r, m]`` from ``state``: Σ τ Δγ, never negative."""
        m = self.strains
        drive = self.drive(x, state[:, :m])
        memory = self.advance(drive, state[:, m:])
        t, a, A, law = memory[:, :m], memory[:, m:], self.directions(), self.law()
        return ((t @ A.T) * slip(t, a, state[:, 2 * m :], span(drive), A, law).increment).sum(1)

    def kernel(self, A: Tensor, S: Tensor, block: int) -> Kernel:
        """Return the kernel with the tangent in closed form; see :meth:`Network.kernel`."""
        return SlipKernel(self, A, S)


STEEPEST = 500.0  # largest exponent
FIRST = (0.5, 1.0, 0.02)  # first resistance, most hardening over it, rate of hardening


def spread(candidates: Tensor, first: Tensor) -> Tensor:
    """Return as many of the unit vectors ``candidates[n, m]`` as ``first[k, m]`` has rows, far from each other.

    Each is the one whose largest |cosine| with those before it is smallest; the first is the nearest to ``first[0]``.
    """
    chosen = [candidates[(candidates @ first[0]).abs().argmax()]]
    nearest = (candidates @ chosen[0]).abs()
    while len(chosen) < len(first):
        chosen.append(candidates[nearest.argmin()])
        nearest = torch.maximum(nearest, (candidates @ chosen[-1]).abs())
    return torch.stack(chosen)


class SlipKernel(Kernel):
    """Stress and tangent of one block without a graph."""

    A: Tensor
    systems: Tensor
    law: Tensor
    root: Tensor
    decoder: Tensor
    encoder: Tensor
    fold: Tensor

    def __init__(self, network: SlipSystems, A: Tensor, S: Tensor):
        super().__init__()
        copy = frozen_copy(network, torch.float64)
        self.m, self.k = copy.features, copy.systems
        self.compiled = fits(self.m, self.k)
        root = copy.unit_root()
        self.register_buffer("systems", copy.directions())
        self.register_buffer("law", copy.law())
        self.register_buffer("root", root.clone())
        self.register_buffer("decoder", (S.double() @ root.T).contiguous())
        self.register_buffer("encoder", (root @ A.double()).contiguous())
        # Of row-major S Uᵀ C U A.
        self.register_buffer("fold", torch.kron(self.decoder, self.encoder.T.contiguous()).T.contiguous())

    def forward(self, x: Tensor, state: Tensor, stress: Tensor, new_state: Tensor, tangent: Tensor | None) -> None:
        """Write stress, state and tangent of one block; see :meth:`Kernel.forward`."""
        if not torch.jit.is_scripting():  # noqa: SIM102  (the compiler must see this condition on its own)
            if self.compiled:
                self.native_forward(x, state, stress, new_state, tangent)
                return
        m = self.m
        strain = x.narrow(1, 0, m)
        d = torch.mm(strain - state.narrow(1, 0, m), self.root.T)
        t, a = solve(state.narrow(1, m, m), state.narrow(1, 2 * m, self.k), d, self.systems, self.law)
        if tangent is not None:
            slope = stiffness(t, a, state.narrow(1, 2 * m, self.k), d, self.systems, self.law)
            tangent.view(-1, m, m).copy_(self.decoder @ slope @ self.encoder)
        new_state.narrow(1, 0, m).copy_(strain)
        new_state.narrow(1, m, m).copy_(t)
        new_state.narrow(1, 2 * m, self.k).copy_(a)
        torch.mm(t, self.decoder.T, out=stress)

    @torch.jit.unused
    def native_forward(
        self, x: Tensor, state: Tensor, stress: Tensor, new_state: Tensor, tangent: Tensor | None
    ) -> None:
        """Write the same by compiled code."""
        m, strain = self.m, x[:, : self.m]
        d = torch.mm(strain - state[:, :m], self.root.T)
        slope = None if tangent is None else d.new_empty(len(d), m * m)
        t, a = new_state[:, m : 2 * m], new_state[:, 2 * m :]
        native_step(state[:, m : 2 * m], state[:, 2 * m :], d, self.systems, self.law, t, a, slope)
        new_state[:, :m] = strain
        torch.mm(t, self.decoder.T, out=stress)
        if slope is not None and tangent is not None:
            torch.mm(slope, self.fold, out=tangent)

"""The physically recurrent network as it was published: constitutive laws as neurons, their state as the memory.

Maia, Rocha, Kerfriden & van der Meer (2023, doi 10.1016/j.cma.2022.115755): an encoder gives every material point of
the hidden layer its local strain, each point answers by its own law from its own state, and a decoder with positive
weights adds up the stresses. Which laws, how many points of each and which of their parameters are known is the
configuration; :mod:`~pointlaw.networks.points` holds the laws, and any law of the package is a neuron of the kind
``"material"`` (:class:`~pointlaw.laws.neurons.MaterialNeurons`). The points take steps of backward Euler, so the answer
depends on the step at first order: for plasticity :class:`~pointlaw.networks.physically_recurrent.PhysicallyRecurrent`,
whose elements follow the flow exactly, is the default of this package.
"""

import math
from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from pointlaw.networks.base import Network, generator
from pointlaw.networks.law_points import LawPoints, PointsKernel, step_in_closed_form
from pointlaw.networks.points import POINTS, Points

# Six elastoplastic and two elastic points; all moduli are relative, since the decoder finds the unit of stress.
MIXTURE: tuple[dict[str, Any], ...] = (
    {"kind": "j2", "count": 6, "E": 100.0, "nu": 0.3, "yield_stress": 0.5, "H": 5.0, "learn": ["yield_stress", "H"]},
    {"kind": "elastic", "count": 2, "E": 100.0, "nu": 0.3},
)


class MaterialPoints(Network):
    """Material points between an encoder and a decoder.

    Parameters
    ----------
    features, outputs : int
        ``outputs`` are the components ``m`` of strain and stress (3, 4 or 6, Mandel order); ``features`` as many, or
        one more for the length of the step (training features ``("strain", "dt")``), which rate-dependent points need.
    points : sequence of mapping
        The groups of neurons, each ``{"kind": entry of POINTS, "count": k, …}`` with the parameters of its law;
        ``"learn"`` names those that training may change, ``"own": True`` gives each point its own values.
    steps : int
        Equal sub-steps that the points take in one step; the error of backward Euler falls in proportion.
    tied : bool
        Decoder ``y = Σ wᵢ Aᵢᵀ σᵢ`` of the encoders ``Aᵢ`` with ``wᵢ > 0``: stress power is that of the points, so
        that no energy is created and tangents stay symmetric. Otherwise, as published, ``y = Σ Bᵢ σᵢ`` with all
        entries of ``Bᵢ`` positive.
    spread : float
        Standard deviation of the first encoders about the identity.
    seed : int, optional
        Of the first weights; torch's generator if omitted.

    Notes
    -----
    Answers are stresses in a unit that the first call of :meth:`prepare` finds by least squares and the decoder then
    learns, so only ratios of the stresses among the parameters matter.
    """

    architecture = "material_points"
    scaling = "physical"
    unit: Tensor

    def __init__(
        self,
        *,
        features: int,
        outputs: int,
        points: Sequence[Mapping[str, Any]] = MIXTURE,
        steps: int = 1,
        tied: bool = True,
        spread: float = 0.5,
        seed: int | None = None,
    ):
        if features - outputs not in (0, 1):
            raise ValueError(f"features are the strain, and dt or not; got features={features}, outputs={outputs}")
        if not points:
            raise ValueError("points is empty; at least one group of points is needed")
        groups = [build_points(outputs, group) for group in points]
        if features == outputs and any(group.timed for group in groups):
            raise ValueError("rate-dependent points need the feature dt after the strain: features = outputs + 1")
        memory = {f"points_{i + 1}": g.count * g.memory for i, g in enumerate(groups) if g.memory}
        super().__init__(
            features=features,
            outputs=outputs,
            state_sizes=({"strain": outputs} if steps > 1 else {}) | memory,
            strains=outputs,
            config={
                "features": features,
                "outputs": outputs,
                "points": [dict(group) for group in points],
                "steps": steps,
                "tied": tied,
                "spread": spread,
                "seed": seed,
            },
        )
        self.groups = nn.ModuleList(groups)
        self.counts, self.memories = [g.count for g in groups], [g.memory for g in groups]
        self.closed_form = steps == 1 and any(isinstance(group, LawPoints) for group in groups)
        self.neurons, self.steps, self.tied, self.timed = sum(self.counts), steps, tied, features > outputs
        rng = generator(seed)
        shape = (self.neurons, outputs, outputs)
        self.encoder = nn.Parameter(torch.eye(outputs) + spread * torch.randn(shape, generator=rng))
        if tied:
            weight = torch.full((self.neurons,), -math.log(self.neurons))
        else:
            first = (torch.eye(outputs) + spread * torch.rand(shape, generator=rng) + 0.01) / self.neurons
            weight = first.expm1().log()  # softplus gives it back
        self.weight = nn.Parameter(weight)
        self.register_buffer("unit", torch.zeros(()))  # of the answer over that of the points; zero in a fresh network

    def prepare(self, x: Tensor, y: Tensor, stiffness: Tensor | None) -> None:
        """Fit the unit of stress of a fresh network; see :meth:`Network.prepare`."""
        if self.unit.item():
            return
        with torch.no_grad():
            answer = self.scan(x.to(self.weight.dtype)).to(y.dtype)
            unit = float((answer * y).sum() / answer.square().sum())
            self.unit.fill_(unit if math.isfinite(unit) and unit > 0.0 else 1.0)

    @torch.jit.export
    def step(self, x: Tensor, state: Tensor) -> tuple[Tensor, Tensor]:
        """Return ``y[r, g]`` and the new state; see :meth:`Network.step`."""
        m = self.outputs
        local = self.localise(x[:, :m])
        if self.steps == 1:
            stress, memory = self.march(local, local, state, self.times(x))
            return self.answer(stress), memory
        stress, memory = self.march(self.localise(state[:, :m]), local, state[:, m:], self.times(x))
        return self.answer(stress), torch.cat([x[:, :m], memory], 1)

    @torch.jit.export
    def scan(self, x: Tensor) -> Tensor:
        """Return the answers ``y[r, t, g]`` along ``x[r, t, f]``: once encoded, every group goes its way alone."""
        local, dt = self.localise(x[:, :, : self.outputs]), self.times(x)
        if self.steps > 1:
            old = torch.cat([torch.zeros_like(local[:, :1]), local[:, :-1]], 1)
            parts = [old + (local - old) * (j / self.steps) for j in range(1, self.steps)]
            local = torch.stack(parts + [local], 2).flatten(1, 2)
            dt = (dt / self.steps).repeat_interleave(self.steps, 1)
        first = 0
        stresses: list[Tensor] = []
        for i, group in enumerate(self.groups):
            k = self.counts[i]
            stress = group.scan(local[:, :, first : first + k], dt)  # type: ignore[operator]
            stresses.append(stress[:, self.steps - 1 :: self.steps])
            first = first + k
        return self.answer(torch.cat(stresses, 2))

    def step_tangent(self, x: Tensor, state: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Return ``y``, the new state and ``dy/dx``, of laws in NumPy by their tangents; see the base class."""
        if self.closed_form:
            return step_in_closed_form(self, x, state, by_time=True)
        return super().step_tangent(x, state)

    def kernel(self, A: Tensor, S: Tensor, block: int) -> PointsKernel | None:
        """Return a :class:`PointsKernel` if laws in NumPy are among the points; see :meth:`Network.kernel`."""
        # Features where the length of the step follows the strain are none that training has.
        return PointsKernel(self, A, S) if self.closed_form and not A[self.outputs :].any() else None

    @torch.jit.export
    def times(self, x: Tensor) -> Tensor:
        """Return the length of the step ``[..., 1]`` in the features ``x[..., f]``; zero if they have none."""
        if self.timed:
            return x[..., self.outputs :].clamp_min(0.0)
        return torch.zeros_like(x[..., :1])

    @torch.jit.export
    def localise(self, strain: Tensor) -> Tensor:
        """Return the local strains ``[..., k, m]`` of all points at ``strain[..., m]``."""
        return (strain @ self.encoder.flatten(0, 1).T).unflatten(-1, [self.neurons, self.outputs])

    def march(self, old: Tensor, local: Tensor, memory: Tensor, dt: Tensor) -> tuple[Tensor, Tensor]:
        """Take all points from local strains ``old`` to ``local[r, k, m]``; return their stresses and memory."""
        stress = local
        for j in range(1, self.steps + 1):
            here = local if j == self.steps else old + (local - old) * (j / self.steps)
            stress, memory = self.respond(here, memory, dt / self.steps)
        return stress, memory

    def respond(self, local: Tensor, memory: Tensor, dt: Tensor) -> tuple[Tensor, Tensor]:
        """Return the stresses ``[r, k, m]`` of all points after one sub-step, and their new memory ``[r, h]``."""
        rows, first, begin = local.shape[0], 0, 0
        stresses: list[Tensor] = []
        memories: list[Tensor] = []
        for i, group in enumerate(self.groups):
            k, s = self.counts[i], self.memories[i]
            state = memory[:, begin : begin + k * s].reshape(rows, k, s)
            stress, new = group(local[:, first : first + k], state, dt)
            stresses.append(stress)
            memories.append(new.flatten(1))
            first, begin = first + k, begin + k * s
        return torch.cat(stresses, 1), torch.cat(memories, 1)

    def answer(self, stress: Tensor) -> Tensor:
        """Return ``y[..., m]`` from the stresses ``[..., k, m]`` of all points."""
        return self.share(stress, 0)

    def share(self, stress: Tensor, first: int) -> Tensor:
        """Return what the stresses ``[..., k, m]`` of the points from number ``first`` on add to the answer."""
        unit = torch.where(self.unit > 0.0, self.unit, torch.ones_like(self.unit))
        part = self.decoder()[first : first + stress.shape[-2]]
        return unit * (stress.flatten(-2) @ part.flatten(0, 1))

    @torch.jit.export
    def decoder(self) -> Tensor:
        """Return the share ``[k, m, m]`` of each point's stress in the answer."""
        if self.tied:
            return self.weight.exp().unsqueeze(-1).unsqueeze(-1) * self.encoder
        return torch.nn.functional.softplus(self.weight)


def build_points(size: int, group: Mapping[str, Any]) -> Points:
    """Return the points of one group of the configuration; raise ``ValueError`` for a law that is not known."""
    options = dict(group)
    kind = options.pop("kind", None)
    if kind not in POINTS:
        more = "" if "material" in POINTS else "; import pointlaw.laws for the kind 'material'"
        raise ValueError(
            f"points of kind '{kind}' are unknown; known are {', '.join(POINTS)} (see networks/points.py){more}"
        )
    return POINTS[kind](size=size, **options)

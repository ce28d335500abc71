"""Material points as neurons: constitutive laws in torch, many points in one call, with parameters that may be learned.

Each class here is the neuron of a :class:`~pointlaw.networks.material_points.MaterialPoints`. It advances a batch of
points that know their own state, by the same formulas as the law of the same name in ``pointlaw.materials``. A new
neuron is a subclass of :class:`Points` of a few lines and one line in ``POINTS``::

    class Saturating(Points):
        def __init__(self, *, size, count, S=1.0, e=0.01, **options):
            super().__init__(size=size, count=count, start={"S": S, "e": e}, **options)

        def forward(self, strain: Tensor, state: Tensor, dt: Tensor) -> tuple[Tensor, Tensor]:
            S, e = self.values().unsqueeze(-1).unbind(0)
            return S * torch.tanh(strain / e), state

    POINTS["saturating"] = Saturating

It must be made of what ``torch.jit.script`` compiles; whoever loads a law file with it registers it first. Any law of
``pointlaw.materials`` is a neuron without being written again: :mod:`~pointlaw.networks.law_points`.
"""

import math
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence

import torch
from torch import Tensor, nn

from pointlaw.networks.incremental import polar
from pointlaw.networks.plastic_path import PlasticPath

NEWTON = 8  # steps of a scalar equation without a graph; it is convex, and one step with a graph follows


class Points(nn.Module, ABC):
    """A batch of points of one law.

    Parameters
    ----------
    size : int
        Components ``m`` of strain and stress, in Mandel order: 3 (plane strain), 4 (axisymmetric) or 6.
    count : int
        Number of points ``k``.
    memory : int
        Internal variables ``s`` of one point; all start at zero.
    start : mapping of str to float or sequence of float
        Physical parameters, one value for all points or one for each.
    learn : sequence of str
        Which of them are learned; they keep their sign. The others stay as they are.
    own : bool
        Whether every point learns its own values; otherwise all points share them.

    Notes
    -----
    Raises ``ValueError`` for a parameter that is unknown, starts at zero or is not finite, and for other sizes.
    """

    timed: bool = False  # whether the law asks for the length of the step
    start: Tensor
    learned: Tensor
    unity: Tensor

    def __init__(
        self,
        *,
        size: int,
        count: int,
        start: Mapping[str, float | Sequence[float]],
        memory: int = 0,
        learn: Sequence[str] = (),
        own: bool = False,
    ):
        super().__init__()
        name = type(self).__name__
        if size not in (3, 4, 6) or count < 1:
            raise ValueError(f"{name}: points have 3, 4 or 6 components and are at least one; got {size}, {count}")
        self.size, self.count, self.memory = size, count, memory
        self.full_size = 4 if size == 3 else size
        self.root32, self.newton = math.sqrt(1.5), NEWTON  # the compiler sees no globals
        self.names = list(start)
        rows = [torch.as_tensor(value, dtype=torch.float64).expand(count) for value in start.values()]
        values = torch.stack(rows) if rows else torch.zeros(0, count, dtype=torch.float64)
        if not torch.isfinite(values).all():
            raise ValueError(f"{name}: parameters are finite numbers; got {dict(start)}")
        for key in learn:
            if key not in start:
                raise ValueError(f"{name}: parameter '{key}' is unknown; known are {', '.join(start)}")
            if not values[self.names.index(key)].all():
                raise ValueError(f"{name}: '{key}' is to be learned and starts at zero; start from another value")
        # Exact numbers from the configuration, whatever the precision of the weights was when the network was built.
        self.register_buffer("start", values, persistent=False)
        learned = torch.tensor([float(key in learn) for key in start]).unsqueeze(1)
        self.register_buffer("learned", learned, persistent=False)
        self.log_factor = nn.Parameter(torch.zeros(len(rows), count if own else 1), requires_grad=bool(learn))
        unity = torch.zeros(self.full_size)
        unity[:3] = 1.0
        self.register_buffer("unity", unity, persistent=False)

    def values(self) -> Tensor:
        """Return the physical parameters ``[q, k]``, in the order of ``start``."""
        return self.start.to(self.log_factor.dtype) * (self.learned * self.log_factor).exp()

    @torch.jit.unused
    def physical(self) -> dict[str, list[float]]:
        """Return the parameters by name, a value for each point."""
        return dict(zip(self.names, self.values().detach().tolist(), strict=True))

    def full(self, strain: Tensor) -> Tensor:
        """Return ``strain[r, k, m]`` with all normal components, ``[r, k, d]``; in plane strain ε₃₃ = 0 is put in."""
        if self.size != 3:
            return strain
        return torch.cat([strain[..., :2], torch.zeros_like(strain[..., :1]), strain[..., 2:]], -1)

    def kept(self, stress: Tensor) -> Tensor:
        """Return the components ``[r, k, m]`` that belong to the network's kinematics, of ``stress[r, k, d]``."""
        if self.size != 3:
            return stress
        return torch.cat([stress[..., :2], stress[..., 3:]], -1)

    def split(self, strain: Tensor) -> tuple[Tensor, Tensor]:
        """Return a third of the trace ``[r, k, 1]`` and the deviator ``[r, k, d]`` of ``strain[r, k, d]``."""
        mean = strain[..., :3].mean(-1, keepdim=True)
        return mean, strain - mean * self.unity

    @abstractmethod
    def forward(self, strain: Tensor, state: Tensor, dt: Tensor) -> tuple[Tensor, Tensor]:
        """Return stress ``[r, k, m]`` and new state ``[r, k, s]`` at the end of a step of length ``dt[r, 1]``."""

    @torch.jit.export
    def scan(self, strain: Tensor, dt: Tensor) -> Tensor:
        """Return the stresses ``[r, t, k, m]`` along ``strain[r, t, k, m]`` with steps ``dt[r, t, 1]``, from rest."""
        return self.plain_scan(strain, dt)

    @torch.jit.export
    def plain_scan(self, strain: Tensor, dt: Tensor) -> Tensor:
        """Scan step by step."""
        state = torch.zeros_like(strain[:, 0, :, :1]).expand(-1, -1, self.memory)
        stresses: list[Tensor] = []
        for moment, length in zip(strain.unbind(1), dt.unbind(1)):  # noqa: B905  (the compiler knows no strict)
            stress, state = self(moment, state, length)
            stresses.append(stress)
        return torch.stack(stresses, 1)


class ElasticPoints(Points):
    """Isotropic linear elasticity, parameters ``G`` and ``K`` from Young's modulus and Poisson's ratio."""

    def __init__(self, *, size: int, count: int, E: float, nu: float, learn: Sequence[str] = (), own: bool = False):
        super().__init__(size=size, count=count, start=isotropic(E, nu), learn=learn, own=own)

    @torch.jit.export
    def scan(self, strain: Tensor, dt: Tensor) -> Tensor:
        """Return the stresses of all times at once; see :meth:`Points.scan`."""
        return self(strain, strain, dt)[0]

    def forward(self, strain: Tensor, state: Tensor, dt: Tensor) -> tuple[Tensor, Tensor]:
        """Return the stress; there is no state. See :meth:`Points.forward`."""
        G, K = self.values().unsqueeze(-1).unbind(0)
        mean, deviator = self.split(self.full(strain))
        return self.kept(2.0 * G * deviator + 3.0 * K * mean * self.unity), state


class J2Points(Points):
    """Von Mises plasticity by backward Euler: the radial return of :class:`~pointlaw.materials.j2.J2`.

    The yield stress is ``yield_stress + H p + Q (1 − exp(−b p)) + S ((p + p0)ⁿ − p0ⁿ)`` (linear, Voce, power law), with
    the equivalent plastic strain ``p``. Learnable are these parameters and the moduli ``G`` and ``K``. State: plastic
    strain (d) and p. Simo & Hughes 1998, doi 10.1007/b98904.
    """

    def __init__(
        self, *, size: int, count: int, E: float, nu: float, yield_stress: float, H: float = 0.0, Q: float = 0.0,
        b: float = 0.0, S: float = 0.0, n: float = 0.5, p0: float = 1e-6, learn: Sequence[str] = (), own: bool = False,
    ):  # fmt: skip
        start = isotropic(E, nu) | {"yield_stress": yield_stress, "H": H, "Q": Q, "b": b, "S": S, "n": n, "p0": p0}
        memory = (4 if size == 3 else size) + 1
        super().__init__(size=size, count=count, start=start, memory=memory, learn=learn, own=own)
        self.voce, self.power = bool(self.start[4].any()), bool(self.start[6].any())

    def forward(self, strain: Tensor, state: Tensor, dt: Tensor) -> tuple[Tensor, Tensor]:
        """Return stress and state, whatever ``dt``; see :meth:`Points.forward`."""
        values = self.values()
        G, K = values[0].unsqueeze(-1), values[1].unsqueeze(-1)
        plastic, p = state[..., : self.full_size], state[..., self.full_size]
        mean, deviator = self.split(self.full(strain) - plastic)
        direction, length = polar(2.0 * G * deviator)
        radius = self.hardening(p, values)[0]
        excess = self.root32 * length.squeeze(-1) - radius
        excess = torch.where(excess > self.surface(strain) * radius, excess, torch.zeros_like(excess))
        dp = self.increment(excess, p, radius, values)
        flow = direction * (self.root32 * dp).unsqueeze(-1)
        stress = 2.0 * G * (deviator - flow) + 3.0 * K * mean * self.unity
        return self.kept(stress), torch.cat([plastic + flow, (p + dp).unsqueeze(-1)], -1)

    @torch.jit.export
    def scan(self, strain: Tensor, dt: Tensor) -> Tensor:
        """Return the stresses along paths; outside of compiled code with the adjoint in closed form."""
        if not torch.jit.is_scripting():
            return self.adjoint_scan(strain)
        return self.plain_scan(strain, dt)

    @torch.jit.unused
    def adjoint_scan(self, strain: Tensor) -> Tensor:
        """Return the stresses ``[r, t, k, m]``; their first derivatives are cheap, there are no second ones."""
        values = self.values().expand(-1, self.count)
        mean, deviator = self.split(self.full(strain))
        plastic = PlasticPath.apply(deviator, values, self.hardening, self.surface(strain))
        G, K = values[0].unsqueeze(-1), values[1].unsqueeze(-1)
        return self.kept(2.0 * G * (deviator - plastic) + 3.0 * K * mean * self.unity)

    def surface(self, strain: Tensor) -> float:
        """Return the share of the yield stress that is round-off: what is outside by less stays where it is."""
        return 1e-12 if strain.dtype == torch.float64 else 1e-5

    def increment(self, excess: Tensor, p: Tensor, radius: Tensor, values: Tensor) -> Tensor:
        """Solve ``excess − 3G x − (σ_y(p + x) − σ_y(p)) = 0`` for ``x[r, k]``, with its first and second derivatives.

        For a concave σ_y Newton's method from 0 rises to the root. It runs on constants; a last step of third order
        (Chebyshev's) from the root then carries all derivatives up to the second, however the root was found.
        """
        f, p_, R, v = excess.detach(), p.detach(), radius.detach(), values.detach()
        x = torch.zeros_like(f)
        for _ in range(self.newton):
            level, slope, _curvature = self.hardening(p_ + x, v)
            x = x + (f - 3.0 * v[0] * x - (level - R)) / (3.0 * v[0] + slope)
        level, slope, curvature = self.hardening(p + x, values)
        slope = 3.0 * values[0] + slope
        step = (excess - 3.0 * values[0] * x - (level - radius)) / slope
        # Points that do not yield have a residual of exactly zero there.
        return x + step - curvature / (2.0 * slope) * step.square()

    def hardening(self, p: Tensor, values: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Return the yield stress at ``p[r, k]`` and its first and second derivatives."""
        Y, H, Q, b, S, n, p0 = values[2], values[3], values[4], values[5], values[6], values[7], values[8]
        level, slope, curvature = Y + H * p, H.expand_as(p), torch.zeros_like(p)
        if self.voce:
            fading = Q * (-b * p).exp()
            level, slope, curvature = level + Q - fading, slope + b * fading, curvature - b * b * fading
        if self.power:
            base = p + p0
            power = S * (n * base.log()).exp()
            rise = n * power / base
            level, slope = level + power - S * (n * p0.log()).exp(), slope + rise
            curvature = curvature + (n - 1.0) * rise / base
        return level, slope, curvature


class MaxwellPoints(Points):
    """Viscoelasticity with one relaxation time: the generalised Maxwell solid with one deviatoric branch.

    ``G(t) = G (1 − g (1 − exp(−t/tau)))``, exact for a strain that is linear in time within the step; learnable are
    ``G``, ``K``, ``g`` and ``tau``. ``tau`` has the unit of the network's feature dt, which is the mean step of the
    training data. State: strain (m) and overstress (d). Taylor, Pister & Goudreau 1970, doi 10.1002/nme.1620020106.
    """

    timed = True

    def __init__(
        self, *, size: int, count: int, E: float, nu: float, g: float | Sequence[float], tau: float | Sequence[float],
        learn: Sequence[str] = (), own: bool = False,
    ):  # fmt: skip
        memory = size + (4 if size == 3 else size)
        start = {**isotropic(E, nu), "g": g, "tau": tau}
        super().__init__(size=size, count=count, start=start, memory=memory, learn=learn, own=own)

    def forward(self, strain: Tensor, state: Tensor, dt: Tensor) -> tuple[Tensor, Tensor]:
        """Return stress and state; see :meth:`Points.forward`."""
        G, K, g, tau = self.values().unsqueeze(-1).unbind(0)
        z = dt.unsqueeze(-1) / tau
        # Mean of exp(−s/tau) over the step; by its series where the quotient has no derivative.
        short = z < 1e-3
        safe = torch.where(short, torch.ones_like(z), z)
        series = 1.0 - z / 2.0 * (1.0 - z / 3.0 * (1.0 - z / 4.0 * (1.0 - z / 5.0)))
        left = torch.where(short, series, -torch.expm1(-safe) / safe)
        mean, deviator = self.split(self.full(strain))
        _, step = self.split(self.full(strain - state[..., : self.size]))
        over = (-z).exp() * state[..., self.size :] + left * (2.0 * G * g) * step
        stress = 2.0 * G * (1.0 - g) * deviator + over + 3.0 * K * mean * self.unity
        return self.kept(stress), torch.cat([strain, over], -1)


class PerzynaPoints(Points):
    """Viscoplastic flow ``dp/dt = ⟨(q − yield_stress − H p)/drag⟩ⁿ`` by backward Euler, n at least 1.

    The same update as :class:`~pointlaw.materials.perzyna.Perzyna`; ``drag`` is the overstress at a strain rate of 1
    per unit of the feature dt (the mean step of the training data). Learnable are all parameters, the moduli as ``G``
    and ``K``. State: plastic strain (d) and p. Perzyna 1966, doi 10.1016/S0065-2156(08)70009-7.
    """

    timed = True

    def __init__(
        self, *, size: int, count: int, E: float, nu: float, drag: float, n: float, yield_stress: float = 0.0,
        H: float = 0.0, learn: Sequence[str] = (), own: bool = False,
    ):  # fmt: skip
        start = isotropic(E, nu) | {"yield_stress": yield_stress, "H": H, "drag": drag, "n": n}
        memory = (4 if size == 3 else size) + 1
        super().__init__(size=size, count=count, start=start, memory=memory, learn=learn, own=own)

    def forward(self, strain: Tensor, state: Tensor, dt: Tensor) -> tuple[Tensor, Tensor]:
        """Return stress and state; see :meth:`Points.forward`."""
        G, K, Y, H, drag, n = self.values().unbind(0)
        plastic, p = state[..., : self.full_size], state[..., self.full_size]
        mean, deviator = self.split(self.full(strain) - plastic)
        direction, length = polar(2.0 * G.unsqueeze(-1) * deviator)
        excess = self.root32 * length.squeeze(-1) - Y - H * p
        flowing = excess > 0.0
        excess = torch.where(flowing, excess, drag.expand_as(excess))
        stiff = 3.0 * G + H
        dp = torch.where(flowing, (excess - self.overstress(excess, stiff * dt, drag, n)) / stiff, 0.0 * excess)
        flow = direction * (self.root32 * dp).unsqueeze(-1)
        stress = 2.0 * G.unsqueeze(-1) * (deviator - flow) + 3.0 * K.unsqueeze(-1) * mean * self.unity
        return self.kept(stress), torch.cat([plastic + flow, (p + dp).unsqueeze(-1)], -1)

    def overstress(self, excess: Tensor, c: Tensor, drag: Tensor, n: Tensor) -> Tensor:
        """Solve ``x + c (x/drag)ⁿ = excess`` for ``x[r, k]``; the derivatives as in :meth:`J2Points.increment`."""
        f, c_, d_, n_ = excess.detach(), c.detach(), drag.detach(), n.detach()
        # Each term on the left alone bounds the root from above, and from there Newton falls onto it.
        x = torch.minimum(f, d_ * (f / (c_ + 1e-30)).pow(1.0 / n_))
        for _ in range(self.newton):
            power = c_ * (x / d_).pow(n_)
            x = x - (x + power - f) / (1.0 + n_ * power / x)
        power = c * (x / drag).pow(n)
        slope = 1.0 + n * power / x
        step = (x + power - excess) / slope
        return x - step - n * (n - 1.0) * power / x.square() / (2.0 * slope) * step.square()


def isotropic(E: float, nu: float) -> dict[str, float | Sequence[float]]:
    """Return shear and bulk modulus ``G`` and ``K``; raise ``ValueError`` where they would not be positive."""
    if not (E > 0.0 and -1.0 < nu < 0.5):
        raise ValueError(f"elastic constants are E > 0 and -1 < nu < 0.5; got E={E}, nu={nu}")
    return {"G": E / (2.0 * (1.0 + nu)), "K": E / (3.0 * (1.0 - 2.0 * nu))}


# Every law that a neuron may have: the configuration of a network names them.
POINTS: dict[str, type[Points]] = {
    "elastic": ElasticPoints,
    "j2": J2Points,
    "maxwell": MaxwellPoints,
    "perzyna": PerzynaPoints,
}

"""Internal-variable neural ODE: a network is the rate of the internal variables.

The classical theory of internal variables (Coleman & Gurtin 1967, doi 10.1063/1.1711937) with a network as evolution
law (Jones, Frankel & Johnson 2022, arXiv:2111.14714; Chen et al. 2018, arXiv:1806.07366). Rate-independent:
``dα = W(ε, α, n) dε − r(ε, α, n) ∘ α |dε|`` with the direction ``n`` of the strain increment and ``r > 0``, so that a
held strain moves nothing and the tangent at the start of a step is defined. Viscous: ``dα = (f(ε, α, dε/dt) − r ∘ α)
dt``. ``W``, ``f`` and ``r`` are frozen a few times in a step and the equation is solved exactly in between, so that the
variables fade and stay bounded for steps of any length; step sizes agree to fourth order of the sub-steps.
"""

from typing import ClassVar

import torch
from torch import Tensor, nn

from pointlaw.networks.base import Head
from pointlaw.networks.incremental import Incremental, polar


class NeuralODE(Incremental):
    """Internal variables with a learned rate under a linear head.

    Parameters
    ----------
    features, outputs : int
        Number of input features ``f`` and of answers ``g``. All features are strain; with ``viscous`` the last one is
        the length of the time step.
    states : int
        Number of internal variables.
    hidden : int
        Width of the hidden layers.
    layers : int
        Number of hidden layers, at least one.
    steps : int
        Sub-steps of the fourth-order rule in one step.
    viscous : bool
        Whether the variables move with time instead of with the strain.
    """

    architecture = "neural_ode"
    stepping: ClassVar[bool] = True

    def __init__(
        self,
        *,
        features: int,
        outputs: int,
        states: int = 12,
        hidden: int = 48,
        layers: int = 1,
        steps: int = 1,
        viscous: bool = False,
    ):
        strains = features - 1 if viscous else features
        super().__init__(
            strains=strains,
            memory={"internal": states},
            features=features,
            outputs=outputs,
            config={
                "features": features,
                "outputs": outputs,
                "states": states,
                "hidden": hidden,
                "layers": layers,
                "steps": steps,
                "viscous": viscous,
            },
        )
        self.states, self.hidden, self.steps, self.viscous = states, hidden, steps, viscous
        self.strain = nn.Linear(strains, hidden, bias=False)
        self.motion = nn.Linear(strains, hidden)  # of the direction, or of the strain rate
        self.recall = nn.Linear(states, hidden, bias=False)
        self.layers = nn.ModuleList([nn.Linear(hidden, hidden) for _ in range(layers - 1)])
        self.rate = nn.Linear(hidden, states * (1 if viscous else strains))  # f or W
        self.fading = nn.Linear(hidden, states)  # r before softplus
        self.head = Head(states, strains, outputs, prior=True, bias=False)

    def drive(self, x: Tensor, old: Tensor) -> Tensor:
        """Return the first layer's share at the old strain and of the increment, length or dt, and the increment."""
        increment = x[..., : self.strains] - old
        if self.viscous:
            motion, span = increment / x[..., self.strains :], x[..., self.strains :]
        else:
            motion, span = polar(increment)
        start = self.strain(old) + self.motion(motion)
        return torch.cat([start, self.strain(increment), span, increment], -1)

    def advance(self, drive: Tensor, memory: Tensor) -> Tensor:
        """Return the new internal variables; see :meth:`Incremental.advance`.

        The rule is the commutator-free one of fourth order (Celledoni, Marthinsen & Owren 2003, doi
        10.1016/S0167-739X(02)00161-9): the Runge–Kutta stages, each reached by an exact flow.
        """
        H = self.hidden
        start, change, move = drive[:, :H], drive[:, H : 2 * H], drive[:, 2 * H :] / self.steps
        for k in range(self.steps):
            middle = start + ((k + 0.5) / self.steps) * change
            first = self.flow(start + (k / self.steps) * change, move, memory)
            near = relax(memory, 0.5 * first, first)
            second = self.flow(middle, move, near)
            third = self.flow(middle, move, relax(memory, 0.5 * second, second))
            far = relax(near, third - 0.5 * first, third)
            fourth = self.flow(start + ((k + 1) / self.steps) * change, move, far)
            half, turn = (first + 2.0 * (second + third) + fourth) / 12.0, (first - fourth) / 6.0
            memory = relax(relax(memory, half + turn, half), half - turn, half)
        return memory

    def flow(self, driven: Tensor, move: Tensor, memory: Tensor) -> Tensor:
        """Return what a sub-step adds to the variables and the share of them that it takes, ``[r, 2 h]``.

        ``move[r, 1 + m]`` is ``|dε|`` or dt, and dε.
        """
        signal, span = self.signal(driven + self.recall(memory)), move[:, :1]
        loss = span * nn.functional.softplus(self.fading(signal))
        if self.viscous:
            # At rest, zero strain and zero rate, the variables stay zero.
            return torch.cat([span * (self.rate(signal) - self.rate(self.signal(self.motion.bias))), loss], 1)
        W = self.rate(signal).unflatten(1, [self.states, self.strains])
        return torch.cat([(W @ move[:, 1:].unsqueeze(2)).squeeze(2), loss], 1)

    def signal(self, pushed: Tensor) -> Tensor:
        """Return the last hidden layer ``[..., H]`` from the argument of the first."""
        signal = pushed.tanh()
        for layer in self.layers:
            signal = layer(signal).tanh()
        return signal

    def answer(self, x: Tensor, memory: Tensor) -> Tensor:
        """Return ``y[r, g]``, linear in strain and internal variables; see :meth:`Incremental.answer`."""
        return self.head(memory, x[:, : self.strains])


def relax(memory: Tensor, flow: Tensor, typical: Tensor) -> Tensor:
    """Return ``memory[r, h]`` after unit time of ``dα/ds = gain − loss ∘ α``, exactly; a flow is ``[gain, loss]``.

    Differences of flows are flows in short steps. In long ones their loss might be negative, and the variables grow;
    it is held above a tenth of that of ``typical``.
    """
    h = memory.shape[1]
    loss = torch.maximum(flow[:, h:], 0.1 * typical[:, h:])
    # The quotient is 1 below to round-off, but has no value, or slopes that overflow.
    some = loss.clamp_min(1e-10 if loss.dtype == torch.float32 else 1e-30)
    return memory - torch.expm1(-some) / some * (flow[:, :h] - loss * memory)

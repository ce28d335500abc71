"""Internal-variable neural ODE: a network is the rate of the internal variables.

The classical theory of internal variables (Coleman & Gurtin 1967, doi 10.1063/1.1711937) with a network as evolution
law (Jones, Frankel & Johnson 2022, arXiv:2111.14714; Chen et al. 2018, arXiv:1806.07366). Rate-independent:
``dα = W(ε, α, n) dε − r(ε, α, n) ∘ α |dε|`` with the direction ``n`` of the strain increment and ``r > 0``, so that a
held strain moves nothing, the tangent at the start of a step is defined and the memory stays bounded. Viscous:
``dα = (f(ε, α, dε/dt) − r ∘ α) dt``. The classical Runge–Kutta rule in equal sub-steps integrates both; step sizes
agree to its fourth order.
"""

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
        Sub-steps of the Runge–Kutta rule in one step.
    viscous : bool
        Whether the variables move with time instead of with the strain.
    """

    architecture = "neural_ode"

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
        """Return the new internal variables; see :meth:`Incremental.advance`."""
        H = self.hidden
        start, change, move = drive[:, :H], drive[:, H : 2 * H], drive[:, 2 * H :] / self.steps
        for k in range(self.steps):
            first = self.slope(start + (k / self.steps) * change, move, memory)
            middle = start + ((k + 0.5) / self.steps) * change
            second = self.slope(middle, move, memory + 0.5 * first)
            third = self.slope(middle, move, memory + 0.5 * second)
            fourth = self.slope(start + ((k + 1) / self.steps) * change, move, memory + third)
            memory = memory + (first + 2.0 * (second + third) + fourth) / 6.0
        return memory

    def slope(self, driven: Tensor, move: Tensor, memory: Tensor) -> Tensor:
        """Return the rate of the variables times the sub-step, ``[r, h]``.

        ``move[r, 1 + m]`` is ``|dε|`` or dt, and dε.
        """
        signal, span = self.signal(driven + self.recall(memory)), move[:, :1]
        faded = span * (nn.functional.softplus(self.fading(signal)) * memory)
        if self.viscous:
            # At rest, zero strain and zero rate, the variables stay zero.
            return span * (self.rate(signal) - self.rate(self.signal(self.motion.bias))) - faded
        W = self.rate(signal).unflatten(1, [self.states, self.strains])
        return (W @ move[:, 1:].unsqueeze(2)).squeeze(2) - faded

    def signal(self, pushed: Tensor) -> Tensor:
        """Return the last hidden layer ``[..., H]`` from the argument of the first."""
        signal = pushed.tanh()
        for layer in self.layers:
            signal = layer(signal).tanh()
        return signal

    def answer(self, x: Tensor, memory: Tensor) -> Tensor:
        """Return ``y[r, g]``, linear in strain and internal variables; see :meth:`Incremental.answer`."""
        return self.head(memory, x[:, : self.strains])

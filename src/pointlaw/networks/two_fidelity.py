"""Two networks in one: the answer of a cheap teacher and what a dear one adds to it.

Many paths of a coarse volume element teach the first network, a few of the fine one a correction that sees the
strain and the first answer (Kennedy and O'Hagan 2000, doi:10.1093/biomet/87.1.1, with networks as by Meng and
Karniadakis 2020, doi:10.1016/j.jcp.2019.109020). The pair is one network, and so goes into one law file.
"""

from typing import Any

import torch
from torch import Tensor

from pointlaw.errors import InputError
from pointlaw.networks.base import Network


class TwoFidelity(Network):
    """``y = y_low(x) + y_high(x, y_low)``, each part with its own memory.

    Parameters
    ----------
    features, outputs : int
        Number of input features ``f`` and of answers ``g``.
    low, high : dict
        ``{"architecture": …, "config": …}`` of the parts, their sizes left out: ``low`` takes ``f`` features, ``high``
        takes ``f + g``. GRU of 32 by default.
    """

    architecture = "two_fidelity"

    def __init__(
        self, *, features: int, outputs: int, low: dict[str, Any] | None = None, high: dict[str, Any] | None = None
    ):
        from pointlaw.networks import build  # the list of all networks holds this one, too

        parts = [_part(part, size, outputs) for part, size in ((low, features), (high, features + outputs))]
        networks = [build(part["architecture"], part["config"]) for part in parts]
        sizes = {
            f"{name}_{key}": size
            for name, network in zip(("low", "high"), networks, strict=True)
            for key, size in network.state_sizes.items()
        }
        if any(network.scaling != "component" for network in networks):
            raise InputError("The parts of a two-fidelity network have scales for each component; take recurrent ones.")
        config = {"features": features, "outputs": outputs, "low": parts[0], "high": parts[1]}
        super().__init__(
            features=features, outputs=outputs, state_sizes=sizes, config=config, strains=networks[0].strains
        )
        self.low, self.high = networks
        self.low_size = networks[0].state_size

    @classmethod
    def correct(cls, low: Network, *, architecture: str = "gru", **config: Any) -> "TwoFidelity":
        """Return the trained network ``low`` with a correction on top that is zero as yet.

        ``architecture`` and ``config`` say what the correction is; its sizes follow.
        """
        parts = {
            "low": {"architecture": low.architecture, "config": low.config},
            "high": {"architecture": architecture, "config": config},
        }
        network = cls(features=low.features, outputs=low.outputs, **parts)
        network.low.load_state_dict(low.state_dict())
        head = getattr(network.high, "head", None)
        if head is not None:
            with torch.no_grad():
                head.weight.zero_()
                head.prior.zero_()
        return network

    @torch.jit.export
    def initial_state(self, rows: int) -> Tensor:
        """Return the state ``[rows, h]`` of a virgin point."""
        return torch.cat([self.low.initial_state(rows), self.high.initial_state(rows)], 1)

    @torch.jit.export
    def step(self, x: Tensor, state: Tensor) -> tuple[Tensor, Tensor]:
        """Return ``y[r, g]`` and the new state; see :meth:`Network.step`."""
        first, low = self.low.step(x, state[:, : self.low_size])
        more, high = self.high.step(torch.cat([x, first], 1), state[:, self.low_size :])
        return first + more, torch.cat([low, high], 1)

    @torch.jit.export
    def scan(self, x: Tensor) -> Tensor:
        """Return the answers ``y[r, t, g]`` along ``x[r, t, f]``; see :meth:`Network.scan`."""
        first = self.low.scan(x)
        return first + self.high.scan(torch.cat([x, first], 2))

    def step_tangent(self, x: Tensor, state: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Return ``y``, the new state and ``dy/dx`` by the chain rule; see :meth:`Network.step_tangent`."""
        first, low, slope = self.low.step_tangent(x, state[:, : self.low_size])
        more, high, inner = self.high.step_tangent(torch.cat([x, first], 1), state[:, self.low_size :])
        own, through = inner[:, :, : self.features], inner[:, :, self.features :]
        return first + more, torch.cat([low, high], 1), slope + own + through @ slope


def _part(part: dict[str, Any] | None, features: int, outputs: int) -> dict[str, Any]:
    """Return the description of one part with its sizes filled in."""
    named = {"architecture": "gru", "config": {"hidden": 32}, **(part or {})}
    return {**named, "config": {**named["config"], "features": features, "outputs": outputs}}

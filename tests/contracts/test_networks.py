"""Every network of the package keeps the contract; a new one is found here through ``NETWORKS``."""

import pytest
import torch
from torch import Tensor

from pointlaw.networks import (
    GRU,
    LSTM,
    NETWORKS,
    ConvexEnergy,
    EnergyNetwork,
    FeedForward,
    MaterialPoints,
    MinimalState,
    Network,
    NeuralODE,
    PlasticElements,
    StandardMaterial,
)
from pointlaw.testing import check_network

ELASTIC = {"count": 2, "E": 2.0, "nu": 0.3}
RATES = [
    {"kind": "maxwell", "g": 0.5, "tau": [0.3, 3.0], "learn": ["tau"], "own": True, **ELASTIC},
    {"kind": "perzyna", "drag": 1.0, "n": 3.0, "yield_stress": 0.2, "H": 0.1, **ELASTIC},
]
HARDENING = [{"kind": "j2", "yield_stress": 0.5, "Q": 0.3, "b": 4.0, "S": 0.5, "n": 0.4, "learn": ["n"], **ELASTIC}]
VARIANTS = [
    pytest.param(LSTM, {"layers": 2}, id="lstm, 2 layers"),
    pytest.param(LSTM, {"layers": 3, "rest": False, "prior": False}, id="lstm, 3 layers with all biases"),
    pytest.param(GRU, {"layers": 2}, id="gru, 2 layers"),
    pytest.param(GRU, {"rest": False, "prior": False}, id="gru with all biases"),
    pytest.param(FeedForward, {"hidden": [9]}, id="feed-forward, 1 layer"),
    pytest.param(FeedForward, {"hidden": [9, 8, 7], "rest": False}, id="feed-forward, 3 layers with bias"),
    pytest.param(MinimalState, {"layers": 1, "steps": 3}, id="minimal state cell, 3 sub-steps"),
    pytest.param(ConvexEnergy, {"hidden": [6, 5], "strain_scale": 1.0}, id="convex energy, 2 layers"),
    pytest.param(NeuralODE, {"layers": 2, "steps": 2}, id="neural ode, 2 layers, 2 sub-steps"),
    pytest.param(NeuralODE, {"viscous": True}, id="neural ode, viscous"),
    pytest.param(PlasticElements, {"size": 1}, id="scalar plastic elements"),
    pytest.param(PlasticElements, {"size": 2, "hardening": False}, id="plastic elements without hardening"),
    pytest.param(MaterialPoints, {"points": RATES, "steps": 2}, id="material points, viscous, 2 sub-steps"),
    pytest.param(MaterialPoints, {"points": HARDENING, "tied": False}, id="material points, positive decoder"),
    pytest.param(StandardMaterial, {"viscous": True, "strain_scale": 0.05}, id="standard material, viscous"),
]
# Stress and strain that are conjugate have equally many components; others are asked with more features.
CONJUGATE = {
    "convex_energy",
    "gaussian_process",
    "material_points",
    "physically_recurrent",
    "slip_systems",
    "standard_material",
}


@pytest.mark.parametrize("architecture", sorted(NETWORKS))
def test_network_of_the_list_keeps_the_contract(architecture: str) -> None:
    torch.manual_seed(0)
    network = _fresh(architecture, features=3 if architecture in CONJUGATE else 5)
    assert network.architecture == architecture
    check_network(network, amplitude=0.1 if isinstance(network, EnergyNetwork) else 1.0).raise_if_failed()


def _fresh(architecture: str, *, features: int) -> Network:
    """Return a network with 3 answers; an energy of ``F`` in 3D has 9 features and 9 answers."""
    kind = NETWORKS[architecture]
    return kind() if issubclass(kind, EnergyNetwork) else kind(features=features, outputs=3)


@pytest.mark.parametrize(("network", "config"), VARIANTS)
def test_variant_keeps_the_contract(network: type[Network], config: dict) -> None:
    torch.manual_seed(1)
    config = config if network in (MaterialPoints, PlasticElements) else {"hidden": 12, **config}
    outputs = 4 if network is ConvexEnergy else 3
    check_network(network(features=4, outputs=outputs, **config)).raise_if_failed()


@pytest.mark.parametrize("architecture", sorted(NETWORKS))
def test_network_at_rest_stays_at_zero_for_ever(architecture: str) -> None:
    torch.manual_seed(2)
    network = _fresh(architecture, features=3).double()
    answer = network.scan(torch.zeros(2, 20, network.features, dtype=torch.float64))
    # Recurrent networks have zero as a fixed point; those without memory subtract two numbers that are equal up to the
    # rounding of a product of matrices, which may go by the number of its rows.
    others = ("convex_energy", "feedforward", "gaussian_process")
    subtracts = isinstance(network, EnergyNetwork) or architecture in others
    scale = 1.0
    if isinstance(network, EnergyNetwork):  # the numbers are slopes of the energy, as large as its stiffness
        zero = torch.zeros(1, 9, dtype=torch.float64)
        scale = max(1.0, float(network.step_tangent(zero, zero[:, :0])[2].detach().abs().max()))
    assert answer.abs().max() <= (1e-14 * scale if subtracts else 0.0)


class Broken(LSTM):
    """An LSTM with one defect at a time."""

    def __init__(self, *, defect: str = "", **named):
        super().__init__(**named)
        self.defect = defect

    @property
    def config(self):
        return {**super().config, "defect": self.defect}

    @torch.jit.export
    def step(self, x: Tensor, state: Tensor) -> tuple[Tensor, Tensor]:
        y = self.head(x @ torch.ones(x.shape[1], self.hidden, dtype=x.dtype), x)
        if self.defect == "rows":
            y = y + x.mean()
        if self.defect == "memory":
            state.add_(1.0)
        return y, state + x.sum(1, keepdim=True)


@pytest.mark.parametrize(
    ("defect", "found"),
    [("rows", "row independence"), ("memory", "purity"), ("tangent", "tangent"), ("kernel", "kernel: answer")],
)
def test_a_broken_network_is_found(defect: str, found: str) -> None:
    report = check_network(Broken(features=3, outputs=3, hidden=4, defect=defect))
    assert found in [verdict.name for verdict in report.failures]

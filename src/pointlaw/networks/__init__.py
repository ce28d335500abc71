"""Networks in torch: one architecture per file, one line in ``NETWORKS``."""

from typing import Any

from pointlaw.errors import InputError
from pointlaw.networks.arguments import check_features
from pointlaw.networks.base import Kernel, Network, autodiff_tangent, frozen_copy, load_script, script
from pointlaw.networks.convex_energy import ConvexEnergy
from pointlaw.networks.energy import EnergyNetwork
from pointlaw.networks.energy_cubic import EnergyCubic
from pointlaw.networks.energy_isotropic import EnergyIsotropic
from pointlaw.networks.energy_symmetrised import EnergySymmetrised
from pointlaw.networks.energy_transverse import EnergyTransverse
from pointlaw.networks.feedforward import FeedForward
from pointlaw.networks.gaussian_process import GaussianProcess
from pointlaw.networks.gru import GRU
from pointlaw.networks.lstm import LSTM
from pointlaw.networks.material_points import MaterialPoints
from pointlaw.networks.minimal_state import MinimalState
from pointlaw.networks.neural_ode import NeuralODE
from pointlaw.networks.physically_recurrent import PhysicallyRecurrent
from pointlaw.networks.plastic_elements import PlasticElements
from pointlaw.networks.slip_systems import SlipSystems
from pointlaw.networks.standard_material import StandardMaterial
from pointlaw.networks.two_fidelity import TwoFidelity

# Every architecture that a law file may name: the contract tests loop over this list.
NETWORKS: dict[str, type[Network]] = {
    "convex_energy": ConvexEnergy,
    "energy_cubic": EnergyCubic,
    "energy_isotropic": EnergyIsotropic,
    "energy_symmetrised": EnergySymmetrised,
    "energy_transverse": EnergyTransverse,
    "feedforward": FeedForward,
    "gaussian_process": GaussianProcess,
    "gru": GRU,
    "lstm": LSTM,
    "material_points": MaterialPoints,
    "minimal_state": MinimalState,
    "neural_ode": NeuralODE,
    "physically_recurrent": PhysicallyRecurrent,
    "plastic_elements": PlasticElements,
    "slip_systems": SlipSystems,
    "standard_material": StandardMaterial,
    "two_fidelity": TwoFidelity,
}


def network_class(architecture: str) -> type[Network]:
    """Return the class of the named ``architecture``; raises ``InputError`` when the name is unknown."""
    if not isinstance(architecture, str) or architecture not in NETWORKS:
        raise InputError(
            f"The architecture '{architecture}' is unknown; known are {', '.join(NETWORKS)}. A network of your own is "
            f"made known by NETWORKS['{architecture}'] = its class, for the commands in a file: pointlaw --with FILE."
        )
    return NETWORKS[architecture]


def build(architecture: str, config: dict[str, Any]) -> Network:
    """Return a fresh network of the named ``architecture``.

    Raises ``InputError`` when the name is unknown or the configuration does not fit.
    """
    kind = network_class(architecture)
    try:
        return kind(**config)
    except (TypeError, ValueError, IndexError, RuntimeError) as error:
        raise InputError(f"The configuration {config} does not build a network '{architecture}': {error}") from error


__all__ = [
    "GRU",
    "LSTM",
    "NETWORKS",
    "ConvexEnergy",
    "EnergyCubic",
    "EnergyIsotropic",
    "EnergyNetwork",
    "EnergySymmetrised",
    "EnergyTransverse",
    "FeedForward",
    "GaussianProcess",
    "Kernel",
    "MaterialPoints",
    "MinimalState",
    "Network",
    "NeuralODE",
    "PhysicallyRecurrent",
    "PlasticElements",
    "SlipSystems",
    "StandardMaterial",
    "TwoFidelity",
    "autodiff_tangent",
    "build",
    "check_features",
    "frozen_copy",
    "load_script",
    "network_class",
    "script",
]

"""One small law for all tests of the room: an LSTM that has seen a few paths of J2 plasticity."""

import numpy as np
import pytest
import torch

from pointlaw.data import Dataset, Scaling, sample
from pointlaw.laws import LearnedMaterial, make_law
from pointlaw.materials import J2, PlaneStrain
from pointlaw.networks import LSTM
from pointlaw.paths import gaussian_process
from pointlaw.tensors import PLANE_STRAIN


@pytest.fixture(scope="session")
def paths() -> tuple[Dataset, Dataset]:
    """Twelve training and five kept-back paths of a steel in plane strain."""
    path = gaussian_process(17, seed=0, steps=8, bound=0.01, kinematics=PLANE_STRAIN)
    data = sample(PlaneStrain(J2(E=210e3, nu=0.3, yield_stress=250.0, H=2000.0)), path)
    return data.subset(slice(0, 12)), data.subset(slice(12, 17))


@pytest.fixture(scope="session")
def law(paths: tuple[Dataset, Dataset]) -> LearnedMaterial:
    """An untrained network with the card of a trained one: what is tested here does not depend on accuracy."""
    torch.manual_seed(0)
    training, kept_back = paths
    network = LSTM(features=3, outputs=3, hidden=8)
    with torch.no_grad():
        network.head.prior.copy_(torch.eye(3))
    return make_law(network, Scaling.fit(training), name="small", training=training, kept_back=kept_back, seed=0)


@pytest.fixture
def rng() -> np.random.Generator:
    return np.random.default_rng(0)

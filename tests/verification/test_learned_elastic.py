"""A network trained on linear elasticity gives back the elastic constants (Hooke's law in closed form)."""

import numpy as np
import pytest
import torch

from pointlaw.data import sample
from pointlaw.laws import LearnedMaterial, load_law, make_law, save_law
from pointlaw.materials import LinearElastic
from pointlaw.networks import GRU, LSTM, FeedForward, Network
from pointlaw.paths import LoadPath, drive, gaussian_process
from pointlaw.training import TrainConfig, fit

E, NU = 210e3, 0.3


@pytest.fixture(scope="module", params=[LSTM, GRU, FeedForward], ids=["lstm", "gru", "feedforward"])
def law(request, tmp_path_factory) -> LearnedMaterial:
    kind: type[Network] = request.param
    torch.manual_seed(0)
    data = sample(LinearElastic(E, NU), gaussian_process(40, seed=0, steps=8, bound=0.01))
    network = kind(features=6, outputs=6, hidden=[8] if kind is FeedForward else 8)
    training, kept_back = data.split(0.8, 0.2)
    report = fit(network, training, TrainConfig(epochs=15, batch=16, learning_rate=1e-3, tangent_weight=0.3))
    path = tmp_path_factory.mktemp("law") / "elastic.safetensors"
    made = make_law(report.network, report.scaling, name="elastic", training=training, kept_back=kept_back)
    save_law(path, made)
    return load_law(path)


def test_stress_of_unseen_paths_is_met(law) -> None:
    assert law.card.figures.error_95 < 0.01


def test_the_tangent_is_the_stiffness_everywhere_along_a_path(law) -> None:
    stiffness = LinearElastic(E, NU).stiffness
    state = law.initial_state(1)
    for strain in gaussian_process(1, seed=99, steps=8, bound=0.008).strain[0]:
        answer = law.update(strain[None], state, 1.0)
        assert np.linalg.norm(answer.tangent[0] - stiffness) < 0.02 * np.linalg.norm(stiffness)
        state = answer.state


def test_a_tension_test_measures_youngs_modulus_and_poissons_ratio(law) -> None:
    target = np.zeros((5, 6))
    target[:, 0] = np.linspace(0.0, 0.005, 5)
    record = drive(law, LoadPath(np.linspace(0.0, 1.0, 5), target, [False, True, True, True, True, True]))
    strain, stress = record.strain[0, -1], record.stress[0, -1]
    assert stress[0] / strain[0] == pytest.approx(E, rel=0.01)
    assert -strain[1] / strain[0] == pytest.approx(NU, rel=0.02)
    assert -strain[2] / strain[0] == pytest.approx(NU, rel=0.02)

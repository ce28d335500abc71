"""A law answers along a path what its network answered in training, whatever the kinematics and the features."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from pointlaw.data import Dataset, DatasetCard, Feature, Scaling, feature_map, respond
from pointlaw.errors import InputError
from pointlaw.laws import LearnedMaterial, check_apart
from pointlaw.laws.card import Envelope
from pointlaw.networks import NETWORKS, build
from pointlaw.tensors import FINITE_PLANE_STRAIN, FINITE_STRAIN_3D, PLANE_STRAIN, SMALL_STRAIN_3D, Kinematics

STRAIN, RATE, ALL = ("strain",), ("strain", "dt"), ("strain", "increment", "dt")
FREE = ("lstm", "gru", "feedforward")  # networks that take any features
ENERGIES = tuple(name for name in NETWORKS if name.startswith("energy_"))
SMALL: dict[str, dict] = {"gaussian_process": {"points": 5}, "standard_material": {"states": 3, "ridges": 4}}
VISCOUS = ("neural_ode", "standard_material")
CASES = [
    *((name, kinematics, STRAIN) for kinematics in (PLANE_STRAIN, SMALL_STRAIN_3D, FINITE_PLANE_STRAIN)
      for name in NETWORKS if name not in ENERGIES),
    *((name, FINITE_STRAIN_3D, STRAIN) for name in NETWORKS if name != "material_points"),
    *((name, kinematics, ALL) for kinematics in (PLANE_STRAIN, FINITE_PLANE_STRAIN)
      for name in (*FREE, "two_fidelity")),
    *((name, FINITE_PLANE_STRAIN, RATE) for name in (*FREE, *VISCOUS, "material_points")),
]  # fmt: skip


def walks(kinematics: Kinematics) -> Dataset:
    rng = np.random.default_rng(0)
    gradient = 0.02 * rng.normal(size=(4, 5, kinematics.size)).cumsum(1)
    gradient = np.concatenate([np.zeros_like(gradient[:, :1]), gradient], 1)
    card = DatasetCard(kinematics=kinematics.name)
    strain = kinematics.reference + gradient
    return Dataset(time=np.linspace(0.0, 2.0, 6), strain=strain, stress=70.0 * gradient, card=card)


def behind(
    law: LearnedMaterial, name: str, kinematics: Kinematics, features: tuple[Feature, ...], **settings
) -> LearnedMaterial:
    """A network with random weights behind the card of the small law."""
    torch.manual_seed(1)
    data, m = walks(kinematics), kinematics.size
    size = sum(1 if feature == "dt" else m for feature in features)
    network = build(name, {"features": size, "outputs": m, **SMALL.get(name, {}), **settings}).double()
    changes = {
        "kinematics": kinematics.name, "architecture": name, "config": network.config, "features": features,
        "scaling": Scaling.fit(data, network.scaling), "envelope": Envelope.of(data), "precision": "float64",
    }  # fmt: skip
    return LearnedMaterial(network, law.card.model_copy(update=changes))


@pytest.mark.parametrize(("name", "kinematics", "features"), CASES, ids=str)
def test_a_law_answers_as_its_network_in_training(law, name, kinematics, features) -> None:
    settings = {"viscous": True} if name in VISCOUS and features == RATE else {}
    own, data = behind(law, name, kinematics, features, **settings), walks(kinematics)
    x = torch.tensor(feature_map(features, own.card.scaling).of(data))
    with torch.no_grad():
        trained = own.card.scaling.undo(own.network.scan(x).numpy())
    found = respond(own, data.time, data.strain).stress[:, 1:]
    np.testing.assert_allclose(found, trained, rtol=0, atol=1e-9 * np.abs(trained).max())


@pytest.mark.parametrize(
    ("name", "features", "sentence"),
    [
        ("minimal_state", RATE, "reads its first 4 features as strains; of the features \\(strain, dt\\) 3 are"),
        ("neural_ode", RATE, "settings with which it depends on the rate"),
        ("minimal_state", ("strain", "increment"), "the features \\(strain, increment\\) are others"),
        ("physically_recurrent", ("increment",), "moves with the strain itself"),
        ("material_points", ("increment",), "moves with the strain itself"),
        ("convex_energy", ("increment",), "moves with the strain itself"),
    ],
)
def test_features_that_a_network_cannot_read_are_refused(law, name, features, sentence) -> None:
    with pytest.raises(InputError, match=sentence):
        behind(law, name, PLANE_STRAIN, features)


@pytest.mark.parametrize("name", ["minimal_state", "neural_ode", "standard_material", "plastic_elements"])
def test_an_increment_far_beyond_those_of_the_training_is_out_of_range(law, name) -> None:
    """Unless the network is exact along it. The strains themselves are within the box."""
    own = wide(behind(law, name, FINITE_PLANE_STRAIN, STRAIN))
    first = own.kinematics.reference + np.array([[0.3, -0.2, 0.1, 0.0]])
    moves = np.array([[0.0, 0.0, 3.9, 0.0], [0.0, -4.1, 0.0, 0.0], [np.nan, 0.0, 0.0, 0.0]])
    state = np.tile(own.update(first, own.initial_state(1), 0.1).state, (3, 1))
    answer = own.update(first + moves * own.card.envelope.step_max, state, 0.1)
    assert answer.status.tolist() == [1, int(name == "plastic_elements"), -1]
    assert own.outside == int(name != "plastic_elements")


@pytest.mark.parametrize(("name", "features"), [("neural_ode", RATE), ("gru", RATE), ("gru", STRAIN)])
def test_a_time_step_far_beyond_those_of_the_training_is_out_of_range_for_a_law_that_sees_it(
    law, name, features
) -> None:
    own = wide(behind(law, name, PLANE_STRAIN, features, **({"viscous": True} if name in VISCOUS else {})))
    state, longest = own.initial_state(2), own.card.envelope.dt_max
    for factor, expected in ((3.9, 1), (4.1, int(features == STRAIN))):
        assert own.update(np.zeros((2, 3)), state, factor * longest).status.tolist() == [expected, expected]


def wide(law: LearnedMaterial) -> LearnedMaterial:
    """Return the law with a strain box that nothing leaves."""
    box = {"strain_min": [-9.0] * law.kinematics.size, "strain_max": [9.0] * law.kinematics.size}
    envelope = law.card.envelope.model_copy(update=box)
    return LearnedMaterial(law.network, law.card.model_copy(update={"envelope": envelope}))


def test_kept_back_paths_are_those_a_law_can_tell_from_its_training(paths) -> None:
    """The same strains at another rate are unseen by a law that sees the steps, and seen by one that does not."""
    training, _ = paths
    twice = replace(training, time=2.0 * training.time)
    check_apart(training, twice, ("strain", "dt"))
    with pytest.raises(InputError, match="12 of 12 kept-back paths are training paths"):
        check_apart(training, twice, ("strain",))
    with pytest.raises(InputError, match="1 of 2 kept-back paths"):
        check_apart(training.subset([0, 1]), replace(training, time=training.time + 3.0).subset([1, 2]), RATE)

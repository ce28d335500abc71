import inspect

import pytest
import torch

from pointlaw.errors import InputError
from pointlaw.networks import LSTM, NETWORKS, StandardMaterial, build, script


def test_a_network_is_built_from_its_name_and_configuration() -> None:
    network = LSTM(features=3, outputs=2, hidden=5, layers=2, rest=False)
    again = build(network.architecture, network.config)
    assert isinstance(again, LSTM)
    assert again.config == network.config
    assert {name: value.shape for name, value in again.state_dict().items()} == {
        name: value.shape for name, value in network.state_dict().items()
    }


def test_unknown_names_and_configurations_get_a_sentence() -> None:
    with pytest.raises(InputError, match="'rnn' is unknown; known are"):
        build("rnn", {})
    with pytest.raises(InputError, match="does not build a network 'lstm'"):
        build("lstm", {"features": 3, "neurons": 5})
    with pytest.raises(InputError, match="does not build"):
        build("lstm", {"features": -3, "outputs": 2})


def test_the_parts_of_the_state_have_names() -> None:
    sizes = LSTM(features=3, outputs=3, hidden=5, layers=2).state_sizes
    assert sizes == {"hidden_1": 5, "cell_1": 5, "hidden_2": 5, "cell_2": 5}


def test_the_first_state_has_the_type_of_the_weights() -> None:
    network = LSTM(features=3, outputs=3, hidden=5)
    assert network.initial_state(2).dtype == torch.float32
    assert network.double().initial_state(2).dtype == torch.float64
    assert script(network).initial_state(4).shape == (4, 10)


def _settings(kind: type) -> list:
    """Names of the settings of every network that are declared as ``kind``, with None or without."""
    return [
        pytest.param(name, key, id=f"{name} {key}")
        for name, network in NETWORKS.items()
        for key, parameter in inspect.signature(network.__init__).parameters.items()
        if parameter.annotation in (kind, kind | None) and key != "seed"
    ]


def _refused(name: str, key: str, value: object, what: str) -> None:
    sizes = {} if name.startswith("energy") else {"features": 3, "outputs": 3}
    with pytest.raises(InputError) as caught:
        build(name, {**sizes, key: value})
    assert f"The network '{name}' got {key} = {value!r}; {key} is {what}" in str(caught.value)


@pytest.mark.parametrize(("name", "key"), _settings(int))
def test_every_number_of_things_is_whole_and_at_least_one(name: str, key: str) -> None:
    for value in (0, -1, "x", 2.5, True):
        _refused(name, key, value, "a whole number of at least 1.")


@pytest.mark.parametrize(("name", "key"), _settings(list[int]))
def test_every_list_of_widths_has_a_width_and_none_below_one(name: str, key: str) -> None:
    for value in ([], [0], [8, -1], ["x"], 8, "8"):
        _refused(name, key, value, "a list of whole numbers of at least 1, such as [32, 32].")


@pytest.mark.parametrize(("name", "key"), _settings(float))
def test_every_real_number_is_finite(name: str, key: str) -> None:
    for value in (float("nan"), float("inf"), "x", True):
        _refused(name, key, value, "a finite number.")


@pytest.mark.parametrize(("name", "key"), _settings(bool))
def test_every_switch_is_true_or_false(name: str, key: str) -> None:
    for value in ("no", 0):
        _refused(name, key, value, "true or false.")


def test_the_constructor_refuses_what_build_refuses() -> None:
    with pytest.raises(InputError, match="'lstm' got layers = 0; layers is a whole number of at least 1"):
        LSTM(features=3, outputs=3, layers=0)


@pytest.mark.parametrize("scale", [0, -0.01])
def test_a_strain_scale_that_would_give_nan_is_refused(scale: float) -> None:
    with pytest.raises(ValueError, match=r"strain_scale = .* must be > 0"):
        StandardMaterial(features=3, outputs=3, strain_scale=scale)
    with pytest.raises(InputError, match=r"'standard_material': strain_scale = .* must be > 0"):
        build("standard_material", {"features": 3, "outputs": 3, "strain_scale": scale})


class Lagged(LSTM):
    """A network of one's own: it may have a setting that is 0."""

    def __init__(self, *, features: int, outputs: int, lag: int = 0, window: int | None = None):
        super().__init__(features=features, outputs=outputs)


def test_a_setting_of_ones_own_that_may_be_zero_is_left_alone() -> None:
    assert Lagged(features=3, outputs=3, lag=0, window=0).features == 3
    assert Lagged(features=3, outputs=3, lag=-2, window=None).features == 3
    with pytest.raises(InputError, match="lag is a whole number"):
        Lagged(features=3, outputs=3, lag=0.5)


class Elsewhere(LSTM):
    """It declares a type that exists for its editor only."""

    def __init__(self, *, features: int, outputs: int, place: "Unknown" = 0):  # noqa: F821
        super().__init__(features=features, outputs=outputs)


def test_a_network_whose_types_cannot_be_known_is_not_checked() -> None:
    assert Elsewhere(features=3, outputs=3, place="here").features == 3

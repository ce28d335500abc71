import pytest
import torch

from pointlaw.errors import InputError
from pointlaw.networks import LSTM, build, script


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

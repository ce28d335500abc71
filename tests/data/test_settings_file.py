"""Settings in Python and in files: what is wrong with them is one sentence."""

import pickle

import pydantic
import pytest

from pointlaw.data import Settings, Units, read_settings
from pointlaw.errors import InputError


class Oven(Settings):
    degrees: float = pydantic.Field(default=180.0, gt=0.0)


class Kitchen(Settings):
    cook: str
    oven: Oven = Oven()


@pytest.mark.parametrize(
    ("values", "sentence"),
    [
        ({}, "Kitchen: 'cook' is missing."),
        ({"cok": "me"}, "Kitchen: 'cok' is not a known entry; check the spelling."),
        ({"cook": 3}, "Kitchen: cook = 3: Input should be a valid string."),
        ({"cook": "me", "oven": {"degrees": -1}}, "Kitchen: oven.degrees = -1: Input should be greater than 0."),
    ],
)
def test_a_setting_that_cannot_be_used_is_named_in_one_sentence(values, sentence) -> None:
    with pytest.raises(InputError) as raised:
        Kitchen(**values)
    assert str(raised.value) == sentence


def test_units_are_settings_too() -> None:
    with pytest.raises(InputError, match="Units: 'stres' is not a known entry"):
        Units(stres="MPa")


def test_a_file_says_the_same_after_its_name(tmp_path) -> None:
    path = tmp_path / "kitchen.toml"
    path.write_text('cook = "me"\n[oven]\ndegrees = -1\n', encoding="utf-8")
    with pytest.raises(InputError) as raised:
        read_settings(path, Kitchen)
    assert str(raised.value) == f"{path}: oven.degrees = -1: Input should be greater than 0."


def test_settings_are_compared_and_pickled_by_value() -> None:
    kitchen = Kitchen(cook="me", oven={"degrees": 200})
    assert kitchen == Kitchen(cook="me", oven=Oven(degrees=200)) == pickle.loads(pickle.dumps(kitchen))
    assert kitchen != Kitchen(cook="me")

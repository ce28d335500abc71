"""The settings of a training say in a sentence what cannot be used."""

import pytest

from pointlaw.errors import InputError
from pointlaw.training import Range, ReptileConfig, TrainConfig


@pytest.mark.parametrize(
    ("make", "sentence"),
    [
        (lambda: TrainConfig(epochs=0), "TrainConfig: epochs = 0: Input should be greater than or equal to 1."),
        (lambda: TrainConfig(epoch=3), "TrainConfig: 'epoch' is not a known entry; check the spelling."),
        (lambda: TrainConfig(clip=float("nan")), "TrainConfig: clip = nan: Input should be a finite number."),
        (lambda: ReptileConfig(outer_rate=2), "ReptileConfig: outer_rate = 2: Input should be less than or equal to 1"),
        (lambda: Range(low=2, high=1), "Range: low must be below high"),
    ],
)
def test_a_setting_that_cannot_be_used_is_named_in_one_sentence(make, sentence) -> None:
    with pytest.raises(InputError) as raised:
        make()
    assert str(raised.value).startswith(sentence)
    assert "\n" not in str(raised.value)

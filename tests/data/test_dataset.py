from dataclasses import replace

import numpy as np
import pydantic
import pytest

from pointlaw.data import Dataset, DatasetCard, merge
from pointlaw.errors import InputError


def test_times_of_one_path_are_repeated_for_all(dataset) -> None:
    assert dataset.time.shape == (10, 5)
    assert (dataset.paths, dataset.times) == (10, 5)


def test_split_deals_every_path_once_and_the_same_way_for_the_same_seed(dataset) -> None:
    parts = dataset.split(0.6, 0.2, 0.2, seed=3)
    assert [part.paths for part in parts] == [6, 2, 2]
    dealt = np.concatenate([part.strain for part in parts])
    assert {path.tobytes() for path in dealt} == {path.tobytes() for path in dataset.strain}
    np.testing.assert_array_equal(dealt, np.concatenate([part.strain for part in dataset.split(0.6, 0.2, 0.2, seed=3)]))
    assert not np.array_equal(dealt, np.concatenate([part.strain for part in dataset.split(0.6, 0.2, 0.2, seed=4)]))


@pytest.mark.parametrize("fractions", [(), (0.5, 0.6), (0.0, 1.0), (-0.5,), (0.96, 0.04)])
def test_a_split_that_cannot_be_dealt_is_refused(dataset, fractions: tuple[float, ...]) -> None:
    with pytest.raises(InputError, match="split"):
        dataset.split(*fractions)


def test_merge_undoes_subset(dataset) -> None:
    joined = merge([dataset.subset([0, 1, 2]), dataset.subset(slice(3, None))])
    assert joined.sha256 == dataset.sha256


def test_merge_keeps_what_every_part_has_and_all_seeds(dataset) -> None:
    other = replace(dataset, energy=None, card=dataset.card.model_copy(update={"seeds": [7]}))
    joined = merge([dataset, other])
    assert joined.energy is None
    assert joined.tangent is not None
    assert joined.card.seeds == [0, 7]


@pytest.mark.parametrize(("factor", "kept"), [(1.0 + 1e-11, True), (1.0 + 1e-7, False), (None, False)])
def test_merge_keeps_a_stiffness_that_all_parts_have(dataset, factor: float | None, kept: bool) -> None:
    C = 3.0 * np.eye(dataset.kinematics.size)
    first, second = (
        replace(dataset, card=dataset.card.model_copy(update={"stiffness": None if f is None else (f * C).tolist()}))
        for f in (1.0, factor)
    )
    assert merge([first, second]).card.stiffness == (C.tolist() if kept else None)
    assert merge([second, first]).card.stiffness == (second.card.stiffness if kept else None)


@pytest.mark.parametrize("change", [{"teacher": "wall"}, {"kinematics": "plane_stress"}])
def test_merge_refuses_what_does_not_belong_together(dataset, change: dict) -> None:
    with pytest.raises(InputError, match=next(iter(change))):
        merge([dataset, replace(dataset, card=dataset.card.model_copy(update=change))])


def test_merge_refuses_nothing_and_paths_of_other_length(dataset) -> None:
    with pytest.raises(InputError, match="empty"):
        merge([])
    short = Dataset(dataset.time[:, :3], dataset.strain[:, :3], dataset.stress[:, :3], dataset.card)
    with pytest.raises(InputError, match="3 times"):
        merge([dataset, short])


@pytest.mark.parametrize("name", ["strain", "stress", "tangent", "energy"])
def test_the_hash_sees_one_changed_number(dataset, name: str) -> None:
    array = getattr(dataset, name).copy()
    array[3, 2] = np.nextafter(array[3, 2], np.inf)
    assert replace(dataset, **{name: array}).sha256 != dataset.sha256


@pytest.mark.parametrize("name", ["strain", "stress", "tangent", "dissipation"])
def test_nan_is_refused_and_the_path_is_named(dataset, name: str) -> None:
    array = getattr(dataset, name).copy()
    array[7] = np.nan
    with pytest.raises(InputError, match=rf"{name} is not finite in 1 of 10 paths \(first: path 7\)"):
        replace(dataset, **{name: array})


@pytest.mark.parametrize(
    ("name", "shape"),
    [("strain", (10, 5, 6)), ("strain", (10, 3)), ("stress", (10, 4, 3)), ("tangent", (10, 5, 3)), ("time", (4,))],
)
def test_wrong_shapes_are_refused(dataset, name: str, shape: tuple[int, ...]) -> None:
    with pytest.raises(InputError, match="shape"):
        replace(dataset, **{name: np.ones(shape)})


def test_times_that_stand_still_are_refused(dataset) -> None:
    time = dataset.time.copy()
    time[2, 3] = time[2, 2]
    with pytest.raises(InputError, match="path 2 do not increase"):
        replace(dataset, time=time)


def test_unknown_kinematics_are_refused() -> None:
    with pytest.raises(pydantic.ValidationError, match="'plane' is unknown"):
        DatasetCard(kinematics="plane")

from dataclasses import replace

import numpy as np
import pydantic
import pytest

from pointlaw.data import Dataset, DatasetCard, Scaling, feature_map
from pointlaw.errors import InputError


def test_scaled_numbers_are_of_order_one_and_come_back(dataset) -> None:
    scaling = Scaling.fit(dataset)
    scaled = scaling.apply(dataset.stress)
    np.testing.assert_allclose(np.sqrt((scaled[:, 1:] ** 2).mean(axis=(0, 1))), 1.0, rtol=1e-12)
    np.testing.assert_allclose(scaling.undo(scaled), dataset.stress, rtol=1e-14)


def test_zero_strain_has_zero_features_at_finite_strain_too() -> None:
    F = np.tile(np.eye(3).ravel(), (2, 3, 1)) + np.random.default_rng(0).normal(0, 0.1, (2, 3, 9))
    scaling = Scaling.fit(Dataset(np.arange(3.0), F, F, DatasetCard(kinematics="finite_strain_3d")))
    features = feature_map(("strain",), scaling)
    identity = np.eye(3).ravel()
    np.testing.assert_allclose(features.apply(identity, identity, np.array(1.0)), 0.0, atol=1e-15)


def test_a_component_that_is_never_strained_does_not_blow_up(dataset) -> None:
    strain, stress = dataset.strain.copy(), dataset.stress.copy()
    strain[..., 2] = stress[..., 2] = 0.0
    scaling = Scaling.fit(replace(dataset, strain=strain, stress=stress))
    assert scaling.strain[2] == max(scaling.strain[:2])


def test_features_are_the_affine_map_that_they_say(dataset) -> None:
    scaling = Scaling.fit(dataset)
    features = feature_map(("strain", "increment", "dt"), scaling)
    x = features.of(dataset)
    assert x.shape == (10, 4, 7)
    np.testing.assert_allclose(x[..., :3], dataset.strain[:, 1:] / scaling.strain, rtol=1e-12)
    increments = np.diff(dataset.strain, axis=1) / scaling.increment
    np.testing.assert_allclose(x[..., 3:6], increments, rtol=1e-9, atol=1e-12)
    np.testing.assert_allclose(x[..., 6], 1.0, rtol=1e-12)
    assert features.needs_old_strain
    assert not feature_map(("strain",), scaling).needs_old_strain


@pytest.mark.parametrize("names", [(), ("dt",), ("strain", "strain"), ("stress",)])
def test_unusable_features_are_refused(dataset, names: tuple[str, ...]) -> None:
    with pytest.raises(InputError, match="Features are a choice"):
        feature_map(names, Scaling.fit(dataset))


@pytest.mark.parametrize("change", [{"dt": 0.0}, {"stress": [1.0, -1.0, 1.0]}, {"strain": [1.0]}, {"dt": float("nan")}])
def test_unusable_scales_are_refused(dataset, change: dict) -> None:
    with pytest.raises(pydantic.ValidationError):
        Scaling.model_validate({**Scaling.fit(dataset).model_dump(), **change})

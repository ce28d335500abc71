"""The volume element against public data: four constants fitted to ten paths of a composite predict others."""

from dataclasses import replace

import numpy as np
import pytest

from rve2d_data import DATA, load
from rve2d_twin import CALIBRATED_ON, FITTED, differences, stiffnesses, twin

data_only = pytest.mark.skipif(not DATA.exists(), reason="the public paths are not on this machine")


@data_only
def test_the_twin_predicts_public_paths_it_was_not_fitted_to() -> None:
    """Two random microstructures of 16 inclusions differ by about as much as the twin from the data."""
    others = load(DATA).subset(np.arange(CALIBRATED_ON, CALIBRATED_ON + 6))
    assert np.linalg.norm(differences(FITTED, others), axis=(1, 2)).mean() < 0.04


@data_only
def test_the_fit_rests_on_the_inclusions() -> None:
    """Inclusions with the modulus that the notes of the data name are far from the stresses."""
    some = load(DATA).subset(np.arange(2))
    softer = {**FITTED, "inclusion": 1.0}
    assert np.linalg.norm(differences(softer, some), axis=(1, 2)).min() > 0.3


@data_only
def test_the_card_of_the_twin_has_the_stiffness_that_its_first_tangents_approach() -> None:
    data = load(DATA).subset(np.arange(1))
    still = data.strain.copy()
    still[:, 1:] = 1e-6 * still[:, -1:]
    answers = twin(replace(data, strain=still))
    assert np.array(answers.card.stiffness) == pytest.approx(stiffnesses(FITTED, 1)[0], rel=1e-12)
    assert answers.stress[0, 1] == pytest.approx(np.array(answers.card.stiffness) @ still[0, 1], rel=1e-6)

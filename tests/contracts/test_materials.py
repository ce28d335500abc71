"""Every law of the package keeps the contract; a law joins by its line in MATERIALS."""

import numpy as np
import pytest

from pointlaw.materials import MATERIALS
from pointlaw.testing import check_material


@pytest.mark.parametrize("name", MATERIALS)
def test_the_law_keeps_the_contract(name):
    check_material(MATERIALS[name]()).raise_if_failed()


@pytest.mark.parametrize("name", MATERIALS)
def test_the_law_has_the_same_identity_whenever_it_is_made_and_after_use(name):
    used = MATERIALS[name]()
    used.update(np.tile(used.kinematics.reference, (2, 1)), used.initial_state(2), 1.0)
    assert used.identity == MATERIALS[name]().identity

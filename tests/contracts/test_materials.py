"""Every law of the package keeps the contract; a law joins by its line in MATERIALS."""

import pytest

from pointlaw.materials import MATERIALS
from pointlaw.testing import check_material


@pytest.mark.parametrize("name", MATERIALS)
def test_the_law_keeps_the_contract(name):
    check_material(MATERIALS[name]()).raise_if_failed()

"""Every law of the package keeps the contract; a law joins by its line in MATERIALS."""

import numpy as np
import pytest

from pointlaw.materials import J2, MATERIALS, PlaneStress, Rotated, Scaled, Substepped, WithFields, random_rotations
from pointlaw.testing import check_material

# Laws whose inner law has a variable of the name that the wrapper gives its own.
SAME_NAMES = {
    "maxwell in Substepped": lambda: Substepped(MATERIALS["maxwell"]()),
    "Substepped in Substepped": lambda: Substepped(MATERIALS["j2_substepped"]()),
    "Scaled in Scaled in Scaled": lambda: Scaled(Scaled(MATERIALS["j2_scaled"](), [0.9]), [0.7]),
    "Rotated in Rotated": lambda: Rotated(MATERIALS["crystal_rotated"](), random_rotations(1, seed=1)),
    "WithFields in WithFields": lambda: WithFields(
        lambda yield_stress: WithFields(J2, {"yield_stress": [yield_stress]}, E=210e3, nu=0.3, H=1000.0),
        {"yield_stress": [250.0]},
    ),
    "PlaneStress in Scaled in Scaled": lambda: Scaled(Scaled(PlaneStress(MATERIALS["j2"]()), [0.8]), [0.9]),
}


@pytest.mark.parametrize("name", MATERIALS)
def test_the_law_keeps_the_contract(name):
    check_material(MATERIALS[name]()).raise_if_failed()


@pytest.mark.parametrize("name", SAME_NAMES)
def test_a_wrapper_of_a_law_with_a_variable_of_the_same_name_keeps_the_contract(name):
    check_material(SAME_NAMES[name]()).raise_if_failed()


@pytest.mark.parametrize("name", MATERIALS)
def test_the_law_has_the_same_identity_whenever_it_is_made_and_after_use(name):
    used = MATERIALS[name]()
    used.update(np.tile(used.kinematics.reference, (2, 1)), used.initial_state(2), 1.0)
    assert used.identity == MATERIALS[name]().identity

"""A problem that is put wrongly is refused with a sentence before its first step."""

import pytest
from fem_bodies import ELASTIC_2D, square

from pointlaw.errors import SetupError
from pointlaw.fem import BodyForce, Displacement, MechanicsProblem, Traction

pytestmark = pytest.mark.fem

HOLD = Displacement("left", x=0.0, y=0.0)
LOAD = Traction("right", (1.0, 0.0))


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        ({"supports": HOLD}, r"supports = Displacement\(.*\) must be a list; write supports=\[…\]"),
        ({"loads": LOAD}, r"loads = Traction\(.*\) must be a list; write loads=\[…\]"),
        ({"supports": None}, "supports = None must be a list"),
        ({"supports": [HOLD, LOAD]}, r"supports holds Traction\(.*, a Traction, .*; put it into loads\."),
        ({"loads": [HOLD]}, r"loads holds Displacement\(.*, a Displacement, .*; put it into supports\."),
        ({"supports": ["left"]}, "supports holds 'left', a str, which does not belong there"),
        ({"degree": 0}, "degree = 0 must be an integer of at least 1"),
        ({"degree": 1.5}, "degree = 1.5 must be an integer"),
        ({"rtol": -1.0}, "rtol = -1.0 must be 0 or more"),
    ],
)
def test_options_that_cannot_be_meant_are_refused(options, sentence):
    with pytest.raises(SetupError, match=sentence):
        MechanicsProblem(square(1), ELASTIC_2D, **({"supports": [HOLD]} | options))


def test_supports_and_loads_may_come_from_a_generator():
    supports = (Displacement(side, x=0.0, y=0.0) for side in ("left", "right"))
    loads = (BodyForce((0.0, value)) for value in (-1.0, -2.0))
    problem = MechanicsProblem(square(2), ELASTIC_2D, supports=supports, loads=loads)
    assert problem.solve(1.0, 1.0).converged
    assert problem.reaction("left")[1] == pytest.approx(1.5)

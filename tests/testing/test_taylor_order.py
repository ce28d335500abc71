"""The Taylor test itself: right, wrong, linear and kinked functions of which the answer is known."""

import numpy as np
import pytest

from pointlaw.errors import InputError
from pointlaw.testing import taylor_order

RNG = np.random.default_rng(0)
POINTS = RNG.uniform(0.5, 1.5, (20, 3))
DIRECTIONS = POINTS / np.linalg.norm(POINTS, axis=1)[:, None]


def diagonal(values):
    return values[:, :, None] * np.eye(values.shape[1])


def order(function, tangent, size=0.1, **options):
    return taylor_order(function, POINTS, tangent, directions=DIRECTIONS, size=size, **options)


def test_a_right_derivative_has_order_two():
    assert order(lambda x: x**2, diagonal(2.0 * POINTS)) == pytest.approx(np.full(20, 2.0), abs=1e-3)


def test_a_function_without_second_derivative_has_order_three():
    here = POINTS
    assert order(lambda x: (x - here) ** 3, np.zeros((20, 3, 3)), size=0.4).min() > 2.9


@pytest.mark.parametrize(("error", "halvings"), [(1.0, 14), (1e-2, 14), (1e-4, 14), (1e-5, 18)])
def test_a_wrong_derivative_has_order_one(error, halvings):
    assert order(lambda x: x**2, diagonal(2.0 * POINTS) * (1.0 + error), halvings=halvings).max() < 1.6


def test_a_linear_function_leaves_nothing_but_round_off():
    matrix = RNG.standard_normal((3, 3))
    assert np.isposinf(order(lambda x: x @ matrix.T, np.tile(matrix, (20, 1, 1)))).all()


def test_a_kink_farther_away_than_the_smallest_step_does_not_disturb():
    def kinked(x):
        return x**2 + np.maximum(x - POINTS - 1e-4, 0.0)

    assert order(kinked, diagonal(2.0 * POINTS)).min() > 1.95


def test_a_kink_at_the_point_itself_shows_as_order_one():
    def kinked(x):
        return x**2 + np.maximum(x - POINTS, 0.0)

    assert order(kinked, diagonal(2.0 * POINTS)).max() < 1.1


def test_single_precision_is_read_above_its_own_round_off():
    def single(x):
        return (x.astype(np.float32) ** 2).astype(float)

    assert order(single, diagonal(2.0 * POINTS), precision=1e-7, size=0.5).min() > 1.9


def test_a_point_that_is_not_finite_has_no_order():
    def broken(x):
        y = x**2
        y[3] = np.nan
        return y

    assert np.flatnonzero(np.isnan(order(broken, diagonal(2.0 * POINTS)))).tolist() == [3]


def test_no_halving_is_refused():
    with pytest.raises(InputError, match="halvings = 0"):
        order(lambda x: x, np.zeros((20, 3, 3)), halvings=0)

"""Newton for a batch: verdicts per row, no work for finished rows, no row that minds its neighbours."""

import numpy as np
import pytest

from pointlaw.materials.newton import newton_rows


def roots(wanted, start, **options):
    """Solve arctan(3 (x − wanted)) = 0, where plain Newton runs away from far starts; count the work of every row."""
    work = np.zeros(len(start), dtype=int)

    def residual(x, rows):
        np.add.at(work, rows, 1)
        return np.arctan(3.0 * (x - wanted[rows]))

    def direction(x, r, rows):
        return -r * (1.0 + 9.0 * (x - wanted[rows]) ** 2) / 3.0

    x, solved = newton_rows(residual, direction, start, **options)
    return x, solved, work


WANTED = np.array([[1.0], [-2.0], [5.0], [0.3]])


def test_the_line_search_brings_far_starts_home():
    x, solved, _ = roots(WANTED, WANTED + np.array([[0.0], [50.0], [-2.0], [1e3]]))
    assert solved.all()
    assert x == pytest.approx(WANTED, abs=1e-12)


def test_a_row_that_is_solved_is_not_asked_again():
    _, _, work = roots(WANTED, WANTED + np.array([[0.0], [50.0], [0.01], [0.0]]))
    assert work[0] == work[3] == 1
    assert work[2] < work[1]


def test_a_row_gets_the_same_answer_alone():
    start = WANTED + np.array([[0.0], [50.0], [-2.0], [1e3]])
    together = roots(WANTED, start)[0]
    for row in range(4):
        assert np.array_equal(roots(WANTED[[row]], start[[row]])[0], together[[row]])


def test_rows_without_a_root_are_reported_and_the_others_solved():
    shift = np.array([[1.0], [-1.0]])  # x² + shift has a root for the second row alone
    x, solved = newton_rows(
        lambda x, rows: x * x + shift[rows], lambda x, r, rows: -r / (2.0 * x), np.array([[3.0], [3.0]])
    )
    assert solved.tolist() == [False, True]
    assert x[1, 0] == pytest.approx(1.0)


@pytest.mark.parametrize("value", [np.nan, np.inf, 1e150])
def test_absurd_rows_cost_one_evaluation(value):
    asked = []

    def residual(x, rows):
        asked.append(len(rows))
        return np.full((len(rows), 1), value)

    solved = newton_rows(residual, lambda x, r, rows: -r, np.ones((2, 1)))[1]
    assert not solved.any()
    assert asked == [2]


def test_a_residual_that_cannot_fall_below_its_round_off_counts_as_solved():
    """f = x − 1 with a grain of 1e-9: the tolerance of 1e-12 is out of reach, the root is not."""
    x, solved = newton_rows(
        lambda x, rows: np.round(x - 1.0, 9) + 1e-10, lambda x, r, rows: -r, np.array([[1.7]]), tolerance=1e-12
    )
    assert solved.all()
    assert x[0, 0] == pytest.approx(1.0, abs=1e-8)

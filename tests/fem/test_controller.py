"""How long the next step is."""

import math

import pytest

from pointlaw.errors import InputError
from pointlaw.fem import FixedStep, StepController, StepReport

pytestmark = pytest.mark.fem


def report(converged=True, iterations=3, dt_factor=math.inf, detail=""):
    reason = "CONVERGED" if converged else "DIVERGED_MAX_IT"
    return StepReport(1.0, 0.2, converged, reason, iterations=iterations, dt_factor=dt_factor, detail=detail)


def test_an_easy_step_lets_the_next_one_grow():
    assert StepController(grow=1.5).decide(report(), 0.2).next_dt == pytest.approx(0.3)


def test_a_laborious_step_keeps_its_length():
    decision = StepController(easy_iterations=8).decide(report(iterations=9), 0.2)
    assert decision.accept
    assert decision.next_dt == 0.2


def test_growth_ends_at_max_dt():
    assert StepController(max_dt=0.25).decide(report(), 0.2).next_dt == 0.25


def test_the_first_step_is_not_longer_than_max_dt():
    assert StepController(max_dt=0.25).dt == 0.25


def test_a_failed_step_is_cut_with_its_cause():
    decision = StepController(cut=0.25).decide(report(converged=False, detail="J2 failed."), 0.2)
    assert not decision.accept
    assert decision.next_dt == pytest.approx(0.05)
    assert decision.reason == "J2 failed."


def test_a_failed_step_takes_the_smaller_of_cut_and_what_a_law_asks_for():
    assert StepController().decide(report(converged=False, dt_factor=0.1), 0.2).next_dt == pytest.approx(0.02)
    assert StepController().decide(report(converged=False, dt_factor=0.9), 0.2).next_dt == pytest.approx(0.1)


def test_a_law_that_asks_for_less_has_its_converged_step_repeated_with_that_fraction():
    decision = StepController().decide(report(dt_factor=0.4), 0.2)
    assert not decision.accept
    assert decision.next_dt == pytest.approx(0.08)
    assert "asked for 0.4" in decision.reason


def test_a_law_may_limit_growth_without_repeating_the_step():
    decision = StepController(grow=2.0).decide(report(dt_factor=1.2), 0.2)
    assert decision.accept
    assert decision.next_dt == pytest.approx(0.24)


@pytest.mark.parametrize("factor", [0.0, -1.0])
def test_a_factor_of_zero_from_a_failed_law_is_no_opinion(factor):
    assert StepController().decide(report(converged=False, dt_factor=factor), 0.2).next_dt == pytest.approx(0.1)


def test_a_converged_step_with_a_senseless_factor_is_cut_all_the_same():
    decision = StepController().decide(report(dt_factor=0.0), 0.2)
    assert not decision.accept
    assert 0 < decision.next_dt < 0.2


@pytest.mark.parametrize(
    ("options", "word"),
    [
        ({"dt": 0.0}, "dt = 0.0"),
        ({"dt": -1.0}, "dt = -1.0"),
        ({"dt": math.nan}, "dt = nan"),
        ({"max_dt": 0.0}, "max_dt = 0.0"),
        ({"min_dt": 2.0, "max_dt": 1.0}, "min_dt <= max_dt"),
        ({"min_dt": -1.0}, "min_dt"),
        ({"cut": 1.0}, "cut = 1.0"),
        ({"cut": 0.0}, "cut = 0.0"),
        ({"grow": 0.9}, "grow = 0.9"),
        ({"max_cuts": -1}, "max_cuts"),
        ({"easy_iterations": -1}, "easy_iterations"),
    ],
)
def test_options_out_of_range_are_refused(options, word):
    with pytest.raises(InputError, match=word):
        StepController(**options)


def test_fixed_steps_keep_their_length_and_give_up_at_once():
    fixed = FixedStep(0.2)
    assert fixed.max_cuts == 0
    kept, refused = fixed.decide(report(), 0.1), fixed.decide(report(converged=False), 0.2)
    assert (kept.accept, kept.next_dt) == (True, 0.2)
    assert (refused.accept, refused.reason) == (False, "DIVERGED_MAX_IT")


@pytest.mark.parametrize("dt", [0.0, -1.0, math.nan])
def test_a_fixed_step_that_does_not_go_forward_is_refused(dt):
    with pytest.raises(InputError, match=f"FixedStep: dt = {dt} must be > 0"):
        FixedStep(dt)

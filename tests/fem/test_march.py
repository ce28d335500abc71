"""The load history: requested times are hit, failures are cut, and the outcome is a sentence."""

import logging
import math

import numpy as np
import pytest
from fem_bodies import PLASTIC_2D, Spy, square

from pointlaw.errors import InputError, NotConverged
from pointlaw.fem import (
    Displacement,
    FixedStep,
    MechanicsProblem,
    Observer,
    Solution,
    Status,
    StepController,
    march,
)

pytestmark = pytest.mark.fem

STRETCH = 0.01  # well beyond yield


def problem_with(law=PLASTIC_2D, **options):
    supports = [
        Displacement("left", x=0.0),
        Displacement("bottom", y=0.0),
        Displacement("right", x=lambda t: STRETCH * t),
    ]
    return MechanicsProblem(square(2), law, supports=supports, **options)


def failing_when(condition):
    """Return a spy whose points all fail when ``condition(step length)`` holds."""
    spy = Spy(PLASTIC_2D)
    spy.fail = lambda strain, call: condition(spy.dts[-1])
    return spy


class Diary(Observer):
    def __init__(self, stop_at=math.inf):
        self.words, self.stop_at = [], stop_at

    def start(self, problem):
        self.words.append(("start", problem.time))

    def accepted(self, problem, report):
        self.words.append(("accepted", problem.time))
        return problem.time < self.stop_at

    def rejected(self, problem, report, next_dt):
        self.words.append(("rejected", report.time, next_dt))

    def finish(self, problem, solution):
        self.words.append(("finish", solution.status))


def test_requested_times_are_hit_exactly():
    times = [0.1, 0.3, 1.0 / 3.0, 1.0]
    solution = march(problem_with(), times)
    assert solution.times == times
    assert [report.time for report in solution.reports] == times
    assert solution.finished
    assert solution.message == "The run reached the last requested time."


def test_steps_between_requested_times_follow_the_controller_and_leave_no_sliver():
    solution = march(problem_with(), [0.25, 1.0], StepController(dt=0.1, grow=1.0))
    assert {0.25, 1.0} <= set(solution.times)
    lengths = np.diff([0.0, *solution.times])
    assert lengths.max() <= 0.1 + 1e-12
    assert lengths.min() > 0.05
    assert lengths.sum() == pytest.approx(1.0)


def test_a_step_that_a_requested_time_shortened_does_not_shorten_the_next_one():
    controller = StepController(dt=0.4, grow=1.0)
    lengths = np.diff([0.0, *march(problem_with(), [0.4, 0.41, 0.81], controller).times])
    np.testing.assert_allclose(lengths, [0.4, 0.01, 0.4])


def test_a_law_limits_the_step_after_one_that_a_requested_time_shortened():
    law = Spy(PLASTIC_2D, ask=lambda strain, dt: 1.5)
    controller = StepController(dt=0.4, grow=2.0, easy_iterations=50)
    lengths = np.diff([0.0, *march(problem_with(law), [0.01, 1.0], controller).times])
    assert np.all(lengths[1:] <= 1.5 * lengths[:-1] * (1 + 1e-9))
    assert lengths[1] == pytest.approx(0.015, rel=0.02)


def test_easy_steps_grow_up_to_max_dt():
    solution = march(problem_with(), [1.0], StepController(dt=0.05, grow=2.0, max_dt=0.3, easy_iterations=50))
    lengths = np.diff([0.0, *solution.times])
    assert lengths[0] == pytest.approx(0.05)
    assert lengths[1] == pytest.approx(0.1, rel=0.1)
    assert lengths.max() <= 0.3 + 1e-12
    assert lengths.max() > 0.2


def test_a_failed_step_is_cut_and_then_regrows():
    spy = failing_when(lambda dt: dt > 0.3)
    diary = Diary()
    solution = march(problem_with(spy), [1.0], StepController(grow=1.2), observers=[diary])
    assert solution.finished
    lengths = np.diff([0.0, *solution.times])
    assert lengths.max() <= 0.3
    assert solution.stats.cuts == sum(word[0] == "rejected" for word in diary.words) >= 2
    assert diary.words[1][0] == "rejected"
    assert diary.words[1][2] == pytest.approx(0.5)


def test_a_run_with_cuts_ends_where_the_same_steps_without_cuts_end():
    cut = problem_with(failing_when(lambda dt: dt > 0.3))
    times = march(cut, [1.0]).times
    smooth = problem_with()
    march(smooth, times)
    np.testing.assert_allclose(cut.u.x.array, smooth.u.x.array, atol=1e-12)
    np.testing.assert_allclose(cut.fields.stress.x.array, smooth.fields.stress.x.array, atol=1e-8)
    committed = [p.regions["body"].history.committed for p in (cut, smooth)]
    np.testing.assert_allclose(*committed, atol=1e-10)


def test_a_law_that_asks_for_a_shorter_step_gets_it():
    spy = Spy(PLASTIC_2D, ask=lambda strain, dt: 0.25 / dt if dt > 0.25 else math.inf)
    solution = march(problem_with(spy), [1.0], StepController(grow=1.0))
    np.testing.assert_allclose(np.diff([0.0, *solution.times]), np.full(4, 0.25))
    assert solution.stats.cuts == 1
    assert "a law asked for 0.25 of the step" in solution.cause


def test_too_many_cuts_end_the_run_with_a_named_cause():
    spy = failing_when(lambda dt: True)
    problem = problem_with(spy)
    solution = march(problem, [1.0], StepController(max_cuts=3), strict=False)
    assert solution.status is Status.TOO_MANY_CUTS
    assert solution.stats.cuts == 4
    assert solution.times == []
    assert problem.time == 0.0
    for word in ("cut too often", "Spy failed at 16 point(s) of region 'body'", "near x = (", "No step converged."):
        assert word in solution.message


def test_a_step_below_min_dt_ends_the_run():
    solution = march(
        problem_with(failing_when(lambda dt: dt > 0.1)), [1.0], StepController(min_dt=0.2, max_cuts=99), strict=False
    )
    assert solution.status is Status.STEP_TOO_SMALL
    assert solution.stats.cuts == 3  # 1, 0.5, 0.25, and 0.125 is too short
    assert "min_dt" in solution.message


def test_a_law_that_never_answers_cannot_keep_the_run_busy_even_without_bounds():
    spy = failing_when(lambda dt: True)
    controller = StepController(min_dt=0.0, max_cuts=10**6)
    problem = problem_with(spy)
    march(problem, [1e-300], controller, strict=False)
    assert problem.time == 0.0


def test_a_strict_run_raises_and_carries_the_solution():
    problem = problem_with(failing_when(lambda dt: dt > 0.3))
    with pytest.raises(NotConverged, match=r"Last converged time: 0\.2") as caught:
        march(problem, [0.2, 1.0], FixedStep())
    assert isinstance(caught.value.solution, Solution)
    assert caught.value.solution.times == [0.2]
    assert caught.value.collective


def test_an_observer_that_answers_false_stops_the_run():
    diary = Diary(stop_at=0.5)
    solution = march(problem_with(), [0.25, 0.5, 0.75], observers=[diary], strict=False)
    assert solution.status is Status.STOPPED
    assert solution.times == [0.25, 0.5]
    assert diary.words[-1] == ("finish", Status.STOPPED)
    assert "An observer stopped the run." in solution.message


def test_observers_hear_of_start_every_step_and_the_end_in_order():
    diary = Diary()
    march(problem_with(), [0.5, 1.0], observers=[diary])
    assert diary.words == [("start", 0.0), ("accepted", 0.5), ("accepted", 1.0), ("finish", Status.FINISHED)]


def test_observers_hear_of_the_end_also_when_a_law_raises():
    spy, diary = Spy(PLASTIC_2D), Diary()
    problem = problem_with(spy)

    def raises(strain, call):
        raise RuntimeError("the law file vanished")

    spy.fail = raises
    with pytest.raises(RuntimeError, match="the law file vanished"):
        march(problem, [1.0], observers=[diary])
    assert diary.words[-1][0] == "finish"


def test_a_second_march_goes_on_where_the_first_ended():
    whole, halves = problem_with(), problem_with()
    march(whole, [0.25, 0.5, 0.75, 1.0])
    march(halves, [0.25, 0.5])
    assert march(halves, [0.75, 1.0]).times == [0.75, 1.0]
    np.testing.assert_array_equal(whole.u.x.array, halves.u.x.array)


def test_stats_count_what_the_law_saw():
    spy = Spy(PLASTIC_2D)
    solution = march(problem_with(spy), [0.5, 1.0])
    assert solution.stats.evaluations == spy.calls
    assert solution.stats.steps == 2
    assert solution.stats.iterations == sum(report.iterations for report in solution.reports)
    assert solution.stats.seconds > 0


@pytest.mark.parametrize(
    "times", [[], ["a"], [None], {}, [1.0, 0.5], [0.5, 0.5], [0.0, 1.0], [-1.0], [np.nan], [np.inf], [[1.0, 2.0]]]
)
def test_times_that_do_not_increase_from_the_start_are_refused(times):
    problem = problem_with()
    with pytest.raises(InputError, match="times must"):
        march(problem, times)


def test_the_outcome_is_logged(caplog):
    with caplog.at_level(logging.INFO, logger="pointlaw.fem.march"):
        march(problem_with(failing_when(lambda dt: dt > 0.5)), [1.0])
    assert "rejected" in caplog.text
    assert "The run reached the last requested time." in caplog.text


def test_a_step_that_did_not_converge_cannot_be_accepted_by_hand():
    problem = problem_with(failing_when(lambda dt: True))
    report = problem.solve(1.0, 1.0)
    assert not report.converged
    with pytest.raises(InputError, match="did not converge"):
        problem.accept(report)


def test_only_the_step_that_was_tried_last_can_be_accepted_and_once():
    problem = problem_with()
    first = problem.solve(0.5, 0.5)
    problem.accept(first)
    state, u = problem.regions["body"].history.committed.copy(), problem.u.x.array.copy()

    def refused(report):
        with pytest.raises(InputError, match="cannot be accepted: it was accepted or rejected before, or another was"):
            problem.accept(report)
        problem.reject()
        np.testing.assert_array_equal(problem.regions["body"].history.committed, state)
        np.testing.assert_array_equal(problem.u.x.array, u)
        assert problem.time == 0.5

    refused(first)
    rejected = problem.solve(0.75, 0.25)
    problem.reject()
    refused(rejected)
    overtaken = problem.solve(0.75, 0.25)
    problem.solve(1.0, 0.5)
    refused(overtaken)

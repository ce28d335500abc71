"""What a region remembers: accepted steps only, in two buffers that change places."""

import numpy as np
import pytest
from fem_bodies import PLASTIC_2D, Spy, square

from pointlaw.fem import Displacement, MechanicsProblem, StepController, march
from pointlaw.fem.history import History

pytestmark = pytest.mark.fem


def problem_with(law, **options):
    supports = [Displacement("left", x=0.0), Displacement("bottom", y=0.0), Displacement("right", x=lambda t: 0.01 * t)]
    return MechanicsProblem(square(2), law, supports=supports, **options)


def test_commit_swaps_the_buffers_and_copies_nothing():
    history = History(np.zeros((3, 2)))
    committed, trial = history.committed, history.trial
    trial[:] = 7.0
    history.commit()
    assert history.committed is trial
    assert history.trial is committed
    assert history.updates == 1


def test_the_buffers_of_a_region_change_places_with_every_accepted_step():
    problem = problem_with(PLASTIC_2D)
    history = problem.regions["body"].history
    first, second = history.committed, history.trial
    march(problem, [0.5])
    assert history.committed is second
    assert history.trial is first
    march(problem, [1.0])
    assert history.committed is first


def test_there_are_exactly_as_many_updates_as_accepted_steps_though_steps_failed():
    spy = Spy(PLASTIC_2D)
    spy.fail = lambda strain, call: spy.dts[-1] > 0.2
    problem = problem_with(spy)
    solution = march(problem, [1.0], StepController(grow=1.3))
    assert solution.stats.cuts > 0
    assert problem.regions["body"].history.updates == solution.stats.steps == len(solution.times)


def test_a_failed_step_changes_nothing_that_was_committed():
    spy = Spy(PLASTIC_2D)
    problem = problem_with(spy)
    march(problem, [0.5])
    region = problem.regions["body"]
    history = region.history

    def picture():
        arrays = (history.committed, problem.u.x.array, *region.committed, problem.fields.stress.x.array)
        return [array.copy() for array in (*arrays, problem.fields.tangent.x.array)]

    before = picture()
    start = spy.calls
    spy.fail = lambda strain, call: call >= start + 3  # fails in the second iteration, after trial states were written
    report = problem.solve(1.0, 0.5)
    assert not report.converged
    np.testing.assert_array_equal(history.committed, before[0])
    problem.reject()
    for array, old in zip(picture(), before, strict=True):
        np.testing.assert_array_equal(array, old)
    assert history.updates == 1
    assert problem.time == 0.5


def test_reactions_after_a_rejected_step_are_those_of_the_accepted_one():
    spy = Spy(PLASTIC_2D)
    problem = problem_with(spy)
    march(problem, [0.5])
    force = problem.reaction("right")
    spy.fail = lambda strain, call: True
    problem.solve(1.0, 0.5)
    problem.reject()
    np.testing.assert_allclose(problem.reaction("right"), force, rtol=1e-12, atol=1e-12)


def test_the_committed_state_is_what_the_law_answers_to_the_accepted_displacement():
    spy = Spy(PLASTIC_2D)
    problem = problem_with(spy)
    region = problem.regions["body"]
    old = region.history.committed.copy()
    march(problem, [1.0])
    strain = region._strain.reshape(region.size, -1)
    answer = PLASTIC_2D.update(strain, old, 1.0)
    np.testing.assert_array_equal(region.history.committed, answer.state)
    np.testing.assert_array_equal(region.committed[0], answer.stress)
    assert answer.state[:, -1].min() > 1e-3  # it did yield


@pytest.mark.parametrize("line_search", ["bt", "basic", "l2"])
def test_state_and_displacement_belong_together_with_every_line_search(line_search):
    problem = problem_with(PLASTIC_2D, petsc_options={"snes_linesearch_type": line_search})
    region = problem.regions["body"]
    march(problem, [0.3, 1.0])
    state, stress = region.history.committed.copy(), region.committed[0].copy()
    old = region.history.trial.copy()  # the state before the last step, since the buffers were swapped
    region.history.committed, region.history.trial = old, np.empty_like(old)
    region.evaluate(0.7)
    np.testing.assert_allclose(region.history.trial, state, atol=1e-13)
    np.testing.assert_allclose(region.stress.x.array, stress.ravel(), atol=1e-10)


def test_the_law_is_never_given_an_array_that_it_could_not_leave_alone():
    seen = []

    class Watcher(Spy):
        def update(self, strain, state, dt, *, tangent=True):
            seen.append((strain.copy(), strain, state.copy(), state))
            return super().update(strain, state, dt, tangent=tangent)

    problem = problem_with(Watcher(PLASTIC_2D))
    problem.solve(1.0, 1.0)
    for _, _, before, state in seen:
        np.testing.assert_array_equal(state, before)

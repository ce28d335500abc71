"""The material-point solver: control, cut-back, and honest failure."""

import numpy as np
import pytest

from pointlaw.errors import InputError, NotConverged
from pointlaw.materials import J2, LinearElastic, Material, PlaneStress, PointStatus, Response, StateLayout
from pointlaw.paths import LoadPath, StrainPath, drive, gaussian_process, random_walk
from pointlaw.tensors import PLANE_STRESS, UNIAXIAL

STEEL = J2(E=210e3, nu=0.3, yield_stress=250.0, H=1000.0)


class Counter(Material):
    """Elastic in one dimension; fails or asks for smaller steps where the strain grows too fast.

    The state counts the steps made and adds up their lengths.
    """

    kinematics = UNIAXIAL
    state_layout = StateLayout(strain=1, steps=1, time=1)

    def __init__(self, *, fails_above=np.inf, asks_above=np.inf, factor=0.5, never_beyond=np.inf):
        self.fails_above, self.asks_above, self.factor = fails_above, asks_above, factor
        self.never_beyond = never_beyond

    def update(self, strain, state, dt, *, tangent=True):
        rate = np.abs(strain[:, 0] - state[:, 0])
        new = np.column_stack([strain[:, 0], state[:, 1] + 1.0, state[:, 2] + dt])
        failed = (rate > self.fails_above) | (np.abs(strain[:, 0]) > self.never_beyond)
        status = np.where(failed, PointStatus.FAILED, PointStatus.FINE)
        factor = self.factor if (rate > self.asks_above).any() else np.inf
        return Response(strain * 5.0, np.full((len(strain), 1, 1), 5.0) if tangent else None, new, status, factor)


def ramps(*ends, steps=1):
    times = np.linspace(0.0, 2.0, steps + 1)
    return StrainPath(times, np.multiply.outer(ends, times / 2.0)[:, :, None], UNIAXIAL)


def test_strain_control_is_the_loop_over_the_steps():
    path = random_walk(5, seed=0, steps=6, step_size=2e-3, bound=0.01)
    record = drive(STEEL, path, tangent=True)
    state = STEEL.initial_state(5)
    for k in range(1, 7):
        answer = STEEL.update(path.strain[:, k], state, path.times[k] - path.times[k - 1])
        state = answer.state
        assert np.array_equal(record.stress[:, k], answer.stress)
        assert np.array_equal(record.state[:, k], answer.state)
        assert np.array_equal(record.tangent[:, k], answer.tangent)
    assert record.ok
    assert record.raise_if_failed() is record
    assert (record.reached == 6).all()
    assert not record.cuts.any()


def test_row_zero_is_the_virgin_material():
    path = random_walk(2, seed=0, steps=2, step_size=2e-3, bound=0.01)
    record = drive(STEEL, path)
    assert not record.stress[:, 0].any()
    assert not record.state[:, 0].any()
    assert record.tangent is None
    assert record.variable("plastic_strain").shape == (2, 3, 6)


def test_driving_on_from_a_recorded_state_is_driving_in_one_go():
    path = random_walk(3, seed=4, steps=8, step_size=3e-3, bound=0.01)
    whole = drive(STEEL, path)
    rest = StrainPath(path.times[4:], path.strain[:, 4:])
    second = drive(STEEL, rest, state=whole.state[:, 4])
    assert np.array_equal(second.stress[:, 1:], whole.stress[:, 5:])


def test_prescribing_the_stress_that_came_out_gives_the_strain_that_went_in():
    path = gaussian_process(8, seed=2, steps=30, bound=0.01)
    forward = drive(STEEL, path).raise_if_failed()
    back = drive(STEEL, LoadPath(path.times, forward.stress, np.ones(6, dtype=bool))).raise_if_failed()
    assert back.stress == pytest.approx(forward.stress, abs=1e-6)
    assert back.strain == pytest.approx(forward.strain, abs=1e-8)


def test_every_path_may_have_a_control_of_its_own():
    elastic = LinearElastic(E=200.0, nu=0.25)
    target = np.zeros((2, 2, 6))
    target[0, 1, 0] = 4.0  # uniaxial stress 4
    target[1, 1, 0] = 0.02  # uniaxial strain
    flags = np.zeros((2, 1, 6), dtype=bool)
    flags[0] = True
    record = drive(elastic, LoadPath([0.0, 1.0], target, flags), tangent=True).raise_if_failed()
    assert record.strain[0, 1, :3] == pytest.approx([0.02, -0.005, -0.005])
    assert record.stress[1, 1, :3] == pytest.approx([4.8, 1.6, 1.6])


def test_a_component_that_changes_its_control_goes_on_from_where_it_is():
    elastic = LinearElastic(E=200.0, nu=0.25)
    target = np.zeros((1, 3, 6))
    target[0, 1:, 0] = 0.02, 8.0
    flags = np.zeros((3, 6), dtype=bool)
    flags[:, 1:] = True
    flags[2] = True
    record = drive(elastic, LoadPath([0.0, 1.0, 2.0], target, flags)).raise_if_failed()
    assert record.stress[0, :, 0] == pytest.approx([0.0, 4.0, 8.0])
    assert record.strain[0, :, 0] == pytest.approx([0.0, 0.02, 0.04])


def test_plane_stress_is_mixed_control_in_three_dimensions():
    path = random_walk(10, seed=6, steps=10, step_size=3e-3, bound=0.012, kinematics=PLANE_STRESS)
    plane = drive(PlaneStress(STEEL), path).raise_if_failed()
    target = np.zeros((10, 11, 6))
    target[..., [0, 1, 5]] = path.strain
    solid = drive(STEEL, LoadPath(path.times, target, [0, 0, 1, 1, 1, 0])).raise_if_failed()
    assert plane.stress == pytest.approx(solid.stress[..., [0, 1, 5]], abs=1e-7)
    assert plane.variable("free_strain") == pytest.approx(solid.strain[..., 2:5], abs=1e-12)


def test_a_failing_row_is_cut_and_the_others_are_not():
    record = drive(Counter(fails_above=0.3), ramps(1.0, 0.2))
    assert record.ok
    assert record.cuts[0] > 0
    assert record.cuts[1] == 0
    assert record.variable("steps")[:, -1, 0].tolist() == [4.0, 1.0]
    assert record.variable("time")[:, -1, 0] == pytest.approx([2.0, 2.0])
    assert record.strain[0, -1, 0] == 1.0


@pytest.mark.parametrize("stress_controlled", [False, True])
def test_the_parts_of_a_cut_step_lie_on_the_straight_line(stress_controlled):
    visited = []

    class Watched(Counter):
        def update(self, strain, state, dt, *, tangent=True):
            answer = super().update(strain, state, dt, tangent=tangent)
            visited.extend(strain[answer.status == PointStatus.FINE, 0])
            return answer

    target = np.array([[[0.0], [5.0 if stress_controlled else 1.0]]])
    record = drive(Watched(fails_above=0.3), LoadPath([0.0, 2.0], target, [stress_controlled], UNIAXIAL))
    assert record.ok
    assert record.strain[0, -1, 0] == pytest.approx(1.0)
    # Stress control visits trial strains on its way to each of these.
    assert {0.0, 0.25, 0.5, 0.75, 1.0} <= set(np.round(visited, 12).tolist())


def test_the_fraction_a_law_asks_for_is_used_and_the_others_are_spared():
    record = drive(Counter(asks_above=0.8, factor=0.75), ramps(0.1, 1.0, 0.5))
    assert record.ok
    assert record.variable("steps")[:, -1, 0].tolist() == [1.0, 2.0, 1.0]
    assert record.cuts.tolist() == [0, 1, 0]
    assert record.variable("time")[:, -1, 0] == pytest.approx([2.0, 2.0, 2.0])


def test_a_row_that_fails_for_ever_stops_there_and_says_why():
    record = drive(Counter(never_beyond=0.55), ramps(1.0, 0.5, steps=4), max_cuts=3)
    assert not record.ok
    assert record.reached.tolist() == [2, 4]
    assert record.status[0].tolist() == [1, 1, 1, -1, -1]
    assert np.isnan(record.stress[0, 3:]).all()
    assert np.isfinite(record.stress[1]).all()
    assert record.reasons[1] == ""
    assert "Path 0 stopped in step 3, before time 1.5" in record.reasons[0]
    with pytest.raises(NotConverged, match="Path 0 stopped") as caught:
        record.raise_if_failed()
    assert caught.value.solution is record


def test_the_number_of_cuts_is_bounded():
    calls = []

    class Never(Counter):
        def update(self, strain, state, dt, *, tangent=True):
            calls.append(len(strain))
            return super().update(strain, state, dt, tangent=tangent)

    record = drive(Never(never_beyond=0.0), ramps(1.0), max_cuts=5)
    assert not record.ok
    assert len(calls) == 1 + 6


def test_a_law_that_always_asks_for_less_is_stopped():
    record = drive(Counter(asks_above=-1.0), ramps(1.0, 0.5), max_cuts=4)
    assert not record.ok
    assert record.reached.tolist() == [0, 0]


def test_more_than_the_limit_load_is_an_honest_failure():
    perfect = J2(E=210e3, nu=0.3, yield_stress=250.0)
    times = np.linspace(0.0, 1.0, 11)
    target = np.zeros((2, 11, 6))
    target[:, :, 0] = np.outer([260.0, 240.0], times)
    record = drive(perfect, LoadPath(times, target, np.ones(6, dtype=bool)))
    assert record.reached.tolist() == [9, 10]
    assert "limit load" in record.reasons[0]
    assert record.reasons[1] == ""
    assert record.stress[1, -1, 0] == pytest.approx(240.0)


def test_a_virgin_material_that_cannot_answer_stops_at_the_start():
    record = drive(Counter(never_beyond=-1.0), ramps(1.0))
    assert "at the start" in record.reasons[0]
    assert record.status[0].tolist() == [-1, -1]


def test_out_of_range_is_recorded_and_does_not_stop():
    class Shy(Counter):
        def update(self, strain, state, dt, *, tangent=True):
            answer = super().update(strain, state, dt, tangent=tangent)
            answer.status[strain[:, 0] > 0.6] = PointStatus.OUT_OF_RANGE
            return answer

    record = drive(Shy(), ramps(1.0, steps=2))
    assert record.ok
    assert record.status[0].tolist() == [1, 1, 0]


@pytest.mark.parametrize(
    ("call", "sentence"),
    [
        (lambda: drive(STEEL, ramps(1.0)), r"prescribes uniaxial .* J2 takes small_strain_3d"),
        (lambda: drive(Counter(), ramps(1.0), max_cuts=-1), "max_cuts = -1"),
        (lambda: drive(Counter(), ramps(1.0), max_cuts=1.5), "max_cuts = 1.5 must be an integer"),
        (lambda: drive(Counter(), ramps(1.0), tolerance=10.0), "tolerance = 10.0 must lie between"),
        (lambda: drive(Counter(), ramps(1.0), tolerance=-1.0), "tolerance = -1.0 must lie between"),
        (lambda: drive(Counter(), ramps(1.0), iterations=0), "iterations = 0 must be an integer > 0"),
        (lambda: drive(Counter(), ramps(1.0), state=np.zeros((2, 3))), r"state has shape \(2, 3\)"),
    ],
)
def test_a_path_that_does_not_fit_the_law_gets_a_sentence(call, sentence):
    with pytest.raises(InputError, match=sentence):
        call()

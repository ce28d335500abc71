"""The guard: grades, policies, the fallback from the right state, and the histories it hands over."""

import logging

import numpy as np
import pytest

from pointlaw.data import Units
from pointlaw.errors import InputError
from pointlaw.laws import LearnedMaterial
from pointlaw.laws.covered import with_density
from pointlaw.laws.guard import Guarded, outside_paths
from pointlaw.laws.history import StrainHistory
from pointlaw.materials import (
    J2,
    GeneralisedMaxwell,
    LinearElastic,
    Material,
    PlaneStrain,
    Response,
    StateLayout,
    Substepped,
)
from pointlaw.paths import StrainPath, drive, gaussian_process, through
from pointlaw.tensors import PLANE_STRAIN
from pointlaw.testing import check_material

STEEL = PlaneStrain(J2(E=210e3, nu=0.3, yield_stress=250.0, H=5000.0))
SOFT = PlaneStrain(J2(E=70e3, nu=0.3, yield_stress=100.0, H=700.0))
PATHS = gaussian_process(12, seed=7, steps=30, bound=0.01, kinematics=PLANE_STRAIN)


def by_strain(limit):
    """A grade that is 1 where the norm of the strain is ``limit``."""
    return lambda strain, increment, state: np.linalg.norm(strain, axis=1) / limit


def everywhere(grade):
    return lambda strain, increment, state: np.full(len(strain), grade)


def strip(law, *, pull, rows=2):
    """A strip that is pulled, in plane strain."""
    from pointlaw.fem.mpi import MPI  # isort: skip

    import dolfinx

    from pointlaw.fem import Displacement, MechanicsProblem

    kind = dolfinx.mesh.CellType.quadrilateral
    mesh = dolfinx.mesh.create_rectangle(MPI.COMM_SELF, [[0.0, 0.0], [2.0, 1.0]], [2 * rows, rows], cell_type=kind)
    supports = [
        Displacement(lambda x: np.isclose(x[0], 0.0), x=0.0, y=0.0),
        Displacement(lambda x: np.isclose(x[0], 2.0), x=lambda t: pull * t, y=0.0),
    ]
    return MechanicsProblem(mesh, law, supports=supports)


# --- the contract ----------------------------------------------------------------------------------------------------


def test_a_law_may_call_its_own_variables_as_the_guard_does() -> None:
    """Whatever the names, the answers are those of the same law under other names."""
    named = PlaneStrain(J2(E=210e3, nu=0.3, yield_stress=250.0, H=5000.0))
    named.state_layout = StateLayout(grade=named.state_layout.size - 1, fallback=1)
    first, second = (
        Guarded(law, policy="fall back", grade=by_strain(0.004), fallback=SOFT, history=8) for law in (STEEL, named)
    )
    assert {"grade", "outer_grade", "fallback", "outer_fallback"} < second.state_layout.keys()
    one, two = drive(first, PATHS), drive(second, PATHS)
    assert first.fallen(one.state[:, -1]).any()
    np.testing.assert_array_equal(two.stress, one.stress)
    np.testing.assert_array_equal(two.variable("outer_grade"), one.variable("grade"))
    assert len(outside_paths(second, two.state[:, -1])) == len(outside_paths(first, one.state[:, -1])) > 0


@pytest.mark.parametrize("policy", ["none", "warn", "strict", "cut", "fall back"])
def test_a_guarded_learned_law_keeps_the_contract_under_every_policy(law, paths, policy) -> None:
    fallback = STEEL if policy == "fall back" else None
    limit = 0.5 if policy == "fall back" else 50.0  # half of the points fall back on the way
    guarded = Guarded(with_density(law, *paths), policy=policy, fallback=fallback, limit=limit, history=5)
    check_material(guarded, amplitude=0.005).raise_if_failed()


def test_a_mixture_of_law_and_fallback_keeps_the_contract() -> None:
    guarded = Guarded(SOFT, policy="fall back", fallback=STEEL, grade=by_strain(0.004), history=4)
    check_material(guarded, amplitude=0.006).raise_if_failed()
    state = drive(guarded, PATHS).state[:, PATHS.steps // 3]
    assert 0 < guarded.fallen(state).sum() < len(state)
    again = guarded.update(PATHS.strain[:, -1], state, 1.0)
    for row in range(len(state)):  # which rows fell back does not matter to the others
        alone = guarded.update(PATHS.strain[row : row + 1, -1], state[row : row + 1], 1.0)
        np.testing.assert_allclose(alone.stress[0], again.stress[row], rtol=1e-12)


@pytest.mark.parametrize("policy", ["none", "warn", "cut"])
def test_where_nothing_is_outside_the_guarded_law_is_the_law_exactly(policy) -> None:
    guarded = Guarded(STEEL, policy=policy, grade=everywhere(0.99))
    alone, watched = drive(STEEL, PATHS, tangent=True), drive(guarded, PATHS, tangent=True)
    np.testing.assert_array_equal(watched.stress, alone.stress)
    np.testing.assert_array_equal(watched.tangent, alone.tangent)
    assert (watched.status == 1).all()


# --- policies --------------------------------------------------------------------------------------------------------


def test_none_passes_the_status_of_the_law_on_and_grades() -> None:
    guarded = Guarded(STEEL, policy="none", grade=everywhere(3.0))
    answer = guarded.update(np.full((5, 3), 1e-3), guarded.initial_state(5), 1.0)
    assert answer.status.tolist() == [1] * 5
    assert answer.state[:, guarded.state_layout["grade"]].tolist() == [[3.0]] * 5
    assert guarded.reason(answer.state, answer.status) == ""


def test_warn_calls_points_outside_out_of_range() -> None:
    guarded = Guarded(STEEL, grade=by_strain(0.002))
    strain = np.array([[0.001, 0.0, 0.0], [0.003, 0.0, 0.0], [np.nan, 0.0, 0.0]])
    assert guarded.update(strain, guarded.initial_state(3), 1.0).status.tolist() == [1, 0, -1]


@pytest.mark.fem
def test_a_march_logs_once_for_every_accepted_step_with_points_outside(caplog) -> None:
    from pointlaw.fem import march

    problem = strip(Guarded(STEEL, grade=by_strain(0.0025)), pull=0.01)
    with caplog.at_level(logging.WARNING, logger="pointlaw.fem.march"):
        solution = march(problem, [0.2, 0.4, 0.6, 0.8, 1.0])
    counts = [report.out_of_range_points for report in solution.reports]
    assert counts[0] == 0 < counts[-1]
    assert len(caplog.records) == sum(count > 0 for count in counts)
    assert f"{counts[-1]} points are outside the range of their law" in caplog.text


@pytest.mark.fem
def test_strict_stops_a_march_with_a_sentence_that_names_law_count_and_grade(law, paths) -> None:
    from pointlaw.errors import NotConverged
    from pointlaw.fem import StepController, march

    problem = strip(Guarded(STEEL, policy="strict", grade=by_strain(0.002)), pull=0.01)
    with pytest.raises(NotConverged) as caught:
        march(problem, [0.2, 1.0], StepController(max_cuts=3))
    said = str(caught.value)
    assert "the law 'PlaneStrain' is outside what it was trained for at" in said
    assert "of these points, worst grade" in said
    assert "where 1 is allowed" in said
    assert caught.value.solution.times[0] == 0.2
    guarded = Guarded(with_density(law, *paths), policy="strict")
    far = np.full((2, 3), 0.2)
    answer = guarded.update(far, guarded.initial_state(2), 1.0)
    assert answer.status.tolist() == [-1, -1]
    assert "the law 'small'" in guarded.reason(answer.state, answer.status)


@pytest.mark.fem
def test_one_guarded_law_in_two_regions_gives_each_of_them_its_own_reason() -> None:
    from pointlaw.fem import Displacement, MechanicsProblem
    from pointlaw.fem.mpi import MPI  # isort: skip

    import dolfinx

    from pointlaw.fem.tagged_mesh import TaggedMesh

    mesh = dolfinx.mesh.create_rectangle(MPI.COMM_SELF, [[0.0, 0.0], [2.0, 1.0]], [4, 2])
    cells = np.arange(mesh.topology.index_map(2).size_local, dtype=np.int32)
    right = dolfinx.mesh.compute_midpoints(mesh, 2, cells)[:, 0] > 1.0
    body = TaggedMesh(mesh, cell_tags=dolfinx.mesh.meshtags(mesh, 2, cells, right.astype(np.int32)))
    supports = [  # only the left half is pulled; the right one, evaluated last, hangs loose
        Displacement(lambda x: np.isclose(x[0], 0.0), x=0.0, y=0.0),
        Displacement(lambda x: np.isclose(x[0], 1.0), x=lambda t: 0.01 * t, y=0.0),
    ]
    law = Guarded(STEEL, policy="strict", grade=by_strain(0.004))
    report = MechanicsProblem(body, {0: law, 1: law}, supports=supports).solve(1.0, 1.0)
    assert "of region '0'" in report.detail
    assert f"is outside what it was trained for at {report.failed_points} of these points" in report.detail


def test_cut_heals_a_step_that_was_only_too_long_without_any_warning() -> None:
    too_long = lambda strain, increment, state: np.linalg.norm(increment, axis=1) / 1e-3  # noqa: E731
    path = through([[0.008, 0.0, 0.0]], steps=2, kinematics=PLANE_STRAIN)
    record = drive(Guarded(STEEL, policy="cut", grade=too_long), path)
    assert record.ok
    assert record.cuts[0] > 0
    assert (record.status == 1).all()


def test_cut_leaves_in_a_short_step_and_goes_on_with_a_warning() -> None:
    guarded = Guarded(STEEL, policy="cut", grade=by_strain(0.005), smallest_step=1e-4)
    record = drive(guarded, through([[0.008, 0.0, 0.0]], steps=4, kinematics=PLANE_STRAIN))
    assert record.ok
    assert record.status[0].tolist() == [1, 1, 1, 0, 0]
    count, _, strain = guarded.history.read(record.state[:, -1, guarded.state_layout["strain_history"]])
    walked = np.linalg.norm(strain[0, : count[0]], axis=1)
    crossing = np.flatnonzero(walked > 0.005)[0]
    assert walked[crossing] - walked[crossing - 1] <= 1e-4 + 1e-12
    assert walked[-1] - walked[-2] > 1e-3  # outside, steps are of full length again


# --- the fallback ----------------------------------------------------------------------------------------------------


def test_where_everything_is_outside_the_answer_is_that_of_the_fallback_exactly() -> None:
    guarded = Guarded(SOFT, policy="fall back", fallback=STEEL, grade=everywhere(2.0))
    alone, watched = drive(STEEL, PATHS, tangent=True), drive(guarded, PATHS, tangent=True)
    np.testing.assert_array_equal(watched.stress, alone.stress)
    np.testing.assert_array_equal(watched.tangent, alone.tangent)
    np.testing.assert_array_equal(watched.state[..., guarded.state_layout["fallback"]][:, 1:], alone.state[:, 1:])


def test_after_the_step_in_which_a_point_left_it_is_as_if_the_fallback_had_been_asked_from_the_start() -> None:
    guarded = Guarded(SOFT, policy="fall back", fallback=STEEL, grade=by_strain(0.004), history=40)
    law, fallback, watched = drive(SOFT, PATHS), drive(STEEL, PATHS), drive(guarded, PATHS)
    out = np.linalg.norm(PATHS.strain, axis=2) > 0.004
    left = np.where(out.any(axis=1), out.argmax(axis=1), PATHS.steps)
    assert (left < PATHS.steps).any()
    later = np.arange(PATHS.steps + 1) > left[:, None]
    np.testing.assert_allclose(watched.stress[~later], law.stress[~later], rtol=1e-12, atol=1e-9)
    np.testing.assert_allclose(watched.stress[later], fallback.stress[later], rtol=1e-12, atol=1e-9)
    assert (watched.status[later] == 1).all()
    assert (watched.status[np.arange(len(left)), left][left < PATHS.steps] == 0).all()


def test_a_fallback_that_depends_on_the_rate_gets_the_times_of_the_history_too() -> None:
    slow = PlaneStrain(GeneralisedMaxwell(E=1e4, nu=0.3, tau=[0.3], g=[0.6]))
    guarded = Guarded(SOFT, policy="fall back", fallback=slow, grade=by_strain(0.004), history=40)
    times = np.cumsum(np.linspace(0.0, 1.0, PATHS.steps + 1) ** 2)
    path = StrainPath(np.concatenate([[0.0], times[1:]]), PATHS.strain, PLANE_STRAIN)
    watched, fallback = drive(guarded, path), drive(slow, path)
    fallen = guarded.fallen(watched.state[:, -2])
    assert fallen.any()
    np.testing.assert_allclose(watched.stress[fallen, -1], fallback.stress[fallen, -1], rtol=1e-9, atol=1e-9)


class Impatient(Material):
    """A law that fails where the strain changes by more than ``limit`` in one step."""

    kinematics, state_layout = PLANE_STRAIN, StateLayout(last=3)

    def __init__(self, limit: float):
        self.limit = limit

    def update(self, strain, state, dt, *, tangent=True):
        far = np.linalg.norm(strain - state, axis=1) > self.limit
        moduli = np.tile(1e3 * np.eye(3), (len(strain), 1, 1)) if tangent else None
        return Response(1e3 * strain, moduli, strain.copy(), np.where(far, -1, 1))


def test_a_fallback_that_fails_on_the_way_to_its_state_fails_and_says_so() -> None:
    fallback = Impatient(0.01)
    guarded = Guarded(SOFT, policy="fall back", fallback=fallback, grade=by_strain(0.002))
    path = np.array([[[0.02, 0.0, 0.0], [0.021, 0.0, 0.0]], [[0.005, 0.0, 0.0], [0.006, 0.0, 0.0]]])
    start = guarded.update(path[:, 0], guarded.initial_state(2), 1.0)
    assert start.status.tolist() == [0, 0]
    answer = guarded.update(path[:, 1], start.state, 1.0)
    assert answer.status.tolist() == [-1, 1]
    assert "the fallback 'Impatient' failed at 1 of these points" in guarded.reason(answer.state, answer.status)
    alone = fallback.update(path[1:, 1], path[1:, 0], 1.0)
    np.testing.assert_array_equal(answer.stress[1], alone.stress[0])
    # The advice of the sentence helps.
    patient = Guarded(SOFT, policy="fall back", fallback=Substepped(fallback), grade=by_strain(0.002))
    state = patient.update(path[:, 0], patient.initial_state(2), 1.0).state
    assert patient.update(path[:, 1], state, 1.0).status.tolist() == [1, 1]


@pytest.mark.fem
def test_a_law_that_all_ranks_call_together_is_refused_with_the_right_order() -> None:
    from pointlaw.fem.mpi import MPI  # isort: skip

    from pointlaw.rve import Balanced

    dealt = Balanced(STEEL, MPI.COMM_SELF)
    with pytest.raises(InputError, match=r"write Balanced\(Guarded\(law, fallback=rve\)\)"):
        Guarded(SOFT, policy="fall back", fallback=dealt, grade=everywhere(0.0))
    with pytest.raises(InputError, match=r"write Balanced\(Guarded\(law\)\)"):
        Guarded(dealt, grade=everywhere(0.0))


@pytest.mark.fem
def test_newton_keeps_its_order_in_the_step_after_points_fell_back() -> None:
    from pointlaw.fem import march

    problem = strip(Guarded(SOFT, policy="fall back", fallback=STEEL, grade=by_strain(0.004)), pull=0.02, rows=3)
    solution = march(problem, np.linspace(0.1, 1.0, 10))
    state = next(iter(problem.regions.values())).history.committed
    fallen = problem.regions["body"].material.fallen(state)
    assert 0 < fallen.sum() < len(fallen) or fallen.all()
    assert solution.stats.cuts == 0
    assert max(report.iterations for report in solution.reports) <= 8


# --- the history -----------------------------------------------------------------------------------------------------


def test_a_history_with_room_is_the_path_exactly() -> None:
    guarded = Guarded(STEEL, policy="none", grade=everywhere(2.0), history=40)
    found = outside_paths(guarded, drive(guarded, PATHS).state[:, -1])
    assert found.count.tolist() == [PATHS.steps + 1] * len(PATHS)
    np.testing.assert_array_equal(found.strain[:, : PATHS.steps + 1], PATHS.strain)
    np.testing.assert_allclose(found.time[:, : PATHS.steps + 1], np.tile(PATHS.times, (len(PATHS), 1)), atol=1e-14)
    assert (found.loss == 0.0).all()


def test_a_full_history_keeps_the_corners_and_drops_straight_lines() -> None:
    path = through([[[0.004, 0, 0], [0.004, 0.003, 0], [-0.002, 0.0, 0.001]]], steps=20, kinematics=PLANE_STRAIN)
    guarded = Guarded(STEEL, policy="none", grade=everywhere(2.0), history=6)
    found = outside_paths(guarded, drive(guarded, path).state[:, -1])
    kept = found.strain[0, : found.count[0]]
    for corner in path.strain[0, [0, 20, 40, 60]]:
        assert np.abs(kept - corner).sum(axis=1).min() < 1e-15
    assert found.loss[0] < 1e-15


def test_a_full_history_keeps_the_moment_when_a_ramp_becomes_a_hold() -> None:
    slow = PlaneStrain(GeneralisedMaxwell(E=1e4, nu=0.3, tau=[1.0], g=[0.9]))
    guarded = Guarded(SOFT, policy="fall back", fallback=slow, grade=by_strain(0.004), history=16)
    state, alone = guarded.initial_state(1), slow.initial_state(1)
    steps = [(0.0039 * k / 20, 0.001) for k in range(1, 21)] + [(0.0039, 0.02)] * 200 + [(0.0041, 0.02), (0.0042, 0.02)]
    for shear, dt in steps:
        strain = np.array([[0.0, 0.0, shear]])
        answer, wanted = guarded.update(strain, state, dt), slow.update(strain, alone, dt)
        state, alone = answer.state, wanted.state
    assert guarded.history.loss(state[:, guarded.state_layout["strain_history"]])[0] < 1e-15
    np.testing.assert_allclose(answer.stress, wanted.stress, rtol=1e-9)


def test_the_loss_counts_a_rate_that_was_forgotten() -> None:
    history = StrainHistory(4, PLANE_STRAIN)
    rows = history.initial(1)
    for strain, dt in [(0.001, 0.1), (0.004, 1.0), (0.004, 1.0), (0.0, 1.0)]:
        rows = history.append(rows, np.array([[strain, 0.0, 0.0]]), dt)
    # The line from 0 to 0.004 within 1.1 passes 0.004/11 when the path was at 0.001, on the same straight line.
    assert history.loss(rows)[0] == pytest.approx(0.001 - 0.004 / 11, rel=1e-12)


def test_a_curved_path_loses_a_little_in_a_full_history() -> None:
    guarded = Guarded(STEEL, policy="none", grade=everywhere(2.0), history=12)
    found = outside_paths(guarded, drive(guarded, PATHS).state[:, -1])
    assert (found.count <= 12).all()
    assert ((found.loss > 0.0) & (found.loss < 0.01)).all()


def test_only_committed_points_above_the_limit_are_handed_over() -> None:
    guarded = Guarded(STEEL, policy="warn", grade=by_strain(0.005), history=40)
    state = drive(guarded, PATHS).state[:, -1]
    far = np.linalg.norm(PATHS.strain, axis=2).max(axis=1)
    found = outside_paths(guarded, state)
    np.testing.assert_allclose(np.sort(found.grade), np.sort(far[far > 0.005]) / 0.005, rtol=1e-12)
    guarded.update(np.full((len(PATHS), 3), 0.05), state, 1.0)  # tried, never committed
    assert len(outside_paths(guarded, state)) == len(found)
    assert len(outside_paths(guarded, state, share=0.5)) == (far > 0.0025).sum()


def test_the_choice_of_histories_begins_with_the_worst_and_spreads() -> None:
    guarded = Guarded(STEEL, policy="none", grade=by_strain(0.001), history=40)
    strain = np.array([[0.009, 0, 0], [0.0089, 0, 0], [0, 0.005, 0], [0, 0.0051, 0], [0, 0, 0.004]])[:, None]
    record = drive(guarded, through(strain, steps=10, kinematics=PLANE_STRAIN))
    found = outside_paths(guarded, record.state[:, -1])
    assert found.spread(1).tolist() == [0]
    assert set(found.spread(3)[1:].tolist()) in ({3, 4}, {2, 4})
    assert sorted(found.spread(10).tolist()) == [0, 1, 2, 3, 4]


def test_short_histories_go_back_the_way_they_came() -> None:
    guarded = Guarded(STEEL, policy="none", grade=everywhere(2.0), history=8)
    record = drive(guarded, through([[0.003, 0.001, 0.0]], steps=3, kinematics=PLANE_STRAIN))
    path = outside_paths(guarded, record.state[:, -1]).to_path(STEEL, 8, 2.0)
    np.testing.assert_array_equal(path.strain[0], record.strain[0][[0, 1, 2, 3, 2, 1, 0, 1, 2]])
    assert path.times[-1] == 2.0


def test_wrong_options_get_a_sentence(law) -> None:
    with pytest.raises(InputError, match="policy = 'panic' must be one of none, warn"):
        Guarded(STEEL, policy="panic", grade=everywhere(0.0))
    with pytest.raises(InputError, match="has no density and is no ensemble"):
        Guarded(law)
    with pytest.raises(InputError, match="do not belong together"):
        Guarded(STEEL, policy="fall back", grade=everywhere(0.0))
    with pytest.raises(InputError, match="the fallback small_strain_3d"):
        Guarded(STEEL, policy="fall back", grade=everywhere(0.0), fallback=LinearElastic(E=1.0, nu=0.3))
    other = LearnedMaterial(law.network, law.card.model_copy(update={"units": Units(stress="Pa")}))
    with pytest.raises(InputError, match=r"guarded law are \(stress MPa, .* its fallback \(stress Pa"):
        Guarded(law, policy="fall back", grade=everywhere(0.0), fallback=other)
    with pytest.raises(InputError, match="too short"):
        StrainHistory(3, PLANE_STRAIN)
    with pytest.raises(InputError, match="guarded already"):
        Guarded(Guarded(STEEL, grade=everywhere(0.0)), grade=everywhere(0.0))

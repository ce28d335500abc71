"""Path plans: path i from seed and index alone, bounded, and sentences for what does not fit."""

import numpy as np
import pytest
from scipy.stats import qmc

from pointlaw.errors import InputError
from pointlaw.rve.plan import PLANS, make_plan
from pointlaw.rve.sobol import DIMENSIONS, sobol
from pointlaw.tensors import FINITE_PLANE_STRAIN, PLANE_STRAIN, SMALL_STRAIN_3D

BOUND, STEP = 0.02, 0.004
KINDS = {
    "proportional": {"steps": 7, "unload": True, "smallest": 0.005},
    "cyclic": {"steps": 12, "cycles": 2},
    "random_walk": {"steps": 40},
    "gaussian_process": {"steps": 40},
    "sobol": {"steps": 7, "unload": True},
}


def plan_of(kind, **more):
    return make_plan({"kind": kind, "paths": 20, "seed": 5, "bound": BOUND, "step_size": STEP} | KINDS[kind] | more)


def test_every_kind_is_tried_here():
    assert KINDS.keys() == PLANS.keys()


@pytest.mark.parametrize("kinematics", [SMALL_STRAIN_3D, PLANE_STRAIN, FINITE_PLANE_STRAIN], ids=str)
@pytest.mark.parametrize("kind", KINDS)
def test_a_path_is_the_same_to_the_last_bit_alone_and_among_others(kind, kinematics):
    plan = plan_of(kind)
    together = plan.load(range(20), kinematics).target
    for i in (0, 7, 19):
        assert np.array_equal(plan.load([i], kinematics).target[0], together[i])
    assert np.array_equal(plan.load([3, 2], kinematics).target, together[[3, 2]])


@pytest.mark.parametrize("kinematics", [SMALL_STRAIN_3D, FINITE_PLANE_STRAIN], ids=str)
@pytest.mark.parametrize("kind", KINDS)
def test_strain_and_step_stay_within_their_bounds_and_start_at_the_undeformed_body(kind, kinematics):
    strain = plan_of(kind).load(range(20), kinematics).target - kinematics.reference
    assert np.array_equal(strain[:, 0], 0.0 * strain[:, 0])
    assert np.linalg.norm(strain, axis=-1).max() <= BOUND * (1 + 1e-12)
    assert np.linalg.norm(np.diff(strain, axis=1), axis=-1).max() <= STEP * (1 + 1e-12)
    assert np.linalg.norm(strain, axis=-1).max() > 0.5 * BOUND


@pytest.mark.parametrize("kind", KINDS)
def test_another_seed_is_another_set_of_paths(kind):
    first, second = (plan_of(kind, seed=s).load([4], PLANE_STRAIN).target for s in (1, 2))
    assert not np.allclose(first, second)


def test_chosen_directions_are_taken_in_turn():
    plan = plan_of("proportional", directions=[[2, 0, 0], [0, 1, 1]], smallest=None, unload=False)
    ends = plan.load([0, 1, 2], PLANE_STRAIN).target[:, -1]
    assert ends == pytest.approx(BOUND * np.array([[1, 0, 0], [0, 0.5**0.5, 0.5**0.5], [1, 0, 0]]))


def test_a_stress_direction_controls_every_component_by_stress():
    load = plan_of("cyclic", control="stress", bound=300.0, step_size=None).load([0, 1], PLANE_STRAIN)
    assert load.mask.all()
    assert np.linalg.norm(load.target, axis=-1).max() == pytest.approx(300.0)


def test_the_sobol_points_are_those_of_an_independent_implementation():
    ours = sobol(list(range(256)), DIMENSIONS)
    theirs = qmc.Sobol(DIMENSIONS, scramble=False, bits=30).random_base2(8)
    assert np.array_equal(ours, theirs)


def test_shifted_sobol_points_fill_the_cube_more_evenly_than_random_ones():
    shifted = sobol(list(range(512)), 6, seed=3)
    random = np.random.default_rng(3).uniform(size=(512, 6))
    assert qmc.discrepancy(shifted) < 0.5 * qmc.discrepancy(random)


def test_a_box_gives_every_component_its_own_amplitude():
    ends = plan_of("sobol", box=[0.01, 0.002, 0.004]).load(range(64), PLANE_STRAIN).target[:, 7]
    largest = np.abs(ends).max(axis=0)
    assert (largest <= [0.01, 0.002, 0.004]).all()
    assert (largest > 0.9 * np.array([0.01, 0.002, 0.004])).all()


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        ({"kind": "spiral"}, "kind = 'spiral'; known kinds are proportional, cyclic"),
        ({"bond": 0.1}, "'bond' is not a known entry"),
        ({"bound": None}, "bound = None"),
        ({"bound": -1.0}, "bound = -1.0"),
        ({"paths": 0}, "paths = 0"),
        ({"step_size": 0.0001}, "set steps = 200"),
        ({"directions": [[1, 0]]}, "must have 3 components"),
        ({"directions": [[0, 0, 0]]}, "not all zero"),
        ({"directions": []}, "directions is empty"),
        ({"smallest": 1.0}, "must not be above bound"),
    ],
)
def test_a_plan_that_cannot_be_used_gets_a_sentence(change, sentence):
    values = {"kind": "proportional", "paths": 20, "bound": BOUND, "steps": 10} | change
    with pytest.raises(InputError, match=sentence.replace("(", r"\(")):
        make_plan(values).load([0], PLANE_STRAIN)


def test_a_walk_without_step_size_is_refused():
    with pytest.raises(InputError, match="'step_size' is missing"):
        make_plan({"kind": "random_walk", "paths": 2, "steps": 3, "bound": 0.1})

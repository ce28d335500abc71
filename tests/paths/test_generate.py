"""The generators: bounded, starting at the undeformed body, and the same for the same seed and index."""

import numpy as np
import pytest

from pointlaw.errors import InputError
from pointlaw.paths import cyclic, gaussian_process, proportional, random_directions, random_walk, through
from pointlaw.tensors import FINITE_STRAIN_3D, PLANE_STRAIN, SMALL_STRAIN_3D, UNIAXIAL


def walk(indices, kinematics=SMALL_STRAIN_3D, seed=3, bound=0.01):
    return random_walk(indices, seed=seed, steps=40, step_size=0.2 * bound, bound=bound, kinematics=kinematics)


def smooth(indices, kinematics=SMALL_STRAIN_3D, seed=3, bound=0.01):
    return gaussian_process(indices, seed=seed, steps=40, step_size=0.2 * bound, bound=bound, kinematics=kinematics)


RANDOM = pytest.mark.parametrize("generator", [walk, smooth])


@RANDOM
def test_path_17_is_path_17_however_many_are_drawn(generator):
    many, few, one = generator(20), generator([3, 17]), generator([17])
    assert np.array_equal(many.strain[17], one.strain[0])
    assert np.array_equal(few.strain[1], one.strain[0])


@RANDOM
def test_other_seeds_and_other_indices_are_other_paths(generator):
    paths = [generator([1], seed=0), generator([1], seed=1), generator([0], seed=1)]
    ends = [tuple(path.strain[0, -1]) for path in paths]
    assert len(set(ends)) == 3


@RANDOM
@pytest.mark.parametrize("kinematics", [SMALL_STRAIN_3D, PLANE_STRAIN, UNIAXIAL, FINITE_STRAIN_3D], ids=str)
def test_random_paths_start_undeformed_and_stay_within_their_bounds(generator, kinematics):
    path = generator(30, kinematics=kinematics)
    from_start = path.strain - kinematics.reference
    assert np.abs(from_start[:, 0]).max() == 0.0
    assert np.linalg.norm(from_start, axis=-1).max() <= 0.01 * (1 + 1e-12)
    assert np.linalg.norm(np.diff(path.strain, axis=1), axis=-1).max() <= 0.002 * (1 + 1e-12)


def test_the_walk_uses_its_room():
    reach = np.linalg.norm(walk(50).strain, axis=-1).max(axis=1)
    assert np.median(reach) > 0.5 * 0.01


def test_a_longer_correlation_makes_smoother_paths():
    rough, soft = (
        gaussian_process(50, seed=1, steps=100, bound=0.01, correlation=correlation) for correlation in (0.05, 0.5)
    )

    def bend(path):
        return np.linalg.norm(np.diff(path.strain, n=2, axis=1)) / np.linalg.norm(path.strain)

    assert bend(soft) < 0.1 * bend(rough)


def test_the_gaussian_process_has_the_covariance_it_claims():
    """With six components the norm hardly ever exceeds the bound, so next to no path is shrunk."""
    path = gaussian_process(2000, seed=5, steps=10, bound=2.0 * np.sqrt(6.0), correlation=0.3)
    sample = np.moveaxis(path.strain[:, 1:], 1, 2).reshape(-1, 10)  # 12000 samples of variance one
    time = path.times[1:]
    kernel = np.exp(-0.5 * ((time[:, None] - time) / 0.3) ** 2)
    start = np.exp(-0.5 * (time / 0.3) ** 2)
    wanted = kernel - np.outer(start, start)
    # The standard error of an entry is at most √(2/12000) = 0.013.
    assert np.abs(np.cov(sample.T) - wanted).max() < 0.05


def test_proportional_paths_end_at_their_amplitude():
    path = proportional([[2.0, 0, 0, 0, 0, 0], [0, 0, 0, 1.0, 1.0, 0]], amplitude=[0.01, 0.02], steps=4, duration=2.0)
    assert path.times == pytest.approx([0.0, 0.5, 1.0, 1.5, 2.0])
    assert path.strain[0, :, 0] == pytest.approx([0, 0.0025, 0.005, 0.0075, 0.01])
    assert np.linalg.norm(path.strain[1, -1]) == pytest.approx(0.02)


def test_cycles_turn_at_the_amplitude_and_its_ratio():
    path = cyclic([1.0], amplitude=0.01, cycles=2, steps=3, ratio=-0.5, kinematics=UNIAXIAL)
    assert path.steps == 15
    assert path.strain[0, ::3, 0] == pytest.approx([0, 0.01, -0.005, 0.01, -0.005, 0])


def test_a_path_through_points_starts_at_the_identity_at_finite_strain():
    path = through(np.full((2, 9), 0.1), steps=2, kinematics=FINITE_STRAIN_3D)
    assert path.strain[0, 0] == pytest.approx(np.eye(3).ravel())
    assert path.strain[0, -1] == pytest.approx(np.eye(3).ravel() + 0.1)


def test_directions_have_length_one_and_their_own_seed():
    directions = random_directions(5, seed=2)
    assert np.linalg.norm(directions, axis=1) == pytest.approx(np.ones(5))
    assert np.array_equal(random_directions([4], seed=2)[0], directions[4])


@pytest.mark.parametrize(
    ("call", "sentence"),
    [
        (lambda: walk(0), "at least one index"),
        (lambda: walk([-1]), "index -1"),
        (lambda: random_walk(1, seed=0, steps=0, step_size=1.0, bound=1.0), "steps = 0"),
        (lambda: random_walk(1, seed=0, steps=1, step_size=1.0, bound=-1.0), "bound = -1.0"),
        (lambda: walk(1, FINITE_STRAIN_3D, bound=1.0), "below 1 at finite strain"),
        (lambda: gaussian_process(1, seed=0, steps=2, bound=1.0, correlation=0.0), "correlation = 0.0"),
        (lambda: gaussian_process(1, seed=0, steps=2, bound=1.0, step_size=-1.0), "step_size = -1.0"),
        (lambda: proportional(np.zeros(6), amplitude=1.0, steps=1), "length 0.0"),
        (lambda: through(np.zeros((1, 3)), steps=1), "points has shape"),
        (lambda: cyclic(np.ones(6), amplitude=1.0, cycles=0, steps=1), "cycles = 0"),
        (lambda: cyclic(np.ones(6), amplitude=1.0, cycles=1.5, steps=1), "cycles = 1.5 must be an integer"),
        (lambda: proportional(np.ones(6), amplitude=1.0, steps=2.5), "steps = 2.5 must be an integer"),
        (lambda: random_walk(1, seed=0, steps=2.5, step_size=1.0, bound=1.0), "steps = 2.5 must be an integer"),
        (lambda: gaussian_process(1, seed=0, steps=2.5, bound=1.0), "steps = 2.5 must be an integer"),
    ],
)
def test_a_wrong_argument_gets_a_sentence(call, sentence):
    with pytest.raises(InputError, match=sentence):
        call()

"""StrainPath and LoadPath: what they accept, and how they are refined."""

import numpy as np
import pytest

from pointlaw.errors import InputError
from pointlaw.paths import LoadPath, StrainPath, random_walk
from pointlaw.tensors import PLANE_STRESS, SMALL_STRAIN_3D

TIMES = np.array([0.0, 1.0, 3.0])


@pytest.mark.parametrize(
    ("times", "shape", "sentence"),
    [
        ([0.0], (1, 1, 6), "at least one step"),
        ([0.0, 1.0, 1.0], (1, 3, 6), "strictly increasing"),
        ([0.0, np.nan, 2.0], (1, 3, 6), "strictly increasing"),
        ([0.0, 1.0, 2.0], (1, 2, 6), r"must be \(n, 3, 6\)"),
        ([0.0, 1.0, 2.0], (1, 3, 3), r"must be \(n, 3, 6\)"),
        ([[0.0, 1.0]], (1, 2, 6), "at least one step"),
    ],
)
@pytest.mark.parametrize("kind", [StrainPath, LoadPath])
def test_a_path_that_does_not_fit_gets_a_sentence(kind, times, shape, sentence):
    extra = (np.zeros(6, dtype=bool),) if kind is LoadPath else ()
    with pytest.raises(InputError, match=sentence):
        kind(times, np.zeros(shape), *extra)


def test_the_first_path_that_is_not_finite_is_named():
    strain = np.zeros((3, 3, 6))
    strain[1, 2, 0] = np.inf
    with pytest.raises(InputError, match="first in path 1"):
        StrainPath(TIMES, strain)


def test_one_path_may_come_without_its_axis_and_is_not_shared_with_the_caller():
    strain = np.zeros((3, 3))
    path = StrainPath(TIMES, strain, PLANE_STRESS)
    strain[:] = 1.0
    assert path.strain.shape == (1, 3, 3)
    assert not path.strain.any()
    with pytest.raises(ValueError, match="read-only"):
        path.strain[0, 0, 0] = 1.0


def test_refining_keeps_the_corners_and_goes_straight_between_them():
    path = random_walk(4, seed=1, steps=7, step_size=1e-3, bound=5e-3)
    fine = path.refine(5)
    assert fine.steps == 35
    assert np.array_equal(fine.strain[:, ::5], path.strain)
    assert np.array_equal(fine.times[::5], path.times)
    assert fine.strain[:, 2] == pytest.approx(0.4 * path.strain[:, 1], abs=1e-18)


def test_subsampling_undoes_refining():
    path = random_walk(4, seed=1, steps=6, step_size=1e-3, bound=5e-3)
    back = path.refine(3).subsample(3)
    assert np.array_equal(back.strain, path.strain)
    assert np.array_equal(back.times, path.times)
    assert path.select([2, 0]).strain[1] == pytest.approx(path.strain[0])
    assert len(path.select([2, 0])) == 2


@pytest.mark.parametrize(
    ("what", "number"), [("refine", 0), ("refine", 2.5), ("subsample", 0), ("subsample", 1.5), ("subsample", 4)]
)
def test_a_refinement_that_leaves_a_rest_is_refused(what, number):
    path = random_walk(1, seed=1, steps=6, step_size=1e-3, bound=5e-3)
    with pytest.raises(InputError, match=what):
        getattr(path, what)(number)


@pytest.mark.parametrize("shape", [(6,), (3, 6), (2, 1, 6), (2, 3, 6)])
def test_the_control_of_components_broadcasts(shape):
    flags = np.zeros(shape, dtype=bool)
    flags[..., 2] = True
    load = LoadPath(TIMES, np.zeros((2, 3, 6)), flags, SMALL_STRAIN_3D)
    assert load.mask.shape == (2, 3, 6)
    assert load.mask[..., 2].all()
    assert load.steps == 2


def test_a_control_of_the_wrong_shape_is_refused():
    with pytest.raises(InputError, match="stress_controlled has shape"):
        LoadPath(TIMES, np.zeros((2, 3, 6)), np.zeros(5, dtype=bool))

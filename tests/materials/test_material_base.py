"""The contract's own small things: state layout, response, the door into given arrays, blocks."""

import math

import numpy as np
import pytest

from pointlaw.errors import InputError
from pointlaw.materials import J2, LinearElastic, Material, PointStatus, Response, StateLayout, finite_rows
from pointlaw.materials.base import extended
from pointlaw.materials.blocks import BlockedMaterial
from pointlaw.materials.rows import row_norm, solve_rows
from pointlaw.tensors import SMALL_STRAIN_3D


def test_a_layout_places_its_variables_one_after_another():
    layout = StateLayout(a=6, b=1, c=0)
    assert (layout.size, layout["a"], layout["b"], layout["c"]) == (7, slice(0, 6), slice(6, 7), slice(7, 7))
    assert list(layout) == ["a", "b", "c"]
    assert repr(layout) == "StateLayout(a=6, b=1, c=0)"


def test_a_layout_splits_what_it_joined():
    layout = StateLayout(a=2, b=1)
    state = layout.join(a=np.arange(6.0).reshape(3, 2), b=np.arange(3.0))
    parts = layout.split(state)
    assert parts["a"] == pytest.approx(np.arange(6.0).reshape(3, 2))
    assert parts["b"][:, 0] == pytest.approx(np.arange(3.0))


@pytest.mark.parametrize("variables", [{"a": np.zeros(3)}, {"a": np.zeros(3), "b": np.zeros(3), "c": np.zeros(3)}])
def test_a_missing_or_unknown_variable_is_named(variables):
    with pytest.raises(InputError, match=r"needs \['a', 'b'\]"):
        StateLayout(a=1, b=1).join(**variables)


def test_a_negative_size_is_refused():
    with pytest.raises(InputError, match="'a' has size -1"):
        StateLayout(a=-1)


def test_a_wrapper_renames_a_variable_of_its_own_that_the_law_inside_has_already():
    inner = StateLayout(strain=6, outer_strain=6, slip=1)
    assert extended({"strain": 3, "factor": 1}, inner).sizes == {
        "outer_outer_strain": 3,
        "factor": 1,
        "strain": 6,
        "outer_strain": 6,
        "slip": 1,
    }
    assert list(extended({"slip": 2}, inner, last=True)) == ["strain", "outer_strain", "slip", "outer_slip"]


@pytest.mark.parametrize("where", ["stress", "tangent", "state"])
@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_a_row_that_is_not_finite_is_failed_whatever_the_law_says(where, value):
    arrays = {"stress": np.zeros((3, 2)), "tangent": np.zeros((3, 2, 2)), "state": np.zeros((3, 1))}
    arrays[where][1].flat[-1] = value
    response = Response(**arrays, status=np.array([1, 1, 0]))
    assert response.status.tolist() == [PointStatus.FINE, PointStatus.FAILED, PointStatus.OUT_OF_RANGE]
    assert response.status.dtype == np.int8


def test_rows_with_huge_entries_are_finite_and_no_rows_at_all_are_no_error():
    assert finite_rows(np.full((2, 3), 1e308)).tolist() == [True, True]
    assert finite_rows(np.empty((0, 6))).shape == (0,)
    assert finite_rows(np.empty((3, 0))).tolist() == [True] * 3


def test_the_default_door_into_given_arrays_leaves_an_unwanted_tangent_alone():
    class Spring(Material):
        kinematics = SMALL_STRAIN_3D

        def update(self, strain, state, dt, *, tangent=True):
            moduli = np.tile(np.eye(6), (len(strain), 1, 1)) if tangent else None
            return Response(strain.copy(), moduli, state.copy(), dt_factor=0.5)

    out = Response(np.zeros((2, 6)), np.full((2, 6, 6), 7.0), np.zeros((2, 0)))
    Spring().update_into(np.ones((2, 6)), np.zeros((2, 0)), 1.0, out, tangent=False)
    assert (out.stress == 1.0).all()
    assert (out.tangent == 7.0).all()
    assert out.dt_factor == 0.5


def test_a_law_without_the_tangent_that_was_asked_for_is_named():
    class Lazy(Material):
        kinematics = SMALL_STRAIN_3D

        def update(self, strain, state, dt, *, tangent=True):
            return Response(strain.copy(), None, state.copy())

    out = Response(np.zeros((1, 6)), np.zeros((1, 6, 6)), np.zeros((1, 0)))
    with pytest.raises(TypeError, match="Lazy"):
        Lazy().update_into(np.zeros((1, 6)), np.zeros((1, 0)), 1.0, out)


def test_a_batch_larger_than_a_block_is_answered_like_its_rows():
    law = J2(E=210e3, nu=0.3, yield_stress=250.0, H=1000.0)
    points = 2 * law.block + 3
    strain = 3e-3 * np.random.default_rng(0).standard_normal((points, 6))
    answer = law.update(strain, law.initial_state(points), 1.0)
    for row in (0, law.block - 1, law.block, points - 1):
        one = law.update(strain[row : row + 1], law.initial_state(1), 1.0)
        assert answer.stress[row] == pytest.approx(one.stress[0], rel=1e-13)
        assert answer.tangent[row] == pytest.approx(one.tangent[0], rel=1e-12, abs=1e-8)


def test_blocks_reduce_the_smallest_time_factor_and_mark_failed_rows():
    class Picky(BlockedMaterial):
        kinematics = SMALL_STRAIN_3D
        block = 2

        def update_block(self, strain, state, dt, out):
            out.stress[...] = strain
            if out.tangent is not None:
                out.tangent[...] = np.eye(6)
            out.dt_factor = 1.0 + strain[0, 0]
            return np.where(strain[:, 0] < 0, PointStatus.OUT_OF_RANGE, PointStatus.FINE).astype(np.int8)

    strain = np.zeros((5, 6))
    strain[2, 0], strain[4, 3] = -0.5, np.nan
    answer = Picky().update(strain, np.zeros((5, 0)), 1.0)
    assert answer.dt_factor == 0.5
    assert answer.status.tolist() == [1, 1, 0, 1, -1]
    assert np.isnan(answer.stress[4]).all()
    assert Picky().update(strain[:0], np.zeros((0, 0)), 1.0).dt_factor == math.inf


def test_a_singular_row_is_nan_and_leaves_the_others_alone():
    matrices = np.array([np.eye(2), np.zeros((2, 2)), 2.0 * np.eye(2)])
    answer = solve_rows(matrices, np.ones((3, 2)))
    assert answer[[0, 2]] == pytest.approx(np.array([[1.0, 1.0], [0.5, 0.5]]))
    assert np.isnan(answer[1]).all()
    assert solve_rows(matrices, np.ones((3, 2, 4))).shape == (3, 2, 4)
    assert row_norm(np.array([[3.0, 4.0]])) == pytest.approx([5.0])


@pytest.mark.parametrize(
    ("parameters", "sentence"),
    [
        ({"E": -1.0, "nu": 0.3}, "E = -1.0 must be a finite number > 0"),
        ({"E": math.nan, "nu": 0.3}, "E = nan"),
        ({"E": 1.0, "nu": 0.5}, "nu = 0.5 must lie between -1 and 0.5"),
        ({"E": 1.0, "nu": -1.0}, "nu = -1.0"),
    ],
)
def test_wrong_elastic_parameters_get_a_sentence(parameters, sentence):
    with pytest.raises(InputError, match=sentence):
        LinearElastic(**parameters)


@pytest.mark.parametrize("size", [1, 2, 3, 5, 8])
@pytest.mark.parametrize("kind", ["definite", "any", "needs exchange", "badly scaled"])
def test_small_systems_are_solved_like_lapack_does(size, kind):
    rng = np.random.default_rng(size)
    matrices = rng.standard_normal((40, size, size))
    if kind == "definite":
        matrices = matrices @ matrices.swapaxes(1, 2) + np.eye(size)
    if kind == "needs exchange" and size > 1:
        matrices[:, 0, 0] = 0.0
    if kind == "badly scaled":
        matrices = (matrices + size * np.eye(size)) * 10.0 ** rng.integers(-9, 9, (40, size, 1))
    right = rng.standard_normal((40, size, 2))
    answer = solve_rows(matrices, right)
    wanted = np.linalg.solve(matrices, right)
    scale = np.linalg.cond(matrices)[:, None, None] * np.abs(wanted).max(axis=(1, 2), keepdims=True)
    assert (np.abs(answer - wanted) <= 1e-12 * scale).all()

"""Mandel vectors against full tensors, and the doors to Abaqus against contraction work."""

import numpy as np
import pytest

from pointlaw.tensors import DEVIATORIC, IDENTITY, VOLUMETRIC, from_mandel, rotation, to_mandel
from pointlaw.tensors.mandel import (
    strain_from_umat,
    strain_to_umat,
    stress_from_umat,
    stress_to_umat,
    tangent_from_umat,
    tangent_to_umat,
)

RNG = np.random.default_rng(7)


def symmetric(*shape, dim=3):
    tensor = RNG.standard_normal((*shape, dim, dim))
    return tensor + tensor.swapaxes(-1, -2)


def random_rotation():
    q, _ = np.linalg.qr(RNG.standard_normal((3, 3)))
    return q * np.sign(np.linalg.det(q))


@pytest.mark.parametrize(("size", "dim"), [(6, 3), (3, 2), (1, 1)])
def test_vector_and_tensor_are_inverse_of_each_other(size, dim):
    tensor = symmetric(4, 5, dim=dim)
    assert from_mandel(to_mandel(tensor, size)) == pytest.approx(tensor, rel=1e-15)


def test_the_axisymmetric_vector_fills_the_four_entries_it_has():
    tensor = from_mandel(np.array([1.0, 2.0, 3.0, 4.0]))
    assert tensor == pytest.approx(
        np.array([[1.0, 4.0 / np.sqrt(2.0), 0.0], [4.0 / np.sqrt(2.0), 2.0, 0.0], [0.0, 0.0, 3.0]])
    )


def test_the_shear_order_is_23_13_12():
    tensor = np.zeros((3, 3))
    tensor[0, 1] = tensor[1, 0] = 12.0
    tensor[0, 2] = tensor[2, 0] = 13.0
    tensor[1, 2] = tensor[2, 1] = 23.0
    assert to_mandel(tensor) / np.sqrt(2.0) == pytest.approx([0.0, 0.0, 0.0, 23.0, 13.0, 12.0])


def test_only_the_symmetric_part_is_taken():
    tensor = RNG.standard_normal((3, 3))
    assert to_mandel(tensor) == pytest.approx(to_mandel(0.5 * (tensor + tensor.T)))


def test_the_scalar_product_is_the_double_contraction():
    a, b = symmetric(20), symmetric(20)
    assert np.sum(to_mandel(a) * to_mandel(b), axis=-1) == pytest.approx(np.einsum("pij,pij->p", a, b))


def test_the_projections_are_complementary_and_act_as_trace_and_deviator():
    a = symmetric()
    assert from_mandel(VOLUMETRIC @ to_mandel(a)) == pytest.approx(np.trace(a) / 3.0 * np.eye(3))
    assert from_mandel(DEVIATORIC @ to_mandel(a)) == pytest.approx(a - np.trace(a) / 3.0 * np.eye(3))
    assert np.abs(VOLUMETRIC @ DEVIATORIC).max() < 1e-15


@pytest.mark.parametrize("constant", [IDENTITY, VOLUMETRIC, DEVIATORIC])
def test_shared_constants_cannot_be_written(constant):
    with pytest.raises(ValueError, match="read-only"):
        constant[0] = 1.0


@pytest.mark.parametrize("size", [0, 2, 5, 9])
def test_a_size_that_no_mandel_vector_has_is_refused(size):
    with pytest.raises(ValueError, match="1, 3, 4 or 6"):
        to_mandel(np.eye(3), size)
    with pytest.raises(ValueError, match="1, 3, 4 or 6"):
        from_mandel(np.zeros(size))


def test_umat_order_is_11_22_33_12_13_23_with_engineering_shear():
    strain = symmetric()
    e = strain
    umat = [e[0, 0], e[1, 1], e[2, 2], 2 * e[0, 1], 2 * e[0, 2], 2 * e[1, 2]]
    assert strain_to_umat(to_mandel(strain)) == pytest.approx(np.array(umat))
    s = symmetric()
    assert stress_to_umat(to_mandel(s)) == pytest.approx(
        np.array([s[0, 0], s[1, 1], s[2, 2], s[0, 1], s[0, 2], s[1, 2]])
    )


@pytest.mark.parametrize(
    ("there", "back"),
    [(strain_to_umat, strain_from_umat), (stress_to_umat, stress_from_umat)],
    ids=["strain", "stress"],
)
def test_the_umat_door_swings_both_ways(there, back):
    vectors = RNG.standard_normal((5, 6))
    assert back(there(vectors)) == pytest.approx(vectors, rel=1e-15)
    assert there(back(vectors)) == pytest.approx(vectors, rel=1e-15)


def test_the_umat_tangent_maps_umat_strain_to_umat_stress():
    moduli, strain = RNG.standard_normal((4, 6, 6)), RNG.standard_normal((4, 6))
    stress = np.einsum("pij,pj->pi", moduli, strain)
    door = np.einsum("pij,pj->pi", tangent_to_umat(moduli), strain_to_umat(strain))
    assert door == pytest.approx(stress_to_umat(stress))
    assert tangent_from_umat(tangent_to_umat(moduli)) == pytest.approx(moduli)


def test_work_is_the_same_on_both_sides_of_the_umat_door():
    stress, strain = RNG.standard_normal((6, 6)), RNG.standard_normal((6, 6))
    work = np.sum(stress * strain, axis=1)
    assert np.sum(stress_to_umat(stress) * strain_to_umat(strain), axis=1) == pytest.approx(work)


def test_a_rotation_turns_vectors_as_it_turns_tensors():
    r, a = random_rotation(), symmetric()
    assert rotation(r) @ to_mandel(a) == pytest.approx(to_mandel(r @ a @ r.T))


def test_rotations_are_orthogonal_and_compose():
    r, q = random_rotation(), random_rotation()
    assert rotation(r) @ rotation(r).T == pytest.approx(np.eye(6), abs=1e-14)
    assert rotation(r @ q) == pytest.approx(rotation(r) @ rotation(q), abs=1e-14)


def test_a_batch_of_rotations_is_the_rotations_one_by_one():
    batch = np.array([random_rotation() for _ in range(4)])
    assert rotation(batch) == pytest.approx(np.array([rotation(r) for r in batch]))


@pytest.mark.parametrize(
    "matrix",
    [2.0 * np.eye(3), np.diag([1.0, 1.0, -1.0]), np.full((3, 3), np.nan), np.eye(2)],
    ids=["stretch", "reflection", "nan", "2x2"],
)
def test_a_matrix_that_is_no_rotation_is_refused(matrix):
    with pytest.raises(ValueError, match="rotation"):
        rotation(matrix)

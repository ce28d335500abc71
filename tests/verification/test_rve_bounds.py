"""Order of the boundary conditions, bounds, indifference to the origin of the cell: theorems of homogenisation.

Uniform traction ≤ periodic ≤ linear displacement (Huet 1990, doi 10.1016/0022-5096(90)90041-2), all between Reuss and
Voigt (Hill 1963, doi 10.1016/0022-5096(63)90036-X), as quadratic forms.
"""

import numpy as np
import pytest

from pointlaw.materials import J2, FiniteJ2, FinitePlaneStrain, LinearElastic, PlaneStrain
from pointlaw.rve import (
    Fibres,
    Image,
    LinearDisplacement,
    Periodic,
    RVEMaterial,
    UniformTraction,
    homogenise,
    lattice_inclusions,
    random_inclusions,
)

pytestmark = pytest.mark.fem
SOFT, STIFF = LinearElastic(1.0, 0.35), LinearElastic(20.0, 0.2)
DISCS = random_inclusions(0.35, 6, seed=2)


def lowest(difference):
    return np.linalg.eigvalsh(0.5 * (difference + difference.T)).min()


@pytest.mark.parametrize("dim", [2, 3])
def test_traction_periodic_linear_and_voigt_come_in_this_order(dim):
    mesh = DISCS.mesh(12) if dim == 2 else Fibres(DISCS, 0.4).mesh((6, 6, 3))
    soft, stiff = (PlaneStrain(law) if dim == 2 else law for law in (SOFT, STIFF))
    found = [
        homogenise(RVEMaterial(mesh, {1: soft, 2: stiff}, c())) for c in (UniformTraction, Periodic, LinearDisplacement)
    ]
    rve = RVEMaterial(mesh, {1: soft, 2: stiff})
    share = rve.element.points[2] / sum(rve.element.points.values())
    C = [law.update(np.zeros((1, len(found[0]))), law.initial_state(1), 1.0).tangent[0] for law in (soft, stiff)]
    voigt = (1.0 - share) * C[0] + share * C[1]
    reuss = np.linalg.inv((1.0 - share) * np.linalg.inv(C[0]) + share * np.linalg.inv(C[1]))
    for weaker, stronger in zip([reuss, *found], [*found, voigt], strict=True):
        assert lowest(stronger - weaker) > -1e-12
        assert np.abs(stronger - weaker).max() > 1e-3  # they are not the same


def test_the_origin_of_a_periodic_cell_does_not_matter():
    image = DISCS.image(12)
    laws = {1: PlaneStrain(J2(200.0, 0.3, 0.25, H=2.0)), 2: PlaneStrain(LinearElastic(400.0, 0.2))}
    strains = np.array([[[2e-3, -5e-4, 1e-3]], [[4e-3, -1e-3, 3e-3]]])
    answers = []
    for shift in ((0, 0), (5, 3)):
        rve = RVEMaterial(image.shifted(*shift).mesh(12), laws, tolerance=1e-12)
        state = rve.initial_state(1)
        for strain in strains:
            answer = rve.update(strain, state, 1.0)
            state = answer.state
        answers.append(answer)
    np.testing.assert_allclose(answers[0].stress, answers[1].stress, rtol=1e-9)
    np.testing.assert_allclose(answers[0].tangent, answers[1].tangent, rtol=1e-9, atol=1e-9 * answers[0].tangent.max())


def test_the_unit_of_length_does_not_matter():
    image = DISCS.image(8)
    laws = {1: PlaneStrain(SOFT), 2: PlaneStrain(STIFF)}
    large = type(image)(image.voxels, 1e3, names=image.names)
    one, two = (homogenise(RVEMaterial(i.mesh(8), laws)) for i in (image, large))
    np.testing.assert_allclose(one, two, rtol=1e-11, atol=1e-12)


def test_a_sheet_between_voids_carries_its_plane_strain_modulus_per_volume_of_the_box():
    voxels = np.ones((3, 8), dtype=int)
    voxels[:, 3:5] = 0
    mesh = Image(voxels, (1.0, 2.0)).mesh((3, 8), voids=[0])
    found = homogenise(RVEMaterial(mesh, PlaneStrain(LinearElastic(200.0, 0.3))))
    expected = np.zeros((3, 3))
    expected[0, 0] = 0.75 * 200.0 / (1.0 - 0.3**2)
    np.testing.assert_allclose(found, expected, atol=1e-11 * expected.max())


def test_finite_strain_is_indifferent_to_a_rotation():
    laws = {1: FinitePlaneStrain(FiniteJ2(200.0, 0.3, 0.25, H=2.0)), 2: FinitePlaneStrain(FiniteJ2(400.0, 0.2, 9.0))}
    rve = RVEMaterial(lattice_inclusions("square", 0.3).mesh(6), laws, tolerance=1e-12)
    F = np.array([[1.004, 0.003], [0.0, 0.998]])
    c, s = np.cos(0.4), np.sin(0.4)
    Q = np.array([[c, -s], [s, c]])
    strain = np.stack([F.ravel(), (Q @ F).ravel()])
    P = rve.update(strain, rve.initial_state(2), 1.0).stress.reshape(2, 2, 2)
    np.testing.assert_allclose(P[1], Q @ P[0], atol=1e-9)
    moment = P[0] @ F.T  # balance of angular momentum of the macroscopic stress
    assert abs(moment[0, 1] - moment[1, 0]) < 1e-9 * np.abs(moment).max()


def test_a_finite_cell_under_a_tiny_strain_is_the_linear_one():
    mesh = lattice_inclusions("square", 0.3).mesh(6)
    finite = {1: FinitePlaneStrain(FiniteJ2(1.0, 0.35, 9.0)), 2: FinitePlaneStrain(FiniteJ2(20.0, 0.2, 9.0))}
    linear = homogenise(RVEMaterial(mesh, {1: PlaneStrain(SOFT), 2: PlaneStrain(STIFF)}))
    moduli = homogenise(RVEMaterial(mesh, finite))
    assert moduli[0, 0] == pytest.approx(linear[0, 0], rel=1e-9)
    assert moduli[0, 3] == pytest.approx(linear[0, 1], rel=1e-9)
    assert moduli[1, 1] == pytest.approx(0.5 * linear[2, 2], rel=1e-9)

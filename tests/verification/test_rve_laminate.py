"""A periodic laminate has a closed form, whatever the anisotropy of its layers; the mesh must meet it to round-off.

Stress components with an index along the normal (N) and strain components without (T) are uniform, so that
``C_NN = ⟨C_NN⁻¹⟩⁻¹`` and so on (Backus 1962, doi 10.1029/JZ067i011p04427; Milton 2002, doi 10.1017/CBO9780511613357).
"""

import numpy as np
import pytest

from pointlaw.materials import LinearElastic, Orthotropic, PlaneStrain, Rotated, random_rotations
from pointlaw.rve import Laminate, Mixed, Periodic, RVEMaterial, homogenise
from pointlaw.tensors.mandel import PAIRS

pytestmark = pytest.mark.fem
PLY = Orthotropic(E=(130.0, 9.0, 12.0), nu=(0.3, 0.25, 0.4), G=(5.0, 6.0, 3.2))
TURNED = [Rotated(PLY, rotation) for rotation in random_rotations(2, seed=3)]


def laminate_stiffness(stiffness, shares, axis, m):
    """Closed form for layers of ``stiffness[k]`` (Mandel, [m, m]) with normal ``axis``."""
    normal = np.array([axis in pair for pair in PAIRS[m]])
    N, T = np.flatnonzero(normal), np.flatnonzero(~normal)

    def mean(values):
        return sum(share * value for share, value in zip(shares, values, strict=True))

    inverse = [np.linalg.inv(C[np.ix_(N, N)]) for C in stiffness]
    coupling = [i @ C[np.ix_(N, T)] for i, C in zip(inverse, stiffness, strict=True)]
    back = [C[np.ix_(T, N)] @ i for i, C in zip(inverse, stiffness, strict=True)]
    rest = [C[np.ix_(T, T)] - b @ C[np.ix_(N, T)] for b, C in zip(back, stiffness, strict=True)]
    A = np.linalg.inv(mean(inverse))
    result = np.empty((m, m))
    result[np.ix_(N, N)] = A
    result[np.ix_(N, T)] = A @ mean(coupling)
    result[np.ix_(T, N)] = mean(back) @ A
    result[np.ix_(T, T)] = mean(rest) + mean(back) @ A @ mean(coupling)
    return result


def virgin(law):
    return law.update(law.kinematics.reference[None], law.initial_state(1), 1.0).tangent[0]


@pytest.mark.parametrize("axis", [0, 1])
@pytest.mark.parametrize("degree", [1, 2])
def test_a_plane_laminate_has_its_closed_form_to_round_off(axis, degree):
    laws = {"layer_1": PlaneStrain(LinearElastic(1.0, 0.3)), "layer_2": PlaneStrain(TURNED[0])}
    mesh = Laminate([0.25, 0.75], axis=axis, size=(1.0, 0.7)).mesh((8, 8))
    exact = laminate_stiffness([virgin(law) for law in laws.values()], [0.25, 0.75], axis, 3)
    found = homogenise(RVEMaterial(mesh, laws, Periodic(), degree=degree))
    assert np.abs(found - exact).max() < 1e-12 * np.abs(exact).max()


@pytest.mark.parametrize("axis", [0, 1, 2])
def test_a_laminate_of_turned_plies_has_its_closed_form_to_round_off(axis):
    laws = {"layer_1": TURNED[0], "layer_2": TURNED[1], "layer_3": LinearElastic(50.0, 0.2)}
    resolution = [3, 3, 3]
    resolution[axis] = 8
    mesh = Laminate([0.25, 0.5, 0.25], axis=axis, dim=3).mesh(resolution)
    exact = laminate_stiffness([virgin(law) for law in laws.values()], [0.25, 0.5, 0.25], axis, 6)
    found = homogenise(RVEMaterial(mesh, laws, Periodic()))
    assert np.abs(found - exact).max() < 1e-12 * np.abs(exact).max()


def test_a_laminate_of_one_element_across_is_exact_too():
    laws = {"layer_1": TURNED[0], "layer_2": LinearElastic(50.0, 0.2)}
    mesh = Laminate([0.5, 0.5], axis=2, dim=3).mesh((1, 1, 2))
    exact = laminate_stiffness([virgin(law) for law in laws.values()], [0.5, 0.5], 2, 6)
    found = homogenise(RVEMaterial(mesh, laws, Periodic()))
    assert np.abs(found - exact).max() < 1e-12 * np.abs(exact).max()


def test_uniform_traction_across_the_layers_is_exact_for_isotropic_ones():
    # Layers across x: periodic in y, uniform traction in x is the laminate's own state.
    laws = {"layer_1": PlaneStrain(LinearElastic(1.0, 0.3)), "layer_2": PlaneStrain(LinearElastic(9.0, 0.2))}
    mesh = Laminate([0.25, 0.75]).mesh((8, 4))
    exact = laminate_stiffness([virgin(law) for law in laws.values()], [0.25, 0.75], 0, 3)
    found = homogenise(RVEMaterial(mesh, laws, Mixed("traction", "periodic")))
    assert np.abs(found - exact).max() < 1e-12 * np.abs(exact).max()

"""The law file that the package ships (demos/laws, made by demos/make_law.py) against the J2 formula it learned.

The teacher is rebuilt from the parameters on the card; the load programmes here are not those of the script.
"""

from pathlib import Path

import numpy as np
import pytest

from pointlaw.data import respond
from pointlaw.laws import LearnedMaterial, load_law
from pointlaw.laws.audit import relative_errors
from pointlaw.materials import J2, Material, PlaneStrain, PointStatus
from pointlaw.paths import cyclic, random_directions
from pointlaw.tensors import PLANE_STRAIN
from pointlaw.testing import check_material

FILE = Path(__file__).parents[2] / "demos" / "laws" / "steel_lstm.safetensors"


@pytest.fixture(scope="module")
def law() -> LearnedMaterial:
    return load_law(FILE)


@pytest.fixture(scope="module")
def teacher(law) -> Material:
    return PlaneStrain(J2(**law.card.provenance.parameters))


def test_the_file_is_small() -> None:
    assert FILE.stat().st_size < 300e3


def test_the_shipped_law_keeps_the_contract_of_a_material(law) -> None:
    check_material(law, amplitude=0.008).raise_if_failed()


def test_the_first_tangent_is_the_plane_strain_stiffness(law) -> None:
    """E (1 − ν) / ((1 + ν)(1 − 2ν)), λ and 2G: Hooke's law in plane strain."""
    E, nu = law.card.provenance.parameters["E"], law.card.provenance.parameters["nu"]
    shear, lame = E / (1 + nu), E * nu / ((1 + nu) * (1 - 2 * nu))
    exact = np.array([[lame + shear, lame, 0], [lame, lame + shear, 0], [0, 0, shear]])
    tangent = law.update(np.zeros((1, 3)), law.initial_state(1), 1.0).tangent[0]
    assert np.linalg.norm(tangent - exact) < 0.01 * np.linalg.norm(exact)


def test_zero_strain_gives_zero_stress_for_ever(law) -> None:
    state = law.initial_state(1)
    for _ in range(50):
        answer = law.update(np.zeros((1, 3)), state, 1.0)
        state = answer.state
        assert np.count_nonzero(answer.stress) == 0


@pytest.mark.parametrize(
    ("amplitude", "steps", "bound"),
    [(0.0008, 10, 0.02), (0.004, 10, 0.05), (0.004, 20, 0.06), (0.010, 20, 0.06)],
)
def test_loading_and_unloading_follows_the_teacher(law, teacher, amplitude: float, steps: int, bound: float) -> None:
    """Load along directions that mostly keep the volume, unload beyond zero and return, as a plate with a hole does."""
    directions = random_directions(40, seed=5, kinematics=PLANE_STRAIN)
    trace = np.array([1.0, 1.0, 0.0]) / np.sqrt(2.0)
    directions = directions - 0.8 * (directions @ trace)[:, None] * trace
    path = cyclic(directions, amplitude=amplitude, cycles=1, ratio=-0.3, steps=steps, kinematics=PLANE_STRAIN)
    learned, exact = respond(law, path.times, path.strain), respond(teacher, path.times, path.strain)
    assert (learned.status == PointStatus.FINE).all()
    assert relative_errors(learned.stress, exact.stress).mean() < bound


def test_unloading_leaves_the_residual_stress_of_plasticity(law, teacher) -> None:
    """After 0.4 % of shear and back the teacher holds a stress that an elastic law would not know."""
    path = cyclic([0.0, 0.0, 1.0], amplitude=0.004, cycles=1, ratio=0.0, steps=12, kinematics=PLANE_STRAIN)
    learned = respond(law, path.times, path.strain).stress[0, -1]
    exact = respond(teacher, path.times, path.strain).stress[0, -1]
    assert np.linalg.norm(exact) > 100.0
    assert np.linalg.norm(learned - exact) < 0.1 * np.linalg.norm(exact)


def test_the_figures_on_the_card_are_honest_about_another_reading(law) -> None:
    figures = law.card.figures
    assert figures.error_median < figures.error_mean < figures.error_95
    assert figures.refinement[2] < figures.refinement[16]
    assert figures.drift > 0.0  # an LSTM creeps when the strain is held; a file that said 0 would not be measured
    assert figures.failed == 0

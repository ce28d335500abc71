"""Laws of neurons as plain data: written from a material, made again, and read from a law file by a new process."""

import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from pointlaw.data import Dataset, Scaling, sample
from pointlaw.errors import InputError
from pointlaw.laws import LAWS, make_law, make_material, neurons, save_law
from pointlaw.materials import (
    COPPER,
    J2,
    MATERIALS,
    CrystalPlasticity,
    Material,
    PlaneStrain,
    Rotated,
    TaylorPolycrystal,
    WithFields,
    random_rotations,
)  # fmt: skip
from pointlaw.networks import build
from pointlaw.paths import gaussian_process
from pointlaw.tensors import PLANE_STRAIN
from pointlaw.training import TrainConfig, fit

SMALL = [name for name, make in MATERIALS.items() if not make().kinematics.finite and name != "j2_fields"]


@pytest.mark.parametrize("name", SMALL)
def test_every_small_strain_law_of_the_package_becomes_plain_data_and_back(name: str) -> None:
    law = MATERIALS[name]()
    entry = json.loads(json.dumps(neurons(law, count=2, time=1.0)))
    again = make_material(entry["law"], parameters=entry["parameters"])
    strain, state = 1e-3 * np.random.default_rng(0).normal(size=(4, law.kinematics.size)), law.initial_state(4)
    for k in (1.0, 2.0):
        one, other = law.update(k * strain, state, 0.1), again.update(k * strain, state, 0.1)
        assert np.array_equal(one.stress, other.stress)
        assert np.array_equal(one.tangent, other.tangent)
        state = one.state


def test_fields_and_wrappers_are_written_by_hand_too() -> None:
    fields = {"law": "J2", "fields": {"yield_stress": [200.0, 250.0]}, "E": 210e3, "nu": 0.3}
    law = make_material("WithFields", parameters=fields, wrappers=["PlaneStrain"])
    expected = PlaneStrain(WithFields(J2, {"yield_stress": [200.0, 250.0]}, E=210e3, nu=0.3))
    strain = np.full((2, 3), 0.01)
    state = law.initial_state(2)
    assert np.array_equal(law.update(strain, state, 1.0).stress, expected.update(strain, state, 1.0).stress)


OWN = """
from pointlaw.materials import J2, PlaneStrain

class Own(PlaneStrain):
    def __init__(self, E: float = 100.0):
        super().__init__(J2(E=E, nu=0.3, yield_stress=0.01 * E))
        self.E = E
"""


@pytest.fixture
def own() -> Iterator[type[Material]]:
    """A law that is not of the package, as its user writes it."""
    names: dict[str, type[Material]] = {}
    exec(OWN, names)
    yield names["Own"]
    LAWS.pop("Own", None)


def test_what_no_file_can_hold_gets_a_sentence(own: type[Material]) -> None:
    with pytest.raises(InputError, match=r"Own is not known by its name.*LAWS\['Own'\] = Own"):
        neurons(own(), count=1)
    LAWS["Own"] = own
    assert neurons(own(E=3.0), count=1)["parameters"] == {"E": 3.0}
    law = own(E=3.0)
    del law.E
    with pytest.raises(InputError, match="Own does not keep all arguments"):
        neurons(law, count=1)
    law.E = np.random.default_rng
    with pytest.raises(InputError, match=r"Own: E is a .*which no law file can hold"):
        neurons(law, count=1)
    LAWS["Own"] = lambda: "no law"  # type: ignore[assignment]
    with pytest.raises(InputError, match="made a str; it must make a Material"):
        make_material("Own")


def paths(law: Material, number: int, *, bound: float, duration: float = 1.0) -> Dataset:
    path = gaussian_process(number, seed=0, steps=6, bound=bound, duration=duration, kinematics=PLANE_STRAIN)
    return sample(law, path)


def test_crystals_as_neurons_learn_a_polycrystal() -> None:
    """Two crystals that lie otherwise than those of the teacher; their encoders and weights are learned."""
    crystal = CrystalPlasticity(**COPPER | {"n": 8.0})
    data = paths(PlaneStrain(TaylorPolycrystal(crystal, random_rotations(6, seed=1))), 3, bound=0.01, duration=10.0)
    scaling = Scaling.fit(data, "physical")
    points = [neurons(PlaneStrain(Rotated(crystal, random_rotations(2, seed=9))), count=2, time=scaling.dt)]
    network = build("material_points", {"features": 4, "outputs": 3, "points": points, "seed": 0})
    settings = {"features": ("strain", "dt"), "precision": "float64", "batch": 5, "learning_rate": 0.1}
    report = fit(network, data, TrainConfig(epochs=9, **settings), validation=data, scaling=scaling)
    assert report.best.validation < 0.5 * report.history[0].training


READER = """
import sys
import numpy as np
import pointlaw.networks

assert "pointlaw.materials" not in sys.modules
points = [{"kind": "material", "count": 1, "law": "J2"}]
try:
    pointlaw.networks.build("material_points", {"features": 3, "outputs": 3, "points": points})
except ValueError as error:
    assert "import pointlaw.laws for the kind 'material'" in str(error), error
else:
    raise SystemExit("built without laws")

from pointlaw.laws import LAWS, load_law
try:
    load_law("law.safetensors")
except Exception as error:
    assert type(error).__name__ == "LawFileError" and "LAWS['Own'] = Own" in str(error), error
else:
    raise SystemExit("loaded without its law")
from own import Own
LAWS["Own"] = Own
law, strain = load_law("law.safetensors"), np.load("strain.npy")
state = law.initial_state(strain.shape[1])
answers = []
for moment in strain:
    answer = law.update(moment, state, 1.0)
    state = answer.state
    answers.append(np.concatenate([answer.stress, answer.tangent.reshape(len(moment), -1), state], 1))
np.save("answers.npy", answers)
"""


def test_a_law_file_answers_in_a_new_process_once_its_laws_are_known(own: type[Material], tmp_path: Path) -> None:
    LAWS["Own"] = own
    steel = PlaneStrain(J2(E=100.0, nu=0.3, yield_stress=0.5, Q=0.6, b=30.0))
    points = [neurons(steel, count=2), neurons(own(E=50.0), count=2)]
    network = build("material_points", {"features": 3, "outputs": 3, "points": points, "seed": 0}).double()
    data = paths(steel, 4, bound=0.03)
    training, kept_back = data.subset(slice(0, 2)), data.subset(slice(2, 4))
    scaling = Scaling.fit(training, "physical")
    law = make_law(network, scaling, name="steels", training=training, kept_back=kept_back)
    assert law.card.figures.tangent_check < 1e-6
    save_law(tmp_path / "law.safetensors", law)
    strain = 0.01 * np.random.default_rng(0).normal(size=(4, 5, 3)).cumsum(0)
    np.save(tmp_path / "strain.npy", strain)
    (tmp_path / "own.py").write_text(OWN)
    done = subprocess.run([sys.executable, "-c", READER], cwd=tmp_path, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr
    state = law.initial_state(5)
    for moment, found in zip(strain, np.load(tmp_path / "answers.npy"), strict=True):
        answer = law.update(moment, state, 1.0)
        state = answer.state
        expected = np.concatenate([answer.stress, answer.tangent.reshape(5, -1), state], 1)
        np.testing.assert_allclose(found, expected, rtol=0.0, atol=1e-12 * np.abs(expected).max())

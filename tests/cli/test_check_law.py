"""``pointlaw check`` of a learned law: figures measured, shown beside the card's, written and drawn."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch

from pointlaw.cli.laws import open_teacher
from pointlaw.data import Dataset, Scaling, Units, load_dataset, respond, sample, save_dataset
from pointlaw.laws import make_law, save_law
from pointlaw.materials import J2, PlaneStrain
from pointlaw.networks import LSTM
from pointlaw.paths import gaussian_process
from pointlaw.tensors import PLANE_STRAIN

pytest.importorskip("matplotlib")

TEACHER = """
output = "data"
[teacher]
law = "J2"
reduce = "PlaneStrain"
parameters = { E = 210e3, nu = 0.3, yield_stress = 250.0, H = 2000.0 }
[plan]
kind = "gaussian_process"
paths = 4
steps = 6
bound = 0.01
seed = 0
"""


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    """A folder with a law that was never trained, its data and the file that names its teacher."""
    folder = tmp_path_factory.mktemp("law")
    path = gaussian_process(12, seed=0, steps=6, bound=0.01, kinematics=PLANE_STRAIN)
    data = sample(PlaneStrain(J2(E=210e3, nu=0.3, yield_stress=250.0, H=2000.0)), path)
    training, kept_back, other = (data.subset(slice(a, a + 4)) for a in (0, 4, 8))
    torch.manual_seed(0)
    network = LSTM(features=3, outputs=3, hidden=4)
    law = make_law(network, Scaling.fit(training), name="raw", training=training, kept_back=kept_back)
    save_law(folder / "law.safetensors", law)
    save_dataset(folder / "kept_back.h5", kept_back)
    save_dataset(folder / "other.h5", other)
    (folder / "teacher.toml").write_text(TEACHER, encoding="utf-8")
    return folder


@pytest.fixture
def check(pointlaw):
    """Return a function that runs ``pointlaw check``: (exit status, stdout, stderr)."""
    return lambda *words: pointlaw("check", *words)


def test_on_the_data_of_the_card_the_figures_of_the_card_are_measured_again(check, folder, tmp_path) -> None:
    law = folder / "law.safetensors"
    status, out, _ = check(law, "--data", folder / "kept_back.h5", "--json", tmp_path / "figures.json")
    content = json.loads((tmp_path / "figures.json").read_text(encoding="utf-8"))
    assert status == 0
    assert "error of stress, mean" in out
    assert "tangent, loading" in out  # the contract is checked as ever
    measured, card = content["measured"], content["card"]
    assert measured.keys() == card.keys()
    for name in ("error_mean", "drift", "cycle_work", "softest", "stress_at_rest"):
        assert measured[name] == pytest.approx(card[name], rel=1e-6, abs=1e-12)
    assert content["goals"]["error_mean"] == {"good": 0.02, "fair": 0.05, "least": False, "verdict": "bad"}
    assert content["data_sha256"] == content["provenance"]["kept_back_sha256"]
    for word in ("longest path", "stress MPa", content["provenance"]["training_sha256"][:12], "density"):
        assert word in out  # where it comes from and what its training covered
    assert content["envelope"]["arc_length"] > 0.0


def test_other_data_give_other_figures(check, folder, tmp_path) -> None:
    check(folder / "law.safetensors", "--data", folder / "other.h5", "--paths", 2, "--json", tmp_path / "figures.json")
    content = json.loads((tmp_path / "figures.json").read_text(encoding="utf-8"))
    assert abs(content["measured"]["error_mean"] / content["card"]["error_mean"] - 1) > 1e-6
    assert content["data_sha256"] != content["provenance"]["kept_back_sha256"]


def test_data_in_other_units_are_refused(check, folder, tmp_path) -> None:
    data = load_dataset(folder / "other.h5")
    card = data.card.model_copy(update={"units": Units(stress="Pa")})
    save_dataset(tmp_path / "pascal.h5", Dataset(data.time, data.strain, 1e6 * data.stress, card))
    status, _, err = check(folder / "law.safetensors", "--data", tmp_path / "pascal.h5")
    assert status == 1
    assert "(stress MPa, strain 1, time s), those of the kept-back paths (stress Pa, strain 1, time s)" in err


def test_without_data_the_rest_comes_from_the_card_and_strict_ends_with_1(check, folder, tmp_path) -> None:
    status, out, _ = check(folder / "law.safetensors", "--json", tmp_path / "figures.json", "--paths", 2, "--strict")
    content = json.loads((tmp_path / "figures.json").read_text(encoding="utf-8"))
    assert status == 1
    assert "inside the envelope, without a teacher" in out
    assert content["measured"]["error_mean"] is None
    assert content["measured"]["drift"] > 0.0
    line = next(line for line in out.splitlines() if "error of stress, mean" in line)
    assert "–" in line
    assert "■" in line  # judged by the card


def test_the_page_is_drawn(check, folder, tmp_path) -> None:
    page = tmp_path / "page.html"
    status, out, err = check(folder / "law.safetensors", "--data", folder / "other.h5", "--page", page)
    assert status == 0, err
    assert "The page is in" in out
    assert "data:image/png;base64" in page.read_text(encoding="utf-8")


@pytest.mark.fem
def test_the_teacher_of_a_sampling_file_is_the_law_that_made_the_data(folder) -> None:
    teacher, data = open_teacher(str(folder / "teacher.toml")), load_dataset(folder / "other.h5")
    np.testing.assert_array_equal(respond(teacher, data.time, data.strain).stress, data.stress)


def test_a_teacher_that_is_none_is_refused(check, folder, tmp_path) -> None:
    words = ("--data", folder / "other.h5", "--page", tmp_path / "page.png", "--teacher", "linear_elastic")
    status, _, err = check(folder / "law.safetensors", *words)
    assert status == 1
    assert err.startswith("Error: The teacher takes small_strain_3d")


def test_a_teacher_is_opened_before_anything_is_measured_and_only_for_a_page(check, folder, tmp_path) -> None:
    words = ("--data", folder / "other.h5", "--page", tmp_path / "page.png", "--teacher", "nonsense")
    status, out, err = check(folder / "law.safetensors", *words)
    assert (status, out) == (1, "")
    assert err.startswith("Error: There is no law 'nonsense'")
    for alone in (("j2", "--teacher", "j2"), (folder / "law.safetensors", "--teacher", "j2")):
        status, out, err = check(*alone)
        assert (status, out) == (1, "")
        assert err == (
            "Error: --teacher is for the page of a learned law: give a law file and --page, or leave it out.\n"
        )


def test_a_formula_is_measured_on_data_and_has_no_page_without(check, folder, tmp_path) -> None:
    status, _, err = check("linear_elastic", "--page", tmp_path / "page.png")
    assert status == 1
    assert "needs --data" in err
    path = gaussian_process(2, seed=0, steps=3, bound=0.001)
    save_dataset(tmp_path / "elastic.h5", sample(J2(E=210e3, nu=0.3, yield_stress=1e9), path))
    status, out, _ = check("linear_elastic", "--data", tmp_path / "elastic.h5", "--json", tmp_path / "figures.json")
    assert status == 0
    assert "error of stress, mean" in out
    content = json.loads((tmp_path / "figures.json").read_text(encoding="utf-8"))
    assert content["measured"]["error_mean"] < 1e-12
    assert content["card"] is None


def test_an_amplitude_below_zero_is_refused(check) -> None:
    status, out, err = check("j2", "--amplitude", "-1")
    assert (status, out) == (1, "")
    assert err == "Error: --amplitude = -1.0 must be above zero.\n"

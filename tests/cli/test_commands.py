"""The commands as a user types them."""

import csv
import json
from pathlib import Path

import numpy as np
import pytest

from pointlaw import errors
from pointlaw.cli import app
from pointlaw.materials import MATERIALS

LAWS = sorted((Path(__file__).parents[2] / "demos" / "laws").glob("*.safetensors"))


@pytest.mark.parametrize("name", ["doctor", "drive", "check", "show", "train", "refine"])
def test_every_command_has_help(pointlaw, name):
    status, out, _ = pointlaw(name, "--help")
    assert status == 0
    assert "Usage: pointlaw " + name in out


def test_a_foreseen_error_is_one_sentence_on_stderr_and_exit_status_1(pointlaw):
    status, out, err = pointlaw("drive", "no_such_law", "--to", "1")
    assert (status, out) == (1, "")
    assert err.startswith("Error: There is no law 'no_such_law'")
    assert err.count("\n") == 1
    assert all(name in err for name in MATERIALS)


def test_pointlaw_debug_shows_the_traceback(pointlaw, monkeypatch):
    monkeypatch.setenv("POINTLAW_DEBUG", "1")
    status, _, err = pointlaw("drive", "no_such_law", "--to", "1")
    assert status == 1
    assert "Traceback" in err
    assert "InputError: There is no law" in err


def test_an_unforeseen_error_shows_its_traceback_and_exit_status_1(pointlaw, monkeypatch):
    monkeypatch.setitem(MATERIALS, "broken", lambda: 1 / 0)
    status, _, err = pointlaw("drive", "broken", "--to", "1")
    assert status == 1
    assert "ZeroDivisionError" in err


def test_drive_writes_a_path_whose_elastic_stress_is_young_times_strain(pointlaw, tmp_path):
    file = tmp_path / "out.csv"
    status, _, _ = pointlaw("drive", "linear_elastic", "--to", 0.001, "--to=-0.001", "--free", "--csv", file)
    rows = list(csv.DictReader(file.read_text(encoding="utf-8").splitlines()))
    assert status == 0
    assert len(rows) == 21
    strain, stress, lateral = (
        np.array([float(row[name]) for row in rows]) for name in ("strain 11", "stress 11", "strain 22")
    )
    assert strain.max() == pytest.approx(0.001)
    np.testing.assert_allclose(stress, 210e3 * strain, atol=1e-9)
    np.testing.assert_allclose(lateral, -0.3 * strain, atol=1e-15)
    assert {row["status"] for row in rows} == {"1"}


def test_drive_reads_back_the_strains_that_it_wrote(pointlaw, tmp_path):
    first, again, path = tmp_path / "first.csv", tmp_path / "again.csv", tmp_path / "path.csv"
    pointlaw("drive", "j2", "--component", "12", "--to", 0.01, "--to", 0, "--csv", first)
    table = np.loadtxt(first, delimiter=",", skiprows=1)
    names = "strain 11,strain 22,strain 33,strain √2·23,strain √2·13,strain √2·12"
    np.savetxt(path, table[:, :7], delimiter=",", header=f"time,{names}", fmt="%.17g", encoding="utf-8")
    pointlaw("drive", "j2", "--path", path, "--csv", again)
    np.testing.assert_allclose(np.loadtxt(again, delimiter=",", skiprows=1), table, rtol=1e-13)


def test_folders_that_are_missing_are_made(pointlaw, tmp_path):
    assert pointlaw("drive", "j2", "--to", 0.01, "--csv", tmp_path / "a" / "b" / "out.csv")[0] == 0
    assert pointlaw("check", "linear_elastic", "--json", tmp_path / "c" / "out.json")[0] == 0
    assert (tmp_path / "a" / "b" / "out.csv").is_file()
    assert json.loads((tmp_path / "c" / "out.json").read_text(encoding="utf-8"))["ok"]


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (["drive", "no_such_law", "--to", "1", "--csv", "file/a.csv"], "file/a.csv cannot be written: "),
        (["check", "no_such_law", "--json", "file/a.json"], "file/a.json cannot be written: "),
        (["check", "no_such_law", "--page", "file/a.png"], "file/a.png cannot be written: "),
        (["check", "no_such_law", "--page", "a.txt"], "A page is drawn as .png, .pdf, .svg or .html; a.txt has none"),
        (["check", "no_such_law", "--json", "."], ". is a folder; name a file in it"),
    ],
)
def test_an_output_that_cannot_be_written_is_refused_before_anything_else(
    pointlaw, tmp_path, monkeypatch, words, sentence
):
    monkeypatch.chdir(tmp_path)
    Path("file").touch()
    status, out, err = pointlaw(*words)
    assert (status, out) == (1, "")
    assert err.startswith(f"Error: {sentence}")
    assert err.count("\n") == 1


@pytest.mark.parametrize(
    ("error", "sentence"),
    [
        (PermissionError(13, "Permission denied", "/data/steel"), "/data/steel cannot be used: Permission denied."),
        (OSError(28, "a.csv cannot be written: No space left on device"), "a.csv cannot be written: No space left"),
        (OSError("The checkpoint a cannot be written: full"), "The checkpoint a cannot be written: full"),
    ],
)
def test_what_the_system_refuses_is_one_sentence(pointlaw, monkeypatch, error, sentence):
    def fail():
        raise error

    monkeypatch.setitem(MATERIALS, "failing", fail)
    status, out, err = pointlaw("check", "failing")
    assert (status, out) == (1, "")
    assert err.startswith(f"Error: {sentence}")
    assert err.count("\n") == 1
    monkeypatch.setenv("POINTLAW_DEBUG", "1")
    assert type(error).__name__ in pointlaw("check", "failing")[2]


@pytest.mark.fem
def test_sampling_into_a_file_is_refused(command, tmp_path):
    (tmp_path / "file").touch()
    plan = '[plan]\nkind = "gaussian_process"\npaths = 1\nsteps = 2\nbound = 0.01\nseed = 0\n'
    (tmp_path / "c.toml").write_text(f'output = "file"\n[teacher]\nlaw = "J2"\n{plan}', encoding="utf-8")
    status, out, err = command("sample", tmp_path / "c.toml", "--quiet")
    assert (status, out) == (1, "")
    assert "file/dataset.h5 cannot be written: " in err
    assert err.count("\n") == 1


def test_drive_prints_the_columns_that_move(pointlaw):
    status, out, _ = pointlaw("drive", "linear_elastic", "--component", "22", "--to", 0.001, "--steps", 2, "--free")
    assert status == 0
    assert "strain 22" in out
    assert "stress 22" in out
    assert "stress 11" not in out
    assert "strain √2·12" not in out


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (["drive", "j2"], "drive needs a path"),
        (["drive", "j2", "--to", "1", "--component", "44"], "There is no component '44'"),
        (["drive", "j2", "--path", "nowhere.csv"], "nowhere.csv is not a CSV file of numbers"),
        (["show", "nowhere.safetensors"], "nowhere.safetensors"),
    ],
)
def test_wrong_input_is_named(pointlaw, words, sentence):
    status, _, err = pointlaw(*words)
    assert status == 1
    assert sentence in err


def test_a_table_with_too_few_columns_is_refused_with_the_columns_it_needs(pointlaw, tmp_path):
    path = tmp_path / "short.csv"
    path.write_text("time, strain\n0, 0\n1, 0.1\n")
    status, _, err = pointlaw("drive", "j2", "--path", path)
    assert status == 1
    assert "has the columns time, strain; small_strain_3d (m = 6, 3D) needs time and 11, 22" in err


def test_the_columns_of_a_path_go_by_their_names(pointlaw, tmp_path):
    path, output = tmp_path / "path.csv", tmp_path / "out.csv"
    path.write_text("# √2·12, time, 33, 23, 13, 22, 11\n0,0,0,0,0,0,0\n0.006,1,0.003,0.004,0.005,0.002,0.001\n")
    assert pointlaw("drive", "linear_elastic", "--path", path, "--csv", output)[0] == 0
    last = np.loadtxt(output, delimiter=",", skiprows=1)[-1]
    np.testing.assert_array_equal(last[:7], [1.0, 0.001, 0.002, 0.003, 0.004, 0.005, 0.006])


HEAD = "time,11,22,33,23,13,12\n"


@pytest.mark.parametrize(
    ("content", "options", "sentence"),
    [
        ("0,0,0,0,0,0,0\n1,0.01,0,0,0,0,0\n", [], "has no header line, but begins with 0,0,0,0,0,0,0; name"),
        ("", [], "has no rows; it needs a header line with time and 11, 22, 33"),
        (HEAD, [], "has no rows"),
        (HEAD.replace(",", ";") + "0;0;0;0;0;0;0\n", [], "has the columns time;11;22"),
        (HEAD.replace("22", "11") + "0,0,0,0,0,0,0\n", [], "has the columns time, 11, 11, 33"),
        (HEAD + "0,0,0,0,0,0,0\n1,0,0\n", [], "is not a table of numbers below its header line"),
        (HEAD + "0,0,0,0,0,0,0,0\n1,0,0,0,0,0,0,0\n", [], "8 numbers a line for 7 columns"),
        (HEAD + "0,0,0,0,0,0,0\n1,x,0,0,0,0,0\n", [], "is not a table of numbers below its header line"),
        (HEAD + "0,0,0,0,0,0,0\n1,1e-3,5e-3,0,0,0,0\n", ["--free"], "leads the strains 22, which --free is to find"),
        (HEAD + "0,0,0,0,0,0,0\n1,1e-3,0,0,0,0,0\n", ["--steps", 10], "leave out --steps"),
        (
            HEAD + "0,0,0,0,0,0,0\n1,1e-3,0,0,0,0,0\n",
            ["--duration", 1, "--component", "11"],
            "leave out --duration and --component",
        ),
    ],
)
def test_a_path_is_applied_as_it_stands_in_the_file_or_refused(pointlaw, tmp_path, content, options, sentence):
    path = tmp_path / "path.csv"
    path.write_text(content)
    status, out, err = pointlaw("drive", "j2", "--path", path, *options)
    assert (status, out) == (1, "")
    assert sentence in err
    assert err.count("\n") == 1


def test_a_path_from_a_file_leads_one_component_if_the_others_are_free(pointlaw, tmp_path):
    path, output = tmp_path / "path.csv", tmp_path / "out.csv"
    path.write_text(HEAD + "0,0,0,0,0,0,0\n1,0,0.001,0,0,0,0\n")
    assert pointlaw("drive", "linear_elastic", "--path", path, "--free", "--component", 22, "--csv", output)[0] == 0
    last = np.loadtxt(output, delimiter=",", skiprows=1)[-1]
    np.testing.assert_allclose(last[1:13], [-3e-4, 1e-3, -3e-4, 0, 0, 0, 0, 210, 0, 0, 0, 0], atol=1e-9)


def test_free_at_finite_strain_shears_instead_of_turning(pointlaw, tmp_path):
    output = tmp_path / "out.csv"
    assert pointlaw("drive", "neo_hooke", "--component", 12, "--to", 0.3, "--free", "--csv", output)[0] == 0
    last = np.loadtxt(output, delimiter=",", skiprows=1)[-1]
    F, P = last[1:10].reshape(3, 3), last[10:19].reshape(3, 3)
    assert (F[0, 1], F[1, 0]) == (0.3, 0.0)
    np.testing.assert_allclose(np.diag(P), 0.0, atol=1e-9)
    np.testing.assert_allclose(P @ F.T, F @ P.T, atol=1e-12)
    assert P[0, 1] == pytest.approx(1.0 * 0.3, rel=0.01)  # shear modulus 1; normal strains are of second order


def test_a_table_in_a_pipe_is_as_wide_as_its_numbers(pointlaw, monkeypatch):
    monkeypatch.setenv("COLUMNS", "80")
    status, out, _ = pointlaw("drive", "neo_hooke", "--component", 12, "--to", 0.3, "--free")
    assert status == 0
    assert "…" not in out
    assert "0.299404" in out


def test_check_of_a_good_law_prints_its_table_and_ends_with_0(pointlaw):
    status, out, _ = pointlaw("check", "linear_elastic")
    assert status == 0
    assert "tangent" in out


def test_check_of_a_law_with_a_wrong_tangent_ends_with_1(pointlaw, monkeypatch):
    law = MATERIALS["linear_elastic"]()
    right = law.update

    def wrong(strain, state, dt, *, tangent=True):
        answer = right(strain, state, dt, tangent=tangent)
        if tangent:
            answer.tangent *= 1.01
        return answer

    monkeypatch.setattr(law, "update", wrong)
    monkeypatch.setitem(MATERIALS, "wrong", lambda: law)
    status, out, _ = pointlaw("check", "wrong")
    assert status == 1
    assert "FAIL" in out


def test_every_error_class_of_the_package_becomes_a_sentence(pointlaw, monkeypatch):
    for kind in (errors.LawFileError, errors.NotConverged, errors.EnvironmentProblem, errors.SetupError):

        def fail(kind=kind):
            raise kind("something is wrong; change it")

        monkeypatch.setitem(MATERIALS, "failing", fail)
        assert pointlaw("check", "failing") == (1, "", "Error: something is wrong; change it\n")


@pytest.mark.skipif(not LAWS, reason="no law file is committed")
def test_show_prints_the_card_of_a_law_file_as_table_and_as_json(pointlaw):
    status, out, _ = pointlaw("show", LAWS[0])
    assert status == 0
    assert "trained on" in out
    _, text, _ = pointlaw("show", LAWS[0], "--json")
    card = json.loads(text)
    assert card["name"] in out


@pytest.mark.skipif(not LAWS, reason="no law file is committed")
def test_a_law_file_is_shown_under_any_suffix(pointlaw, tmp_path):
    (tmp_path / "steel.law").write_bytes(LAWS[0].read_bytes())
    assert pointlaw("show", tmp_path / "steel.law", "--json") == pointlaw("show", LAWS[0], "--json")


def test_the_program_is_installed_under_its_name():
    assert app.app.info.name == "pointlaw"

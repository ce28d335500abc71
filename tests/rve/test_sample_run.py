"""The sampling of a material on one rank: what lies in the output, resuming, failing paths, refusals."""

import json
import re
from pathlib import Path

import h5py
import numpy as np
import pytest
from typer.testing import CliRunner

from pointlaw.cli.app import app
from pointlaw.data import load_dataset
from pointlaw.errors import InputError, NotConverged
from pointlaw.materials import J2, LinearElastic, Material, PlaneStrain, Response
from pointlaw.paths import drive
from pointlaw.rve.collect import read_paths
from pointlaw.rve.farm import Progress
from pointlaw.rve.plan import PLANS, PathPlan, make_plan
from pointlaw.rve.progress import SampleBar
from pointlaw.rve.sample import sample
from pointlaw.rve.sample_file import read_sample_file
from pointlaw.tensors import PLANE_STRAIN

pytestmark = pytest.mark.fem

PLAN = {"kind": "random_walk", "paths": 12, "steps": 15, "bound": 0.01, "step_size": 0.002, "seed": 4}


def law():
    return PlaneStrain(J2(210e3, 0.3, 250.0, H=1000.0))


class Brittle(Material):
    """Answers until a strain component is too large; then fails, or raises."""

    kinematics = PLANE_STRAIN

    def __init__(self, limit, error=None):
        self.limit, self._error = limit, error

    def update(self, strain, state, dt, *, tangent=True):
        broken = np.abs(strain[:, 0]) > self.limit
        if self._error and broken.any():
            raise self._error
        stress = np.where(broken[:, None], np.nan, 1e3 * strain)
        return Response(stress, np.tile(1e3 * np.eye(3), (len(strain), 1, 1)) if tangent else None, state.copy())


class Stopped(Exception):
    pass


class StopsAfter(Material):
    """A law that pulls the plug after some calls."""

    kinematics = PLANE_STRAIN

    def __init__(self, calls):
        self._law, self._calls = law(), calls
        self.state_layout = self._law.state_layout

    def update(self, strain, state, dt, *, tangent=True):
        self._calls -= 1
        if self._calls < 0:
            raise Stopped
        return self._law.update(strain, state, dt, tangent=tangent)


def test_the_dataset_holds_what_drive_answers_path_by_path(tmp_path):
    plan = make_plan(PLAN)
    report = sample(law(), plan, tmp_path / "out", tangent=True)
    dataset = load_dataset(report.dataset)
    record = drive(law(), plan.load(range(12), PLANE_STRAIN), tangent=True)
    assert (report.finished, report.failed, report.computed) == (12, 0, 12)
    assert np.array_equal(dataset.strain, record.strain)
    assert np.allclose(dataset.stress, record.stress, rtol=1e-13, atol=1e-10)
    assert np.allclose(dataset.tangent, record.tangent, rtol=1e-12, atol=1e-8)


def test_the_dataset_says_where_it_comes_from(tmp_path):
    report = sample(law(), make_plan(PLAN), tmp_path)
    card = load_dataset(report.dataset).card
    assert (card.teacher, card.seeds, card.plan["kind"]) == ("PlaneStrain", [4], "random_walk")
    assert card.parameters["law"]["yield_stress"] == 250.0
    assert card.units.stress == "MPa"
    assert {"pointlaw", "numpy", "python"} <= card.versions.keys()
    assert np.allclose(card.stiffness, law().update(np.zeros((1, 3)), law().initial_state(1), 1.0).tangent[0])
    with h5py.File(report.dataset) as file:
        assert file["paths/index"][...].tolist() == list(range(12))
        assert (file["paths/wall_time"][...] > 0).all()
        assert file["paths/wall_time"].attrs["unit"] == "s"


def test_a_run_that_was_stopped_anywhere_resumes_to_the_same_numbers(tmp_path):
    # The law that stops is a stranger whose energy is not known, so nobody is asked for it.
    plan, options = make_plan(PLAN), {"batch": 2, "teacher": "steel", "parameters": {}, "energy": False}
    whole = load_dataset(sample(law(), plan, tmp_path / "whole", **options).dataset)
    left = []
    for calls in (30, 60):
        with pytest.raises(Stopped):
            sample(StopsAfter(calls), plan, tmp_path / "parts", **options)
        left.append(12 - len(read_paths(tmp_path / "parts")))
    report = sample(law(), plan, tmp_path / "parts", **options)
    assert 12 > left[0] > left[1] == report.computed > 0
    assert load_dataset(report.dataset).sha256 == whole.sha256


def test_nothing_is_computed_twice(tmp_path):
    first = sample(law(), make_plan(PLAN), tmp_path)
    again = sample(law(), make_plan(PLAN), tmp_path)
    assert (first.computed, again.computed, again.finished) == (12, 0, 12)


def test_more_paths_of_the_same_plan_are_added_and_the_old_ones_kept(tmp_path):
    few = load_dataset(sample(law(), make_plan(PLAN), tmp_path).dataset)
    report = sample(law(), make_plan(PLAN | {"paths": 15}), tmp_path)
    many = load_dataset(report.dataset)
    assert report.computed == 3
    assert np.array_equal(many.stress[:12], few.stress)


@pytest.mark.parametrize("error", [None, NotConverged("no equilibrium"), np.linalg.LinAlgError("singular")], ids=str)
@pytest.mark.parametrize("batch", [1, 4])
def test_a_failed_path_is_recorded_with_its_reason_and_the_others_are_not_touched(tmp_path, batch, error):
    plan = make_plan(PLAN)
    report = sample(Brittle(0.006, error), plan, tmp_path, batch=batch, max_cuts=2)
    strain = plan.load(range(12), PLANE_STRAIN).target
    beyond = np.abs(strain[..., 0]) > 0.006
    bad = np.flatnonzero(beyond.any(axis=1))
    assert 0 < len(bad) < 12
    assert sorted(report.reasons) == bad.tolist()
    assert (report.finished, report.failed) == (12 - len(bad), len(bad))
    assert np.array_equal(load_dataset(report.dataset).strain, np.delete(strain, bad, axis=0))
    with h5py.File(tmp_path / "failed.h5") as file:
        for index in bad:
            group = file[f"path-{index:07d}"]
            assert group.attrs["reason"].startswith(f"Path {index} stopped")
            if error is None:  # as far as it went: up to the step that leads beyond the limit
                went = int(np.argmax(beyond[index]))
                assert np.array_equal(group["strain"][...], strain[index, :went])
                assert np.array_equal(group["stress"][...], 1e3 * strain[index, :went])


def test_an_output_without_any_finished_path_has_no_dataset(tmp_path):
    report = sample(Brittle(1e-9), make_plan(PLAN), tmp_path, max_cuts=0)
    assert report.dataset is None
    assert report.failed == 12
    assert not (tmp_path / "dataset.h5").exists()


def test_an_error_in_the_code_of_a_law_ends_the_run(tmp_path):
    with pytest.raises(TypeError, match="broken code"):
        sample(Brittle(0.002, TypeError("broken code")), make_plan(PLAN), tmp_path)
    assert not (tmp_path / "writer.lock").exists()


@pytest.mark.parametrize(
    ("change", "what"),
    [({"plan": {"seed": 5}}, "plan"), ({"batch": 3}, "parameters"), ({"yield": 260.0}, "parameters")],
)
def test_an_output_of_another_run_is_refused(tmp_path, change, what):
    sample(law(), make_plan(PLAN), tmp_path)
    other = PlaneStrain(J2(210e3, 0.3, change.get("yield", 250.0), H=1000.0))
    with pytest.raises(InputError, match=rf"paths of another run: {what} differ"):
        sample(other, make_plan(PLAN | change.get("plan", {})), tmp_path, batch=change.get("batch", 1))


def test_a_plan_that_does_not_fit_the_law_is_refused_before_anything_is_written(tmp_path):
    plan = make_plan({"kind": "proportional", "paths": 2, "steps": 2, "bound": 0.1, "directions": [[1, 0]]})
    with pytest.raises(InputError, match="must have 3 components"):
        sample(law(), plan, tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_a_stress_direction_is_followed_and_the_strain_that_belongs_to_it_is_recorded(tmp_path):
    plan = make_plan({"kind": "cyclic", "control": "stress", "paths": 4, "steps": 6, "bound": 320.0, "seed": 2})
    dataset = load_dataset(sample(law(), plan, tmp_path, batch=4).dataset)
    target = plan.load(range(4), PLANE_STRAIN).target
    assert np.abs(dataset.stress - target).max() < 1e-6
    assert np.abs(dataset.strain[:, -1]).max() > 1e-5  # plastic: strain is left when the stress is gone


def test_the_bar_shows_paths_rate_and_failures():
    with SampleBar(10) as bar:
        bar.watch(Progress(finished=3, failed=1), 8)
        task = bar._bar.tasks[0]
        assert (task.completed, task.total) == (5, 10)  # two were there when the run began
        assert "paths/s, 1 failed" in task.fields["note"]


def test_the_command_samples_and_says_what_it_did(tmp_path):
    (tmp_path / "c.toml").write_text(CONFIG)
    result = CliRunner().invoke(app, ["sample", str(tmp_path / "c.toml"), "--out", str(tmp_path / "here"), "--quiet"])
    assert result.exit_code == 0, result.output
    assert "12 paths in" in result.output
    assert load_dataset(tmp_path / "here" / "dataset.h5").paths == 12


CONFIG = """
output = "out"
batch = 4
[teacher]
law = "J2"
reduce = "PlaneStrain"
parameters = { E = 210e3, nu = 0.3, yield_stress = 250.0, H = 1000.0 }
[plan]
kind = "random_walk"
paths = 12
steps = 15
bound = 0.01
step_size = 0.002
seed = 4
[units]
stress = "MPa"
"""


def test_a_configuration_is_the_same_run_as_the_call_in_python(tmp_path):
    (tmp_path / "c.toml").write_text(CONFIG)
    file, plan, teacher = read_sample_file(tmp_path / "c.toml")
    by_file = sample(teacher, plan, tmp_path / "a", batch=file.batch, units=file.units)
    by_hand = sample(law(), make_plan(PLAN), tmp_path / "b", batch=4)
    assert load_dataset(by_file.dataset).sha256 == load_dataset(by_hand.dataset).sha256
    cards = [json.loads((tmp_path / name / "sample.json").read_text())["fingerprint"] for name in "ab"]
    assert cards[0] == cards[1]


def test_a_teacher_may_come_from_a_python_file(tmp_path):
    (tmp_path / "own.py").write_text(
        "from pointlaw.materials import LinearElastic as Own\ndef make(E):\n    return Own(E, 0.3)"
    )
    text = CONFIG.replace('law = "J2"', 'python = "own.py:make"').replace('reduce = "PlaneStrain"', "")
    (tmp_path / "c.toml").write_text(text.replace("E = 210e3, nu = 0.3, yield_stress = 250.0, H = 1000.0", "E = 7.0"))
    _, _, teacher = read_sample_file(tmp_path / "c.toml")
    assert (type(teacher()), teacher().E) == (LinearElastic, 7.0)


@pytest.mark.parametrize(
    ("old", "new", "sentence"),
    [
        ("batch = 4", "bach = 4", "'bach' is not a known entry"),
        ("batch = 4", "batch = 0", "batch = 0"),
        ("bound", "bond", "'bond' is not a known entry"),
        ("[plan]", "[plan", "is not a TOML file"),
        ('output = "out"', "", "'output' is missing"),
        ('law = "J2"', 'law = "J3"', "there is no law 'J3'; known are"),
        ('law = "J2"\nreduce = "PlaneStrain"', 'python = "own.txt:make"', "must look like 'file.py:function'"),
        ('law = "J2"\nreduce = "PlaneStrain"', 'python = "own.py:make"', "there is no file"),
        ('law = "J2"', "", "one of law"),
        ("H = 1000.0", "h = 1000.0", "unexpected keyword argument 'h'"),
        ("E = 210e3", "E = -1.0", "E = -1"),
    ],
)
def test_a_wrong_configuration_gets_a_sentence(tmp_path, old, new, sentence):
    (tmp_path / "c.toml").write_text(CONFIG.replace(old, new, 1))
    with pytest.raises(InputError, match=sentence):
        read_sample_file(tmp_path / "c.toml")[2]()


CELL = """
output = "out"
[teacher]
microstructure = "Laminate"
parameters = { fractions = [0.5, 0.5] }
resolution = 4
tolerance = 1e-10
[teacher.phases.layer_1]
law = "J2"
parameters = { E = 70e3, nu = 0.3, yield_stress = 200.0, H = 1000.0 }
reduce = "PlaneStrain"
[teacher.phases.layer_2]
law = "LinearElastic"
parameters = { E = 400e3, nu = 0.2 }
reduce = "PlaneStrain"
[plan]
kind = "proportional"
paths = 6
steps = 5
bound = 0.01
"""


def test_a_volume_element_is_sampled_and_the_card_says_of_what_it_is_made(tmp_path):
    (tmp_path / "c.toml").write_text(CELL)
    file, plan, teacher = read_sample_file(tmp_path / "c.toml")
    report = sample(teacher, plan, tmp_path / "out", batch=file.batch)
    dataset = load_dataset(report.dataset)
    record = drive(teacher(), plan.load(range(6), PLANE_STRAIN))
    assert np.allclose(dataset.stress, record.stress, rtol=1e-12)
    told = dataset.card.parameters
    assert (told["mesh"]["cells"], told["constraint"]) == (16, "Periodic()")
    assert told["phases"]["layer_1"]["law"]["yield_stress"] == 200.0
    assert told["mesh"]["share_of_cells"] == {"layer_1": 0.5, "layer_2": 0.5}
    assert {"dolfinx", "engine"} <= dataset.card.versions.keys()


class Own(Material):
    """A user's law whose stiffness nobody can see: it is in a closure."""

    kinematics = PLANE_STRAIN

    def __init__(self, E):
        self._answer = lambda strain: E * strain

    def update(self, strain, state, dt, *, tangent=True):
        slope = self._answer(np.eye(3))
        return Response(self._answer(strain), np.tile(slope, (len(strain), 1, 1)) if tangent else None, state.copy())


def test_a_law_that_hides_its_parameters_is_known_by_its_stiffness(tmp_path):
    sample(Own(1000.0), make_plan(PLAN), tmp_path)
    before = (tmp_path / "dataset.h5").read_bytes()
    with pytest.raises(InputError, match="paths of another run: stiffness differ"):
        sample(Own(1001.0), make_plan(PLAN | {"paths": 15}), tmp_path)
    assert (tmp_path / "dataset.h5").read_bytes() == before
    assert sample(Own(1000.0 * (1.0 + 1e-9)), make_plan(PLAN | {"paths": 15}), tmp_path).computed == 3  # round-off


def test_a_folder_of_an_older_version_is_told_from_one_of_another_law(tmp_path):
    sample(law(), make_plan(PLAN), tmp_path)
    path = tmp_path / "sample.json"
    content = json.loads(path.read_text())
    path.write_text(json.dumps(content | {"version": 1}))
    assert sample(law(), make_plan(PLAN), tmp_path).computed == 0  # said alike then and now
    path.write_text(json.dumps(content | {"version": 1, "fingerprint": "0" * 64}))
    with pytest.raises(InputError, match="begun by an older version, which told laws apart by less"):
        sample(law(), make_plan(PLAN), tmp_path)


def test_which_engine_answers_makes_no_other_run(tmp_path):
    for engine in ("batched", "general"):
        (tmp_path / "c.toml").write_text(CELL.replace("resolution", f'engine = "{engine}"\nresolution'))
        _, plan, teacher = read_sample_file(tmp_path / "c.toml")
        report = sample(teacher, plan, tmp_path / "out", batch=8)
    assert report.computed == 0


@pytest.mark.parametrize(
    ("old", "new", "sentence"),
    [
        ("resolution = 4", "", "needs either resolution"),
        ("resolution = 4", "resolution = 4\nmesh = 'cell.msh'", "either microstructure or mesh"),
        ("resolution = 4", "element_size = 0.1", "has no conforming mesh"),
        ('"Laminate"', '"Lamination"', "there is no microstructure 'Lamination'; known are"),
        ("fractions", "fraction", "Laminate does not take these parameters"),
        ("[0.5, 0.5]", "[0.5, 0.6]", "sum to 1"),
        ("phases.layer_2", "phases.layer_3", "layer_3"),
        ("phases.layer_2", "phase.layer_2", "'phase' is not a known entry"),
    ],
)
def test_a_wrong_volume_element_gets_a_sentence(tmp_path, old, new, sentence):
    (tmp_path / "c.toml").write_text(CELL.replace(old, new, 1))
    with pytest.raises(InputError, match=sentence):
        read_sample_file(tmp_path / "c.toml")[2]()


def test_the_configuration_of_the_cluster_page_can_be_used_and_its_table_names_every_kind_of_plan(tmp_path):
    page = (Path(__file__).parents[2] / "docs" / "cluster.md").read_text(encoding="utf-8")
    (tmp_path / "c.toml").write_text(re.search(r"```toml\n(.*?)```", page, re.DOTALL)[1], encoding="utf-8")
    _, plan, teacher = read_sample_file(tmp_path / "c.toml")
    assert plan.load([0], teacher().kinematics).steps == 100
    for name, kind in PLANS.items():
        row = re.search(rf"^\| `{name}` \|.*$", page, re.MULTILINE)[0]
        own = kind.model_fields.keys() - PathPlan.model_fields.keys() - {"kind"}
        assert all(f"`{entry}" in row for entry in own), row

"""``pointlaw refine`` as a user types it: one command that ends with a law that knows what the problem asks."""

import pytest

from pointlaw.data import load_dataset, sample, save_dataset
from pointlaw.errors import InputError
from pointlaw.laws import load_law
from pointlaw.materials import MATERIALS
from pointlaw.paths import gaussian_process
from pointlaw.tensors import PLANE_STRAIN
from pointlaw.training.refine_file import read_refine_file
from pointlaw.training.train_file import read_train_file, train_law

pytestmark = pytest.mark.fem

TRAIN = """
dataset = "steel.h5"
output = "law.safetensors"
architecture = "gru"
[network]
hidden = 4
[train]
epochs = 3
"""
LOOP = """
law = "law.safetensors"
dataset = "steel.h5"
teacher = "j2_plane_strain"
problem = "square.py:solve"
output = "loop"
rounds = 3
paths = 4
[train]
epochs = 2
"""
SQUARE = """
from pathlib import Path
from mpi4py import MPI
import dolfinx, numpy as np
from pointlaw.fem import Displacement, MechanicsProblem, march

def solve(law):
    mesh = dolfinx.mesh.create_unit_square(MPI.COMM_WORLD, 1, 1, dolfinx.mesh.CellType.quadrilateral)
    side = lambda k, value: lambda x: np.isclose(x[k], value)
    supports = [Displacement(side(0, 0.0), x=0.0), Displacement(side(1, 0.0), y=0.0),
                Displacement(side(0, 1.0), x=lambda t: PULL * t)]
    problem = MechanicsProblem(mesh, law, supports=supports)
    kill = Path(__file__).with_name("kill")  # says how many times it may be solved
    if kill.exists():
        if kill.read_text() == "0":
            raise KeyboardInterrupt
        kill.write_text(str(int(kill.read_text()) - 1))
    return problem, march(problem, np.linspace(0.25, 1.0, 4), strict=False)

def lost(law):
    return None
"""


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A law of steel that saw strains of 0.3 %, and a square that is pulled by 0.6 %."""
    folder = tmp_path_factory.mktemp("loop")
    path = gaussian_process(16, seed=0, steps=5, bound=0.003, kinematics=PLANE_STRAIN)
    save_dataset(folder / "steel.h5", sample(MATERIALS["j2_plane_strain"](), path))
    (folder / "train.toml").write_text(TRAIN, encoding="utf-8")
    train_law(read_train_file(folder / "train.toml"), folder)
    (folder / "square.py").write_text(SQUARE.replace("PULL", "0.006"), encoding="utf-8")
    return folder


@pytest.fixture
def refine(folder, command):
    """Return a function that writes a configuration and runs the command on it: (exit status, stdout, stderr)."""

    def run(text):
        (folder / "loop.toml").write_text(text, encoding="utf-8")
        return command("refine", folder / "loop.toml")

    return run


def test_one_command_solves_samples_and_trains_until_no_point_is_outside(refine, folder) -> None:
    status, out, err = refine(LOOP)
    assert status == 0, out + err
    assert "round 0: 4 of 4 points outside" in out
    assert "No point was outside after" in out
    assert load_dataset(folder / "loop" / "round_1.h5").strain.max() > 0.003  # what the problem asked for
    last = out.strip().splitlines()[-1].removeprefix("The last law is ").removesuffix(".")
    assert load_law(last).card.envelope.strain_max[0] > load_law(folder / "law.safetensors").card.envelope.strain_max[0]


def test_a_command_that_was_killed_goes_on_and_ends_with_the_same_law(refine, folder) -> None:
    """Killed in the second solve, when the paths of the first are sampled and the law is trained on them."""
    first, again = (LOOP.replace("rounds = 3", "rounds = 1").replace('"loop"', name) for name in ('"one"', '"two"'))
    whole = refine(first)
    (folder / "kill").write_text("1", encoding="utf-8")
    status, out, _ = refine(again)
    assert status not in (0, 1)
    assert out.count("round") == 1
    status, _, err = refine(again.replace("paths = 4", "paths = 5"))
    assert status == 1
    assert "two/checkpoint/loop.pt is of another network, dataset or configuration" in err
    (folder / "kill").unlink()
    status, out, _ = refine(again)
    assert status == whole[0]
    assert out.splitlines()[:2] == whole[1].splitlines()[:2]
    laws = [(folder / name / "round_1.safetensors").read_bytes() for name in ("one", "two")]
    assert laws[0] == laws[1]
    assert not (folder / "two" / "checkpoint").exists()


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        (LOOP.replace(":solve", ":slove"), "has no function 'slove'"),
        (LOOP.replace(":solve", ""), "must look like 'file.py:function'"),
        (LOOP.replace(":solve", ":lost"), "returned a NoneType; return problem and solution"),
        (LOOP.replace("square.py", "cube.py"), "there is no file"),
        (LOOP.replace("j2_plane_strain", "j2_plain_strain"), "There is no law"),
        (LOOP.replace("rounds", "round"), "'round' is not a known entry"),
        (LOOP.replace('"loop"', '"steel.h5/loop"'), "steel.h5 is not a folder"),
        ("kept_back = 0.5" + LOOP, "kept other paths back than kept_back = 0.5"),
    ],
)
def test_what_is_wrong_is_named_in_one_sentence(refine, text, sentence) -> None:
    status, _, err = refine(text)
    assert status == 1
    assert sentence in err
    assert "Traceback" not in err


def test_a_share_that_cannot_be_meant_is_refused(tmp_path) -> None:
    text = LOOP.replace("paths = 4", "paths = 4\nkept_back = 1.5")
    (tmp_path / "loop.toml").write_text(text, encoding="utf-8")
    with pytest.raises(InputError, match=r"kept_back = 1\.5 must lie between 0 and 1"):
        read_refine_file(tmp_path / "loop.toml")

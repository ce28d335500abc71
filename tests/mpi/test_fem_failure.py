"""Runs that cannot go on: programs under mpirun, with and without ``python -O``; none may hang or give a result."""

import json
import re
import time
from pathlib import Path

import pytest

pytestmark = [pytest.mark.fem, pytest.mark.mpi]

PROGRAM = '''
import sys
import time
from pathlib import Path

import numpy as np

from pointlaw.fem import Checkpoint, Displacement, MechanicsProblem, Observer, StepController, Traction, march
from pointlaw.fem.mpi import MPI
from pointlaw.materials import J2, Material, PlaneStrain
import dolfinx

world = MPI.COMM_WORLD
case, folder = sys.argv[1], Path(sys.argv[2])
inner = PlaneStrain(J2(E=1000.0, nu=0.3, yield_stress=2.0, H=20.0))


class Sick(Material):
    """Beyond a strain, one point of the last rank answers NaN, or the law raises there."""

    kinematics, state_layout, symmetric = inner.kinematics, inner.state_layout, True

    def update(self, strain, state, dt, *, tangent=True):
        answer = inner.update(strain, state, dt, tangent=tangent)
        if world.rank == world.size - 1 and np.abs(strain).max() > 0.004:
            if case == "raises":
                print("raised at", time.time(), flush=True)
                raise ArithmeticError("the law met a strain it cannot bear")
            answer.stress[0, 0] = np.nan
            answer.status[0] = -1
        return answer


mesh = dolfinx.mesh.create_unit_square(world, 4, 4, dolfinx.mesh.CellType.quadrilateral)


def pull(t):
    if case == "bad load" and t > 0.5:
        raise ValueError("the load table ends at t = 0.5")
    return 0.01 * t


supports = [
    Displacement(lambda x: np.isclose(x[0], 0.0), x=0.0, y=0.0),
    Displacement(lambda x: np.isclose(x[0], 1.0), x=pull),
]
if case == "no supports":
    supports, loads = [], [Traction(lambda x: np.isclose(x[0], 1.0), (1.0, 0.0))]
else:
    loads = []
if case == "damaged law":
    from pointlaw.laws import load_law

    law = load_law(sys.argv[3])
else:
    law = Sick()
problem = MechanicsProblem(mesh, law, supports=supports, loads=loads)


class Witness(Observer):
    def abandon(self):
        print("abandoned on rank", world.rank, flush=True)


every = 1 if case == "for ever" else 100  # 100: only the end of the run writes
watchers = [Witness(), Checkpoint(folder, every=every)]
march(problem, [0.1, 0.2, 1.0], StepController(max_cuts=4), observers=watchers)
print("a result", flush=True)
'''


@pytest.fixture
def run(mpirun, tmp_path):
    program = tmp_path / "program.py"
    program.write_text(PROGRAM)

    def start(ranks, case, *more, flags=()):
        job = mpirun(ranks, [*flags, program, case, tmp_path / "save", *more], timeout=150)
        assert "a result" not in job.stdout
        assert job.returncode != 0
        return job

    return start


@pytest.mark.parametrize(("ranks", "flags"), [(2, ()), (3, ("-O",))], ids=["2", "3 with python -O"])
def test_a_law_that_fails_for_ever_ends_in_a_named_cause_with_the_last_state_on_disk(run, tmp_path, ranks, flags):
    job = run(ranks, "for ever", flags=flags)
    # All ranks left in order with the same error, which rank 0 printed once.
    assert job.returncode == 1
    assert job.stderr.count("NotConverged: The step was cut too often in a row") == 1
    assert "Sick failed at 1 point(s) of region 'body', the first near x = (" in job.stderr
    assert "MPI_Abort" not in job.stderr
    reached = float(re.search(r"Last converged time: ([\d.]*\d)", job.stderr).group(1))
    manifest = json.loads((tmp_path / "save" / "latest.json").read_text())
    assert 0.2 <= reached < 1.0
    assert manifest["time"] == pytest.approx(reached, rel=1e-4)
    assert manifest["ranks"] == ranks
    assert len(list((tmp_path / "save").glob("*.h5"))) == ranks


@pytest.mark.parametrize("flags", [(), ("-O",)], ids=["plain", "python -O"])
def test_an_exception_in_a_law_on_one_rank_ends_the_job_within_ten_seconds_with_its_traceback(run, flags):
    job = run(3, "raises", flags=flags)
    ended = time.time()
    began = float(re.search(r"raised at ([\d.]+)", job.stdout).group(1))
    assert ended - began < 10
    assert "[rank 2] ArithmeticError: the law met a strain it cannot bear" in job.stderr
    assert "in update" in job.stderr
    assert "abandoned on rank 2" in job.stdout


def test_an_exception_that_all_ranks_have_still_leaves_the_last_state_on_disk(run, tmp_path):
    job = run(2, "bad load")
    assert "ValueError: the load table ends at t = 0.5" in job.stderr
    assert json.loads((tmp_path / "save" / "latest.json").read_text())["time"] == 0.2
    assert "abandoned" not in job.stdout


def test_a_body_without_supports_ends_before_the_first_step_with_one_sentence(run, tmp_path):
    job = run(2, "no supports")
    assert job.stderr.count("SetupError: The supports leave the body free to move: 3 rigid motion(s)") == 1
    assert not (tmp_path / "save").exists()


# Law files ----------------------------------------------------------------------------------------------------------

LAW = Path(__file__).parents[2] / "demos" / "laws" / "steel_lstm.safetensors"
needs_law = pytest.mark.skipif(not LAW.exists(), reason="the demo law is not there")


def damaged(kind):
    """Return the bytes of the demo law with one kind of damage."""
    content = bytearray(LAW.read_bytes())
    length = int.from_bytes(content[:8], "little")
    if kind == "truncated":
        return bytes(content[: len(content) // 2])
    if kind == "flipped bit":
        content[8 + length + 1000] ^= 0x10
        return bytes(content)
    import safetensors.torch

    weights = safetensors.torch.load(bytes(content))
    if kind == "no card":
        return safetensors.torch.save(weights)
    from pointlaw.laws.file import seal

    card = json.loads(content[8 : 8 + length])["__metadata__"]["card"]
    weights["density.radii" if kind == "NaN density" else "head.bias"][0] = float("nan")
    return seal(weights, card)  # a correct seal over a weight that is not a number


@needs_law
@pytest.mark.mpi(ranks=2, timeout=120)
def test_damaged_law_files_are_refused_on_every_rank_before_anything_is_built(shared_path):
    from pointlaw.errors import LawFileError
    from pointlaw.fem.mpi import MPI
    from pointlaw.laws import load_law

    words = {
        "truncated": "is truncated",
        "flipped bit": "is damaged",
        "NaN weight": "has a weight that is not finite: 'head.bias'",
        "NaN density": "density's 'radii' holds a value that is not finite",
        "no card": "has no card",
    }
    for kind, word in words.items():
        path = shared_path / f"{kind}.safetensors"
        if MPI.COMM_WORLD.rank == 0:
            path.write_bytes(damaged(kind))
        MPI.COMM_WORLD.Barrier()
        with pytest.raises(LawFileError, match=word) as caught:
            load_law(path)
        assert str(path) in str(caught.value)


@needs_law
def test_a_run_with_a_damaged_law_file_ends_with_its_sentence_and_no_result(run, tmp_path):
    path = tmp_path / "law.safetensors"
    path.write_bytes(damaged("flipped bit"))
    job = run(2, "damaged law", path, flags=("-O",))
    assert "LawFileError" in job.stderr
    assert "law.safetensors" in job.stderr

"""Sampling under mpirun: the same dataset on any number of ranks and after kill -9, and never by two writers."""

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

pytest.importorskip("mpi4py")
from mpi4py import MPI

from pointlaw.data import load_dataset
from pointlaw.errors import InputError
from pointlaw.rve.collect import read_paths
from pointlaw.rve.sample import sample
from pointlaw.rve.sample_file import read_sample_file

pytestmark = pytest.mark.fem

CONFIG = """
output = "out"
batch = 2
[teacher]
python = "slow.py:make"
parameters = {{ pace = "{pace}" }}
[plan]
kind = "random_walk"
paths = 40
steps = 12
bound = 0.01
step_size = 0.002
seed = 4
"""
# A law whose pace is no part of its description, so that a run that hangs may be finished by a fast one.
SLOW = '''
import time
from pathlib import Path
from pointlaw.fem.mpi import MPI
from pointlaw.materials import J2, PlaneStrain, Material

class Slow(Material):
    """Fast, or slow until every rank has begun ("meet"), or fast for two or three batches and then stuck ("hang")."""

    def __init__(self, law):
        self.law, self._calls = law, 0
        self.kinematics, self.state_layout = law.kinematics, law.state_layout

    def update(self, strain, state, dt, *, tangent=True):
        self._calls += 1
        if PACE == "meet" and self._calls > 1 and not self._all_are_here():
            time.sleep(0.05)
        if PACE == "hang" and self._calls > 40:
            time.sleep(600.0)
        return self.law.update(strain, state, dt, tangent=tangent)

    def _all_are_here(self):
        (Path(__file__).parent / f"rank-{MPI.COMM_WORLD.rank}").touch()
        return len(list(Path(__file__).parent.glob("rank-*"))) == MPI.COMM_WORLD.size

def make(pace):
    global PACE
    PACE = pace
    return Slow(PlaneStrain(J2(210e3, 0.3, 250.0, H=1000.0)))
'''


def configure(folder: Path, pace: str = "fast") -> Path:
    (folder / "slow.py").write_text(SLOW)
    config = folder / "config.toml"
    config.write_text(CONFIG.format(pace=pace))
    return config


def start(ranks: int, config: Path) -> subprocess.Popen:
    mpiexec = Path(sys.executable).with_name("mpiexec")
    launcher = str(mpiexec) if mpiexec.exists() else shutil.which("mpiexec")
    program = "from pointlaw.cli import main; main()"
    command = [launcher, "-n", str(ranks), sys.executable, "-c", program, "sample", str(config), "--quiet"]
    return subprocess.Popen(
        command, start_new_session=True, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True
    )


def run(config: Path, **options) -> str:
    """Sample in this process and return the hash of the dataset."""
    file, plan, teacher = read_sample_file(config)
    report = sample(teacher, plan, config.parent / file.output, batch=file.batch, **options)
    return load_dataset(report.dataset).sha256


@pytest.mark.mpi(ranks=3)
def test_any_number_of_ranks_makes_the_same_dataset_and_all_of_them_work(shared_path, ranks):
    world = MPI.COMM_WORLD
    if world.rank == 0:
        configure(shared_path, "meet")
        (shared_path / "alone").mkdir()
        alone = run(configure(shared_path / "alone"), comm=MPI.COMM_SELF)
    world.Barrier()
    together = run(shared_path / "config.toml")
    assert {record.rank for record in read_paths(shared_path / "out")} == set(range(ranks))
    if world.rank == 0:
        assert together == alone


@pytest.mark.mpi(ranks=3)
def test_what_is_wrong_on_rank_0_alone_is_raised_on_every_rank(shared_path):
    world = MPI.COMM_WORLD
    config = shared_path / "config.toml"
    if world.rank == 0:
        configure(shared_path)
        (shared_path / "out").mkdir()
        (shared_path / "out" / "sample.json").write_text("{}")
    world.Barrier()
    with pytest.raises(InputError, match=r"sample\.json cannot be read") as caught:
        run(config)
    assert caught.value.collective


@pytest.mark.mpi
def test_kill_9_loses_the_batches_in_flight_at_most_and_the_same_command_finishes_the_run(tmp_path):
    (tmp_path / "alone").mkdir()
    alone = run(configure(tmp_path / "alone"))
    config = configure(tmp_path, "hang")
    with start(2, config) as job:
        seen = wait_for_paths(tmp_path / "out", 4)  # two batches, which rank 0 alone would do
        with pytest.raises(InputError, match="is being written by process"):  # a second writer, meanwhile
            run(config)
        os.killpg(job.pid, signal.SIGKILL)
        kill_ranks(tmp_path)
        job.wait(timeout=30)
        wait_for_death(json.loads((tmp_path / "out" / "writer.lock").read_text())["pid"])
    kept = len(read_paths(tmp_path / "out"))
    assert seen <= kept < 40
    assert (tmp_path / "out" / "writer.lock").exists()
    with start(1, configure(tmp_path)) as job:  # the pace is no part of the law
        assert job.wait(timeout=60) == 0
    assert load_dataset(tmp_path / "out" / "dataset.h5").sha256 == alone
    assert not (tmp_path / "out" / "writer.lock").exists()


def wait_for_paths(folder: Path, number: int) -> int:
    until = time.monotonic() + 60
    while time.monotonic() < until:
        found = len(read_paths(folder)) if (folder / "shards").exists() else 0
        if found >= number:
            return found
        time.sleep(0.02)
    pytest.fail(f"no {number} paths within 60 s")


def wait_for_death(pid: int) -> None:
    """Return when the kernel has buried process ``pid``; SIGKILL is a request, granted a moment later."""
    until = time.monotonic() + 30
    while time.monotonic() < until:
        try:
            state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
        except (FileNotFoundError, ProcessLookupError):
            return
        if state in "ZX":
            return
        time.sleep(0.02)
    pytest.fail(f"process {pid} still runs 30 s after SIGKILL")


def kill_ranks(folder: Path) -> None:
    """Kill what the launcher started in sessions of its own; their command line names this test's folder."""
    for place in Path("/proc").glob("[0-9]*"):
        try:
            if str(folder) in (place / "cmdline").read_bytes().decode():
                os.kill(int(place.name), signal.SIGKILL)
        except (OSError, UnicodeDecodeError):
            continue

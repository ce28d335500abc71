"""A rank that fails ends the job: whole programs under mpirun, with and without ``python -O``."""

import re
import time

import pytest

pytestmark = [pytest.mark.fem, pytest.mark.mpi]

PROGRAM = """
import sys
import time
from pointlaw.errors import MeshError
from pointlaw.fem.mpi import MPI, agree

def deep_inside(rank):
    print("raised at", time.time(), flush=True)
    raise ValueError(f"bad value on rank {rank}")

world = MPI.COMM_WORLD
case = sys.argv[1]
last = world.rank == world.size - 1
if case == "one":
    if last:
        deep_inside(world.rank)
    world.Barrier()
elif case == "agree":
    error = None
    try:
        if last:
            deep_inside(world.rank)
    except ValueError as caught:
        error = MeshError("tag 7 is missing")
        error.__cause__ = caught
    agree(world, error)
elif case == "collective on one rank only":
    if last:
        print("raised at", time.time(), flush=True)
        raise MeshError("the others never heard of this")
    world.Barrier()
elif case == "interrupt":
    if last:
        raise KeyboardInterrupt
    world.Barrier()
elif case == "exit":
    sys.exit(5)
"""


@pytest.fixture
def run(mpirun, tmp_path):
    program = tmp_path / "program.py"
    program.write_text(PROGRAM)

    def start(ranks, case, *flags):
        job = mpirun(ranks, [*flags, program, case], timeout=100)
        moments = re.findall(r"raised at ([\d.]+)", job.stdout)
        job.seconds_after_raise = time.time() - float(moments[0]) if moments else None
        return job

    return start


@pytest.mark.parametrize(("ranks", "flags"), [(2, []), (3, []), (3, ["-O"])], ids=["2", "3", "3 with python -O"])
def test_an_exception_on_one_rank_ends_the_job_within_ten_seconds_with_its_traceback(run, ranks, flags):
    job = run(ranks, "one", *flags)
    assert job.returncode != 0
    assert job.seconds_after_raise < 10
    assert f"[rank {ranks - 1}] ValueError: bad value on rank {ranks - 1}" in job.stderr
    assert "in deep_inside" in job.stderr


def test_an_agreed_error_is_printed_once_in_full_and_names_the_rank_where_it_began(run):
    ranks = 3
    job = run(ranks, "agree")
    assert job.returncode == 1
    assert job.stderr.count(f"MeshError: tag 7 is missing (rank {ranks - 1} of {ranks})") == 1
    assert f"[rank {ranks - 1}] ValueError: bad value" in job.stderr
    assert "MPI_Abort" not in job.stderr  # the ranks left in order


def test_an_error_that_only_claims_to_be_collective_still_ends_the_job_within_ten_seconds(run):
    job = run(2, "collective on one rank only")
    assert job.returncode != 0
    assert job.seconds_after_raise < 10
    assert "[rank 1] pointlaw.errors.MeshError: the others never heard of this" in job.stderr


def test_an_interrupt_on_one_rank_keeps_its_exit_code(run):
    assert run(2, "interrupt").returncode == 130


def test_an_exit_code_is_kept(run):
    assert run(2, "exit").returncode == 5

"""Every demo runs as a script, on one rank and on two; the numbers it must reach are asserted in the demo itself."""

import os
import shutil
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
DEMOS = sorted((ROOT / "demos").glob("demo_*.py"))
SECONDS = 300

pytestmark = [pytest.mark.fem, pytest.mark.slow, pytest.mark.timeout(SECONDS + 30)]


def copy_of_the_demos(folder):
    """Copy the demos with their meshes and laws, so that what they write stays apart."""
    for part in ("demos", "meshes"):
        shutil.copytree(ROOT / part, folder / part, ignore=shutil.ignore_patterns("out", "__pycache__"))
    return folder


@pytest.fixture
def place(tmp_path):
    return copy_of_the_demos(tmp_path)


def run(demo, place):
    command = [sys.executable, place / "demos" / demo.name]
    return subprocess.run(command, cwd=place, text=True, capture_output=True, timeout=SECONDS)


@pytest.fixture(scope="module")
def jobs(request, tmp_path_factory):
    """Start the demos whose tests are run, two at a time and in their order; give the place and the future of each."""
    asked = [item for item in request.session.items if item.path == request.path and "jobs" in item.fixturenames]
    places = {item.callspec.params["demo"]: tmp_path_factory.mktemp("demo") for item in asked}
    with ThreadPoolExecutor(min(2, os.cpu_count() or 1)) as pool:
        yield {demo: (place, pool.submit(run, demo, copy_of_the_demos(place))) for demo, place in places.items()}
        pool.shutdown(cancel_futures=True)


def pictures(place):
    return {path.name: path.stat().st_size for path in (place / "demos" / "out").glob("*.png")}


@pytest.mark.parametrize("demo", DEMOS, ids=lambda demo: demo.stem)
def test_demo_runs_on_one_rank_and_writes_its_picture(demo, jobs):
    place, future = jobs[demo]
    job = future.result()
    assert job.returncode == 0, job.stdout + job.stderr
    assert job.stdout.strip()
    if ".png" in demo.read_text(encoding="utf-8"):
        assert min(pictures(place).values()) > 1000


@pytest.mark.mpi
@pytest.mark.parametrize("demo", DEMOS, ids=lambda demo: demo.stem)
def test_demo_runs_on_two_ranks(demo, place, mpirun):
    job = mpirun(2, [place / "demos" / demo.name], timeout=SECONDS, cwd=place)
    assert job.returncode == 0, job.stdout + job.stderr
    assert job.stdout.strip()

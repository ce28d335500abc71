"""Every demo runs as a script, on one rank and on two; the numbers it must reach are asserted in the demo itself."""

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
DEMOS = sorted((ROOT / "demos").glob("demo_*.py"))
SECONDS = 300

pytestmark = [pytest.mark.fem, pytest.mark.slow, pytest.mark.timeout(SECONDS + 30)]


@pytest.fixture
def place(tmp_path):
    """Return a copy of the demos with their meshes and laws, so that what they write stays apart."""
    for folder in ("demos", "meshes"):
        shutil.copytree(ROOT / folder, tmp_path / folder, ignore=shutil.ignore_patterns("out", "__pycache__"))
    return tmp_path


def pictures(place):
    return {path.name: path.stat().st_size for path in (place / "demos" / "out").glob("*.png")}


@pytest.mark.parametrize("demo", DEMOS, ids=lambda demo: demo.stem)
def test_demo_runs_on_one_rank_and_writes_its_picture(demo, place):
    job = subprocess.run(
        [sys.executable, place / "demos" / demo.name], cwd=place, text=True, capture_output=True, timeout=SECONDS
    )
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

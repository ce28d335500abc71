"""``pointlaw show`` draws meshes and voxel images too."""

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

pytestmark = pytest.mark.fem

PLATE = Path(__file__).parents[2] / "meshes" / "plate_with_hole.msh"


def show(*words):
    """Run the command as a user does."""
    command = [sys.executable, "-c", "from pointlaw.cli import main; main()", "show", *map(str, words)]
    return subprocess.run(command, capture_output=True, text=True, timeout=120, env=dict(os.environ), check=False)


def test_a_mesh_and_a_voxel_image_become_pictures(tmp_path):
    pytest.importorskip("matplotlib")
    np.save(tmp_path / "cell.npy", np.arange(16).reshape(4, 4) % 2 + 1)
    for words in ((PLATE, "--out", tmp_path / "plate.png"), (tmp_path / "cell.npy",)):
        done = show(*words)
        assert done.returncode == 0, done.stderr
    for picture in ("plate.png", "cell.png"):
        assert (tmp_path / picture).read_bytes().startswith(b"\x89PNG")


def test_a_missing_mesh_is_one_sentence(tmp_path):
    done = show(tmp_path / "none.msh")
    assert done.returncode == 1
    assert "There is no mesh file" in done.stderr
    assert "Traceback" not in done.stderr

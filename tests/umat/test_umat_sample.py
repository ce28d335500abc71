"""Sampling a UMAT: where its library lies, and what happens after it was rebuilt."""

import subprocess
import sys

import numpy as np
import pytest

from pointlaw.data import load_dataset

pytestmark = pytest.mark.fem

CONFIG = """
output = "out"
[teacher]
law = "UMAT"
parameters = { library = "libc.so" }
[plan]
kind = "random_walk"
paths = 3
steps = 4
bound = 0.01
step_size = 0.003
seed = 1
"""


def sampled(file, cwd):
    """Return exit status and stderr of ``pointlaw sample`` in a process of its own, as each run of it is."""
    command = [sys.executable, "-c", "from pointlaw.cli import main; main()", "sample", str(file), "--quiet"]
    done = subprocess.run(command, cwd=cwd, capture_output=True, text=True, check=False)
    return done.returncode, done.stderr


def test_the_library_is_looked_for_beside_the_configuration_and_both_may_move(c_library, tmp_path):
    home = c_library("}").parent
    (home / "c.toml").write_text(CONFIG)
    (tmp_path / "elsewhere").mkdir()
    assert sampled(home / "c.toml", tmp_path / "elsewhere") == (0, "")
    first = load_dataset(home / "out" / "dataset.h5")
    np.testing.assert_allclose(first.stress[..., :3], 100.0 * first.strain[..., :3], rtol=1e-12)
    assert first.card.parameters["library"] == "libc.so"
    moved = tmp_path / "moved"
    moved.mkdir()
    for name in ("libc.so", "c.toml", "out"):
        (home / name).rename(moved / name)
    (moved / "c.toml").write_text(CONFIG.replace("paths = 3", "paths = 5"))
    assert sampled("c.toml", moved) == (0, "")
    assert len(load_dataset(moved / "out" / "dataset.h5").strain) == 5


def test_a_sampling_is_not_gone_on_with_by_a_rebuilt_library(c_library):
    home = c_library("}").parent
    (home / "c.toml").write_text(CONFIG)
    assert sampled("c.toml", home) == (0, "")
    c_library("for (int i = 0; i < n; i++) stress[i] *= 2.0; }")
    (home / "c.toml").write_text(CONFIG.replace("paths = 3", "paths = 5"))
    status, said = sampled("c.toml", home)
    assert status == 1
    assert "another run: parameters " in said

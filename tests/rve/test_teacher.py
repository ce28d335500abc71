"""A teacher made by the user's code: what the dataset keeps of that code."""

import hashlib

import numpy as np
import pytest
from typer.testing import CliRunner

from pointlaw.cli.app import app
from pointlaw.data import load_dataset

pytestmark = pytest.mark.fem

CONFIG = """
output = "out"
[teacher]
python = "own.py:make"
parameters = { k = 1.0 }
[plan]
kind = "random_walk"
paths = 3
steps = 4
bound = 0.01
step_size = 0.003
seed = 1
"""
CODE = """
from pointlaw.materials import EnergyLaw

def make(k):
    return EnergyLaw(lambda e: 50.0 * k * (e * e).sum())
"""


def test_a_sampling_is_not_gone_on_with_by_other_code(tmp_path):
    run = lambda: CliRunner().invoke(app, ["sample", str(tmp_path / "c.toml"), "--quiet"])  # noqa: E731
    (tmp_path / "own.py").write_text(CODE)
    (tmp_path / "c.toml").write_text(CONFIG)
    assert run().exit_code == 0
    dataset = load_dataset(tmp_path / "out" / "dataset.h5")
    np.testing.assert_allclose(dataset.stress, 100.0 * dataset.strain, rtol=1e-12)
    assert dataset.card.parameters["made_by"] == {
        "python": "own.py:make",
        "sha256": hashlib.sha256(CODE.encode()).hexdigest(),
    }
    more = CONFIG.replace("paths = 3", "paths = 5")
    (tmp_path / "c.toml").write_text(more)
    (tmp_path / "own.py").write_text(CODE.replace("50.0", "80.0"))
    assert "another run: parameters " in str(run().exception)
    (tmp_path / "own.py").write_text(CODE)
    assert run().exit_code == 0
    assert len(load_dataset(tmp_path / "out" / "dataset.h5").strain) == 5

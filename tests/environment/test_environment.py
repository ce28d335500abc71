"""What the machine lacks is one sentence that says what to do."""

import os
import subprocess
import sys

import pytest

from pointlaw import environment
from pointlaw.errors import EnvironmentProblem

OPEN_MPI = {"OMPI_COMM_WORLD_SIZE": "2", "OMPI_COMM_WORLD_RANK": "1"}


def python(code, **env):
    """Run a program in a process of its own, outside any MPI job."""
    clean = {name: value for name, value in os.environ.items() if not name.startswith(("PMI", "OMPI", "MPI"))}
    return subprocess.run(
        [sys.executable, "-c", code], text=True, capture_output=True, timeout=100, env={**clean, **env}
    )


def test_an_old_python_is_named_with_the_version_that_is_needed():
    sentence = environment.python_sentence((3, 11))
    assert "Python 3.11" in sentence
    assert "3.12" in sentence


def test_this_python_is_new_enough():
    assert environment.python_sentence() is None


def test_a_missing_compiler_is_named_with_the_packages_that_bring_it(monkeypatch):
    monkeypatch.setenv("CC", "no-such-compiler -O2")
    assert environment.compiler() is None
    with pytest.raises(EnvironmentProblem, match=r"'no-such-compiler -O2'.*apt install gcc"):
        environment.require_compiler()


def test_missing_headers_of_python_are_named_with_the_package_that_brings_them(monkeypatch, tmp_path):
    monkeypatch.setenv("CC", sys.executable)  # any program on PATH
    monkeypatch.setattr(environment, "python_headers", lambda: tmp_path)
    with pytest.raises(EnvironmentProblem, match="apt install python3-dev"):
        environment.require_compiler()


def test_the_compiler_that_built_this_python_is_asked_for_when_nothing_is_set(monkeypatch, tmp_path):
    tool = tmp_path / "gcc"
    tool.write_text("#!/bin/sh\n")
    tool.chmod(0o755)
    monkeypatch.delenv("CC", raising=False)
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setattr(environment.sysconfig, "get_config_var", lambda name: "gcc -pthread")
    assert environment.compiler() == str(tool)


@pytest.mark.parametrize("variable", environment.LAUNCHER_SIZES)
def test_processes_that_do_not_see_each_other_are_told_which_launcher_to_use(variable):
    environ = {variable: "4"}
    assert environment.launched_size(environ)[0] == 4
    sentence = environment.launcher_sentence(1, "MPICH 5.0.2", environ)
    assert "started 4 processes" in sentence
    assert "-n 4 instead" in sentence
    assert environment.launcher_sentence(4, "MPICH 5.0.2", environ) is None


def test_one_process_without_a_launcher_is_fine():
    assert environment.launched_size({}) == (1, "no launcher")
    assert environment.launcher_sentence(1, "MPICH 5.0.2", {"SLURM_NTASKS": "8", "PMI_SIZE": "1"}) is None


def test_the_rank_is_known_from_the_launcher_alone():
    assert environment.launched_rank(OPEN_MPI) == 1
    assert environment.launched_rank({}) == 0


@pytest.mark.fem
def test_ranks_of_a_foreign_launcher_stop_with_a_sentence_before_mpi_is_started():
    job = python("import pointlaw.fem.mpi", **OPEN_MPI)
    assert job.returncode == 1
    last = job.stderr.strip().splitlines()[-1]
    assert "EnvironmentProblem: Open MPI's mpirun started 2 processes" in last
    assert "-n 2 instead" in last


@pytest.mark.fem
def test_an_inherited_variable_of_a_launcher_that_started_one_process_does_no_harm():
    job = python("from pointlaw.fem.mpi import MPI; print(MPI.COMM_WORLD.size)", OMPI_COMM_WORLD_SIZE="1")
    assert job.stdout == "1\n"


@pytest.mark.parametrize("missing", ["dolfinx", "mpi4py", "petsc4py"])
def test_without_dolfinx_the_finite_element_room_says_how_to_get_it(missing):
    hide = (
        "import sys, importlib.abc\n"
        "class Hidden(importlib.abc.MetaPathFinder):\n"
        "    def find_spec(self, name, path=None, target=None):\n"
        f"        if name.split('.')[0] == {missing!r}:\n"
        f"            raise ModuleNotFoundError('No module named ' + name, name=name)\n"
        "sys.meta_path.insert(0, Hidden())\n"
    )
    job = python(hide + "import pointlaw.fem")
    last = job.stderr.strip().splitlines()[-1]
    assert "EnvironmentProblem: DOLFINx is not complete" in last
    assert missing in last
    assert 'pip install "pointlaw[wheel]"' in last


@pytest.mark.parametrize("room", ["pointlaw", "pointlaw.materials", "pointlaw.paths", "pointlaw.data", "pointlaw.cli"])
def test_rooms_of_arrays_load_neither_dolfinx_nor_torch(room):
    job = python(f"import {room}, sys; print(sorted({{'dolfinx', 'mpi4py', 'petsc4py', 'torch'}} & set(sys.modules)))")
    assert job.stdout == "[]\n", job.stderr

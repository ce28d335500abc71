"""``pointlaw doctor`` on this machine, and on machines that lack something."""

import os
import subprocess
import sys

import pytest

from pointlaw.cli import doctor
from pointlaw.cli.doctor import Finding

PROGRAM = ["-c", "from pointlaw.cli import main; main()", "doctor"]


@pytest.mark.fem
@pytest.mark.mpi
def test_two_ranks_print_one_table_and_see_each_other(mpirun):
    job = mpirun(2, PROGRAM, timeout=120)
    assert job.returncode == 0, job.stdout + job.stderr
    assert job.stdout.count("pointlaw doctor") == 1
    assert "2, each sees the others" in job.stdout


def test_a_missing_compiler_is_a_problem_with_a_sentence_and_exit_status_1(monkeypatch, tmp_path):
    monkeypatch.delenv("CC", raising=False)
    monkeypatch.setenv("PATH", str(tmp_path))
    findings = doctor.machine()
    compiler = next(finding for finding in findings if finding.name == "C compiler")
    assert "apt install gcc" in compiler.advice
    assert doctor.exit_status(findings) == 1


def test_a_compiler_that_cannot_compile_is_found_out(monkeypatch, tmp_path):
    broken = tmp_path / "broken-cc"
    broken.write_text("#!/bin/sh\necho 'fatal error: math.h: No such file' >&2\nexit 1\n")
    broken.chmod(0o755)
    monkeypatch.setenv("CC", str(broken))
    finding = next(f for f in doctor.machine() if f.name == "C compiler")
    assert "math.h" in finding.advice
    assert "libc6-dev" in finding.advice


@pytest.mark.fem
def test_a_compiler_that_ends_at_once_does_not_end_a_process_in_which_petsc_listens_to_signals():
    code = (
        "from pointlaw.fem.mpi import MPI; from petsc4py import PETSc; from pointlaw.cli import doctor\n"
        "print({doctor.machine()[3].advice is None for _ in range(40)})"
    )
    environment = {**os.environ, "CC": "false"}
    job = subprocess.run([sys.executable, "-c", code], text=True, capture_output=True, timeout=100, env=environment)
    assert (job.returncode, job.stdout) == (0, "{False}\n"), job.stderr


def test_a_cache_folder_that_cannot_be_written_is_found_out(monkeypatch, tmp_path):
    (tmp_path / "file").write_text("not a folder")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "file"))
    finding = next(f for f in doctor.machine() if f.name == "form cache")
    assert "Set XDG_CACHE_HOME" in finding.advice


def test_a_library_that_ends_its_process_is_reported_and_does_not_end_the_doctor():
    finding = doctor._library("crashing", "import os; os.kill(os.getpid(), 11)", "Do this.", extra="plot")
    assert finding.value == "does not work"
    assert "-11" in finding.advice
    assert doctor.exit_status([finding]) == 0  # an extra is not essential


def test_an_extra_that_is_not_installed_says_how_to_get_it():
    finding = doctor._library("none", "import no_such_library", "Do this.", extra="mesh")
    assert finding.value == "not installed"
    assert 'pip install "pointlaw[mesh]"' in finding.advice


@pytest.mark.parametrize(("vendor", "fits"), [("MPICH", True), ("Open MPI", False)])
def test_an_mpirun_of_another_mpi_is_found_out(monkeypatch, tmp_path, vendor, fits):
    launcher = tmp_path / "mpirun"
    launcher.write_text("#!/bin/sh\necho 'HYDRA build details:'\n")
    launcher.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:/usr/bin:/bin")
    finding = doctor._mpirun(vendor)
    assert (finding.advice is None) == fits


def test_the_table_marks_what_is_well_what_can_wait_and_what_is_essential(capsys):
    doctor.show([Finding("a", "1"), Finding("b", "2", "Do b.", essential=False), Finding("c", "3", "Do c.")])
    out = capsys.readouterr().out
    states = [line.split("│")[2].strip() for line in out.splitlines() if "│" in line]
    assert [state for state in states if state] == ["ok", "note", "problem"]
    assert "Do b." in out
    assert "Do c." in out

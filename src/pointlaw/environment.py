"""What pointlaw needs from the machine, checked without importing DOLFINx, MPI or torch.

Each check answers ``None`` when all is well, or one sentence that says what to do. ``pointlaw doctor`` prints them
all; the finite-element room asks for the ones it needs before it starts, so that a missing compiler or a foreign
launcher is a sentence and not a stack of compiler output or N programs that each believe to be alone.
"""

import functools
import hashlib
import os
import platform
import shlex
import shutil
import sys
import sysconfig
from collections.abc import Mapping
from importlib.util import find_spec
from pathlib import Path

from pointlaw.errors import EnvironmentProblem

MINIMUM_PYTHON = (3, 12)
MINIMUM_DOLFINX = (0, 11)

HOW_TO_GET_DOLFINX = (
    'On x86-64 Linux run: pip install "pointlaw[wheel]" (or "dolfinx-solver-real>=0.11,<0.12"). '
    "Elsewhere run: conda install -c conda-forge fenics-dolfinx mpich, "
    "or work in the Docker image that docker/README.md describes."
)

LAUNCHER_SIZES = {
    "OMPI_COMM_WORLD_SIZE": "Open MPI's mpirun",
    "PMI_SIZE": "MPICH's (or Intel's) mpirun",
    "MV2_COMM_WORLD_SIZE": "MVAPICH's mpirun",
    "PALS_NRANKS": "PALS' mpiexec",
    "FLUX_JOB_SIZE": "Flux",
    # The tasks of a job *step*: SLURM_NTASKS is also set in a batch script that runs one process.
    "SLURM_STEP_NUM_TASKS": "Slurm's srun",
}
"""Environment variables in which launchers tell the number of processes they started, and who they are."""

LAUNCHER_RANKS = (
    *("OMPI_COMM_WORLD_RANK", "PMI_RANK", "MV2_COMM_WORLD_RANK"),
    *("PALS_RANKID", "FLUX_TASK_RANK", "SLURM_PROCID"),
)
"""Environment variables in which launchers tell a process its number."""


def python_sentence(version: tuple[int, ...] = tuple(sys.version_info[:2])) -> str | None:
    """Return what to do about a Python that is too old, or ``None``."""
    if version >= MINIMUM_PYTHON:
        return None
    found, needed = (".".join(map(str, v[:2])) for v in (version, MINIMUM_PYTHON))
    return f"This is Python {found}; pointlaw needs Python {needed} or newer. Make an environment with a newer Python."


def compiler() -> str | None:
    """Return the path of the C compiler that the form compiler will call, or ``None`` if there is none."""
    words = shlex.split(os.environ.get("CC") or sysconfig.get_config_var("CC") or "cc")
    return shutil.which(words[0]) if words else None


def python_headers() -> Path:
    """Return the folder where this Python's C headers belong."""
    return Path(sysconfig.get_path("include"))


def compiler_sentence() -> str | None:
    """Return what to install so that DOLFINx can compile forms, or ``None`` if a compiler and headers are there."""
    if compiler() is None:
        wanted = os.environ.get("CC") or sysconfig.get_config_var("CC") or "cc"
        return (
            f"DOLFINx compiles its forms with the C compiler '{wanted}', which is not on PATH. "
            "On Debian or Ubuntu run: apt install gcc libc6-dev python3-dev. Another compiler is named by CC=..."
        )
    header = python_headers() / "Python.h"
    if not header.exists():
        return (
            f"DOLFINx compiles its forms against Python's headers, and {header} does not exist. "
            "On Debian or Ubuntu run: apt install python3-dev libc6-dev."
        )
    return None


@functools.cache
def processor() -> str:
    """Return a short name for the type of this processor.

    Native code of one processor may be illegal on another that shares the home directory, as on a cluster; so folders
    of compiled code bear this name.
    """
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
        text = "".join(sorted({line for line in lines if line.startswith(("model name", "flags", "Features"))}))
    except OSError:
        text = platform.processor()
    return hashlib.sha256((platform.machine() + text).encode()).hexdigest()[:12]


def require_compiler() -> None:
    """Raise ``EnvironmentProblem`` unless forms can be compiled; call it before the first form is compiled."""
    if sentence := compiler_sentence():
        raise EnvironmentProblem(sentence)


def launched_size(environ: Mapping[str, str] = os.environ) -> tuple[int, str]:
    """Return how many processes a launcher started and the launcher's name; ``(1, "no launcher")`` without one."""
    size, name = 1, "no launcher"
    for variable, launcher in LAUNCHER_SIZES.items():
        value = environ.get(variable, "")
        if value.isdigit() and int(value) > size:
            size, name = int(value), launcher
    return size, name


def launched_rank(environ: Mapping[str, str] = os.environ) -> int:
    """Return this process' number as its launcher tells it, 0 without one; it needs no MPI, even a wrong one."""
    return next((int(environ[name]) for name in LAUNCHER_RANKS if environ.get(name, "").isdigit()), 0)


def launcher_sentence(world_size: int, library: str, environ: Mapping[str, str] = os.environ) -> str | None:
    """Return which launcher to use if several processes were started that do not see each other, or ``None``.

    Parameters
    ----------
    world_size : int
        Size of ``COMM_WORLD``.
    library : str
        Name of the MPI library that mpi4py is built on, such as "MPICH 5.0.2".
    environ : mapping
        Environment variables; those of this process unless given.
    """
    size, name = launched_size(environ)
    if size == 1 or world_size > 1:
        return None
    beside = Path(sys.executable).parent / "mpirun"
    launcher = str(beside) if beside.exists() else f"the mpirun of {library}"
    return (
        f"{name} started {size} processes, but this Python's MPI is {library}, so each of them would run alone as "
        f"rank 0 of 1. Start the program with {launcher} -n {size} instead."
    )


def dolfinx_sentence() -> str | None:
    """Return how to install DOLFINx if it, PETSc's or MPI's Python side is not there, or ``None``."""
    missing = [name for name in ("mpi4py", "petsc4py", "dolfinx") if not _has_module(name)]
    if not missing:
        return None
    return f"DOLFINx is not complete in this environment ({', '.join(missing)} missing). {HOW_TO_GET_DOLFINX}"


def _has_module(name: str) -> bool:
    try:
        return find_spec(name) is not None
    except (ImportError, ValueError):
        return False

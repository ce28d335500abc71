"""``pointlaw doctor``: one table of what this machine has, and one sentence for each thing that is wrong.

Libraries are tried in a process of their own, because one that lacks a system library may end the process that imports
it. What only MPI can tell is asked of the process itself, so that ``mpirun -n 2 pointlaw doctor`` shows whether the
ranks see each other.
"""

import os
import platform
import shutil
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import typer

from pointlaw import __version__, environment
from pointlaw.errors import EnvironmentProblem

PROBE_SECONDS = 120
# The smallest program that needs what DOLFINx' forms need: the compiler, libc's headers and Python's.
C_PROGRAM = "#include <Python.h>\n#include <math.h>\nint main(void) { return 0; }\n"
PICTURE = (
    "import pyvista; p = pyvista.Plotter(off_screen=True, window_size=(64, 64)); p.add_mesh(pyvista.Sphere()); "
    "image = p.screenshot(return_img=True); print(pyvista.__version__ if image.std() > 0 else 1 / 0)"
)
GL_LIBRARIES = "On Debian or Ubuntu run: apt install libegl1 libgl1"
GMSH_LIBRARIES = "libglu1-mesa libxrender1 libxcursor1 libxft2 libxinerama1"


@dataclass(frozen=True, slots=True)
class Finding:
    """One line of the table: what was looked at, what was found, and what to do about it (``None``: all is well)."""

    name: str
    value: str
    advice: str | None = None
    essential: bool = True


def doctor() -> None:
    """Show what this machine has and lacks, and say what to do; exit with 1 if something essential is missing."""
    mpi, problem = _guarded_mpi()
    # Rank 0 looks and prints. Processes that a foreign launcher started cannot talk: their environment names the first.
    first = mpi.MPI.COMM_WORLD.rank == 0 if mpi else environment.launched_rank() == 0
    status = 0
    if first:
        findings = [*machine(), *solver(problem), *libraries()]
        show(findings)
        status = exit_status(findings)
    if mpi:
        # Sleep until rank 0 has looked: ranks that wait inside MPI keep their cores busy.
        done = mpi.MPI.COMM_WORLD.Ibarrier()
        while not done.Test():
            time.sleep(0.1)
        status = mpi.MPI.COMM_WORLD.bcast(status)
    raise typer.Exit(status)


def exit_status(findings: list[Finding]) -> int:
    """Return 1 if anything essential is missing, else 0."""
    return int(any(finding.advice and finding.essential for finding in findings))


def _guarded_mpi() -> tuple[Any, str | None]:
    try:
        from pointlaw.fem import mpi
    except EnvironmentProblem as error:
        return None, str(error)
    return mpi, None


def machine() -> list[Finding]:
    """Return what Python and the operating system say."""
    libc = " ".join(platform.libc_ver()).strip()
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    return [
        Finding("pointlaw", f"{__version__} in {Path(__file__).parents[1]}"),
        Finding("Python", f"{platform.python_version()} in {sys.prefix}", environment.python_sentence()),
        Finding("platform", f"{platform.system()} {platform.machine()}, {libc}, {cores} cores"),
        _compiler(),
        _fortran(),
        _cache(),
    ]


def _compiler() -> Finding:
    path = environment.compiler()
    advice = environment.compiler_sentence()
    if path and advice is None:
        include = f"-I{environment.python_headers()}"
        with tempfile.TemporaryDirectory() as folder:
            # A file and not a pipe: a compiler that ends before it reads would raise SIGPIPE, and where PETSc has been
            # started that ends the whole job.
            program = Path(folder) / "program.c"
            program.write_text(C_PROGRAM)
            result = subprocess.run([path, include, "-fsyntax-only", program], text=True, capture_output=True)
        if result.returncode:
            complaint = (result.stderr.strip().splitlines() or ["no message"])[0]
            advice = f"It cannot compile a small program ({complaint}). On Debian or Ubuntu run: apt install libc6-dev."
    return Finding("C compiler", path or "none", advice)


def _fortran() -> Finding:
    path = shutil.which("gfortran")
    advice = None if path else "Optional, for UMATs in Fortran. On Debian or Ubuntu run: apt install gfortran."
    return Finding("Fortran compiler", path or "none", advice, essential=False)


def _cache() -> Finding:
    folder = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "fenics"
    try:
        folder.mkdir(parents=True, exist_ok=True)
        tempfile.TemporaryFile(dir=folder).close()
    except OSError as error:
        advice = f"Compiled forms cannot be kept there ({error.strerror}). Set XDG_CACHE_HOME to a folder you own."
        return Finding("form cache", str(folder), advice)
    return Finding("form cache", str(folder))


def solver(problem: str | None) -> list[Finding]:
    """Return what there is of DOLFINx, PETSc and MPI; ``problem`` is the guard's sentence if they are not usable."""
    if problem:
        return [Finding("DOLFINx", "not usable", problem)]
    from pointlaw.fem.capabilities import capabilities

    has = capabilities()
    advice = None
    if not has.real:
        advice = "PETSc is built for complex numbers; pointlaw needs the real build."
    elif "mumps" not in has.packages:
        advice = "PETSc has no MUMPS, pointlaw's direct solver: use another build of PETSc."
    return [
        Finding("DOLFINx", f"{has.dolfinx} from {has.source}"),
        Finding("PETSc", f"{has.petsc} with {', '.join(('gamg', *has.packages))}", advice),
        Finding("MPI", f"{has.mpi_vendor} {has.mpi_version}, mpi4py {has.mpi4py}"),
        Finding("ranks", f"{has.ranks}, each sees the others" if has.ranks > 1 else "1, no launcher"),
        _mpirun(has.mpi_vendor),
    ]


def _mpirun(vendor: str) -> Finding:
    """Compare the mpirun on PATH with the MPI that mpi4py uses."""
    path, beside = shutil.which("mpirun"), Path(sys.executable).with_name("mpirun")
    call = f"{beside} -n 2 ..." if beside.exists() else f"the mpirun of {vendor}"
    if path is None:
        return Finding("mpirun", "not on PATH", f"Start parallel runs with {call}", essential=False)
    if beside.exists() and Path(path).resolve() == beside.resolve():
        return Finding("mpirun", path)
    banner = subprocess.run([path, "--version"], text=True, capture_output=True, timeout=30).stdout
    kin = {"MPICH": ("HYDRA", "MPICH", "Intel"), "Intel MPI": ("HYDRA", "Intel"), "Open MPI": ("Open MPI", "Open RTE")}
    words = kin.get(vendor, (vendor,))
    if any(word in banner for word in words):
        return Finding("mpirun", f"{path} ({vendor})")
    advice = (
        f"It belongs to another MPI than this Python's {vendor}, and its ranks would not see each other: use {call}"
    )
    return Finding("mpirun", path, advice, essential=False)


def libraries() -> list[Finding]:
    """Return which libraries load, each tried in a process of its own."""
    torch = "import torch; print(torch.__version__, 'with', torch.get_num_threads(), 'threads a rank')"
    egl, x11 = f"{GL_LIBRARIES}.", f"{GL_LIBRARIES} {GMSH_LIBRARIES}."
    return [
        _library("torch", torch, "It comes with pointlaw: repeat the installation."),
        _library("h5py", "import h5py; print(h5py.__version__)", "It comes with pointlaw: repeat the installation."),
        _library("gmsh", "import gmsh; print(gmsh.__version__)", x11, extra="mesh"),
        _library("pyvista, a picture", PICTURE, egl, extra="plot"),
        _library(
            "matplotlib", "import matplotlib; print(matplotlib.__version__)", "Repeat the installation.", extra="plot"
        ),
    ]


def _library(name: str, program: str, advice: str, *, extra: str = "") -> Finding:
    """Run a small program that prints the library's version; a failure is essential unless an extra brings it."""
    alone = {
        k: v for k, v in os.environ.items() if not k.startswith(("PMI_", "PMIX_", "OMPI_", "MPI_", "HYDRA", "PRTE_"))
    }
    try:
        result = subprocess.run(
            [sys.executable, "-c", program], text=True, capture_output=True, timeout=PROBE_SECONDS, env=alone
        )
    except subprocess.TimeoutExpired:
        return Finding(name, "no answer", f"It did not load within {PROBE_SECONDS} s.", essential=not extra)
    if result.returncode == 0:
        return Finding(name, result.stdout.strip())
    complaint = (result.stderr.strip().splitlines() or [f"the process ended with {result.returncode}"])[-1]
    if extra and "No module named" in complaint:
        return Finding(
            name, "not installed", f'Optional; to get it run: pip install "pointlaw[{extra}]".', essential=False
        )
    return Finding(name, "does not work", f"{complaint}. {advice}", essential=not extra)


def show(findings: list[Finding]) -> None:
    """Print the table: green for what is well, yellow for what can be lived with, red for what is essential."""
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    table = Table(title="pointlaw doctor", show_lines=False, expand=False)
    for column in ("what", "state", "found"):
        table.add_column(column, overflow="fold")
    for finding in findings:
        state, colour = ("ok", "green") if finding.advice is None else ("problem", "red")
        if finding.advice and not finding.essential:
            state, colour = "note", "yellow"
        found = Text(finding.value)
        if finding.advice:
            found.append(f"\n{finding.advice}", style=colour)
        table.add_row(finding.name, Text(state, style=colour), found)
    Console().print(table)

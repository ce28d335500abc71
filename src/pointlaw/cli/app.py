"""The program ``pointlaw``: its commands, and how it ends.

An error that pointlaw foresaw, or that the system reports, is one sentence on stderr and exit status 1;
``POINTLAW_DEBUG=1`` shows the traceback too. Under mpirun the sentence is printed once, and a rank that fails alone
ends the whole job. ``pointlaw --help`` needs neither DOLFINx nor torch.
"""

import os
import runpy
import sys
import traceback
from pathlib import Path
from typing import Annotated

import typer

from pointlaw.cli.check import check
from pointlaw.cli.doctor import doctor
from pointlaw.cli.drive import drive_command
from pointlaw.cli.refine import refine_command
from pointlaw.cli.sample import sample_command
from pointlaw.cli.show import show
from pointlaw.cli.train import train_command
from pointlaw.errors import InputError, PointlawError

app = typer.Typer(
    name="pointlaw",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    add_completion=False,
)
app.command()(doctor)
app.command("drive")(drive_command)
app.command()(check)
app.command()(show)
app.command("sample")(sample_command)
app.command("train")(train_command)
app.command("refine")(refine_command)


@app.callback(help="A constitutive law at every integration point, learned or written, in one DOLFINx solver.")
def prepare(
    first: Annotated[
        Path | None,
        typer.Option("--with", help="A Python file that is run first: it may add to NETWORKS and LAWS."),
    ] = None,
) -> None:
    """Run a file of the user's first, if there is one."""
    if first is None:
        return
    if not first.is_file():
        raise InputError(f"There is no file {first} to run first (--with).")
    runpy.run_path(str(first), run_name="pointlaw_with")


def sentence(error: OSError) -> PointlawError:
    """Return what the system refused as an error of ours, which names the path and what the system says."""
    what = error.strerror or str(error)
    told = PointlawError(what if error.filename is None else f"{error.filename} cannot be used: {what}.")
    told.collective, told.__cause__ = getattr(error, "collective", False), error
    return told


def main() -> None:
    """Run the command line; exit with 0, with 1 after an error, with 2 after a wrong argument."""
    try:
        app(prog_name="pointlaw")
    except Exception as raised:
        error = sentence(raised) if isinstance(raised, OSError) else raised
        brief = isinstance(error, PointlawError) and not os.environ.get("POINTLAW_DEBUG")
        # Only a command that uses MPI has loaded this; then the other ranks must learn of the error.
        if mpi := sys.modules.get("pointlaw.fem.mpi"):
            mpi.end_job(error, brief=brief)
        elif brief:
            print(f"Error: {error}", file=sys.stderr)
        else:
            traceback.print_exception(error)
        sys.exit(1)

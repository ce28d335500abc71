"""``pointlaw drive``: lead one material point along a path and print what it answers."""

import csv
from pathlib import Path
from typing import Annotated

import numpy as np
import typer

from pointlaw.cli.laws import LAW_HELP, open_law
from pointlaw.errors import InputError
from pointlaw.paths import LoadPath, Record, StrainPath, drive, through
from pointlaw.tensors import Kinematics


def drive_command(
    law: Annotated[str, typer.Argument(help=LAW_HELP)],
    component: Annotated[str, typer.Option(help="The strain component that is led; shear carries √2 (Mandel).")] = "",
    to: Annotated[
        list[float] | None, typer.Option(help="Strain to go to, in straight lines; may be given several times.")
    ] = None,
    free: Annotated[
        bool,
        typer.Option(
            help="Leave the other components free of stress instead of strain; at finite strain the normal ones only, "
            "or the point would turn instead of shearing."
        ),
    ] = False,
    steps: Annotated[int | None, typer.Option(help="Steps of each line.", show_default="10")] = None,
    duration: Annotated[float | None, typer.Option(help="Time of the whole path.", show_default="1.0")] = None,
    path: Annotated[
        Path | None,
        typer.Option(help="A CSV file whose header names time and every strain component, with or without √2·."),
    ] = None,
    output: Annotated[Path | None, typer.Option("--csv", help="Write every component to this CSV file.")] = None,
) -> None:
    """Lead one material point along a strain path; print strain, stress and status, or write them as CSV.

    pointlaw drive j2 --component 11 --to 0.01 --to -0.01 --to 0 --free
    """
    from pointlaw.data import check_writable

    if output is not None:
        check_writable(output)
    material = open_law(law)
    if (path is None) == (not to):
        raise InputError("drive needs a path: either --to VALUE (once or more), or --path FILE.csv.")
    if path is not None:
        given = {
            "--steps": steps is not None,
            "--duration": duration is not None,
            "--component": component and not free,
        }
        if idle := [option for option, there in given.items() if there]:
            raise InputError(f"With --path, whose file has all times and strains, leave out {' and '.join(idle)}.")
        strains = read_path(path, material.kinematics)
    else:
        steps, duration = 10 if steps is None else steps, 1.0 if duration is None else duration
        strains = _lines(material.kinematics, component, to or [], steps, duration)
    record = drive(material, _freed(strains, component) if free else strains)
    if output is not None:
        write_record(output, record)
    else:
        print_record(record)
    record.raise_if_failed()


def _position(kinematics: Kinematics, component: str) -> int:
    """Return the place of a component named by its label, with or without √2; the first if nothing is named."""
    names = [label.removeprefix("√2·") for label in kinematics.components]
    wanted = component.removeprefix("√2·")
    if not wanted:
        return 0
    if wanted not in names:
        raise InputError(f"There is no component '{component}'; {kinematics} has {', '.join(names)}.")
    return names.index(wanted)


def _lines(kinematics: Kinematics, component: str, values: list[float], steps: int, duration: float) -> StrainPath:
    corners = np.zeros((len(values), kinematics.size))
    corners[:, _position(kinematics, component)] = values
    return through(corners, steps=steps, duration=duration, kinematics=kinematics)


def _freed(path: StrainPath, component: str) -> LoadPath:
    """Return the path that leads one component by its strain and keeps the stress of the others at zero.

    At finite strain the shears keep their strain: were F21 free too, F12 would turn the point without any stress.
    """
    kinematics, labels = path.kinematics, path.kinematics.components
    free = np.arange(kinematics.size) != _position(kinematics, component)
    if kinematics.finite:
        free &= [label[0] == label[-1] for label in labels]
    moved = free & (path.strain != kinematics.reference).any(axis=(0, 1))
    if moved.any():
        names = ", ".join(label for label, here in zip(labels, moved, strict=True) if here)
        raise InputError(f"The path leads the strains {names}, which --free is to find; keep them at rest, or drop it.")
    target = np.where(free & (np.arange(len(path.times)) > 0)[:, None], 0.0, path.strain)
    return LoadPath(path.times, target, free, kinematics)


def read_path(path: Path, kinematics: Kinematics) -> StrainPath:
    """Return the strain path in a CSV file whose header names ``time`` and the ``m`` components, in any order.

    Raises ``InputError`` if the file cannot be read as that.
    """
    columns = f"time and {', '.join(kinematics.components)}"
    try:
        lines = [line for line in path.read_text(encoding="utf-8-sig").splitlines() if line.strip()]
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"{path} is not a CSV file of numbers with one header line: {error}") from error
    header = [name.strip(' #"').removeprefix("strain ") for name in lines[0].split(",")] if lines else []
    if header and all(map(_is_number, header)):
        raise InputError(f"{path} has no header line, but begins with {lines[0]}; name the columns first: {columns}.")
    if len(lines) < 2:
        raise InputError(f"{path} has no rows; it needs a header line with {columns}, and a line for each time.")
    names, wanted = (
        [name.removeprefix("√2·") for name in labels] for labels in (header, ("time", *kinematics.components))
    )
    if sorted(names) != sorted(wanted):
        raise InputError(f"{path} has the columns {', '.join(header)}; {kinematics} needs {columns}, in any order.")
    try:
        table = np.loadtxt(lines[1:], delimiter=",", ndmin=2, comments=None)
        if table.shape[1] != len(wanted):
            raise ValueError(f"{table.shape[1]} numbers a line for {len(wanted)} columns")
    except ValueError as error:
        raise InputError(f"{path} is not a table of numbers below its header line: {error}") from error
    table = table[:, [names.index(name) for name in wanted]]
    return StrainPath(table[:, 0], table[:, 1:], kinematics)


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True


def _columns(record: Record) -> tuple[list[str], np.ndarray]:
    """Return names and values ``[t, 1 + 2m]`` of the columns time, strain, stress of the first point."""
    labels = record.kinematics.components
    names = ["time", *(f"strain {label}" for label in labels), *(f"stress {label}" for label in labels)]
    return names, np.column_stack([record.times, record.strain[0], record.stress[0]])


def write_record(path: Path, record: Record) -> None:
    """Write times, strain, stress and status of the first point as CSV, all digits."""
    names, values = _columns(record)
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow([*names, "status"])
        for row, status in zip(values, record.status[0], strict=True):
            writer.writerow([*(repr(float(value)) for value in row), int(status)])


def print_record(record: Record) -> None:
    """Print the columns that are not zero throughout."""
    from rich.console import Console
    from rich.table import Table

    names, values = _columns(record)
    scale = np.nanmax(np.abs(record.stress)) if np.isfinite(record.stress).any() else 1.0
    floor = np.where([name.startswith("stress") for name in names], 1e-9 * scale, 0.0)
    shown = [k for k in range(len(names)) if k == 0 or np.nanmax(np.abs(values[:, k]), initial=0.0) > floor[k]]
    table = Table()
    for k in shown:
        table.add_column(names[k], justify="right")
    table.add_column("status", justify="right")
    for row, status in zip(values, record.status[0], strict=True):
        table.add_row(*(f"{row[k]:.6g}" for k in shown), str(int(status)))
    console = Console()
    if not console.is_terminal:  # nobody's screen: a pipe or a file takes lines of any length
        console.width = max(console.width, console.measure(table, options=console.options.update(width=10_000)).maximum)
    console.print(table)

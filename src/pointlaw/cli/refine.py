"""``pointlaw refine``: solve, record, sample, train on, until no point is outside; resumes after a kill."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from pointlaw.errors import InputError
from pointlaw.materials.by_name import function_in_file

if TYPE_CHECKING:
    from pointlaw.laws import Guarded
    from pointlaw.training import Round, Run


def refine_command(
    config: Annotated[Path, typer.Argument(help="A TOML file; docs/command_line.md shows one.")],
) -> None:
    """Run a problem with a guarded law and train it on what the problem asks, until no point is outside.

    Where the law may not answer the teacher does; the strain paths of those points are sampled, the law is trained on,
    and the problem is run again. Exit with 1 if points are left outside. A loop that was killed is started again with
    the same command and goes on. mpirun -n 4 pointlaw refine loop.toml shares problem and sampling.
    """
    from pointlaw.cli.laws import open_teacher
    from pointlaw.fem.mpi import MPI
    from pointlaw.training.refine_file import read_refine_file, refine_law

    world = MPI.COMM_WORLD
    file, folder = read_refine_file(config), config.parent
    teacher = folder / file.teacher
    solve = function_in_file("problem", file.problem, folder, module="pointlaw_problem")

    def told(row: "Round") -> None:
        if world.rank == 0:
            print(f"round {row.number}: {row.outside} of {row.points} points outside, {row.added} paths added")

    outcome = refine_law(
        file,
        folder,
        teacher=open_teacher(str(teacher) if teacher.exists() else file.teacher),
        solve=lambda law: run_of(solve(law), law, file.problem),
        comm=world if world.size > 1 else None,
        callback=told,
    )
    if world.rank == 0:
        made = folder / file.output / f"round_{outcome.rounds[-1].number}.safetensors"
        print(outcome)
        print(f"The last law is {made if made.exists() else folder / file.law}.")
    raise typer.Exit(0 if outcome.inside else 1)


def run_of(found: Any, law: "Guarded", place: str) -> "Run":
    """Return what a function of the user's returned as a ``Run``: one already, or problem and solution."""
    from pointlaw.fem import MechanicsProblem, Solution
    from pointlaw.training import Run

    if isinstance(found, Run):
        return found
    match found:
        case (MechanicsProblem() as problem, Solution() as solution):
            pass
        case _:
            raise InputError(f"{place} returned a {type(found).__name__}; return problem and solution, or a Run.")
    states = [region.history.committed for region in problem.regions.values() if region.material is law]
    if not states:
        raise InputError(f"No region of the problem of {place} has the law that was given to the function.")
    return Run(states, solution.finished)

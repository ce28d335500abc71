"""``pointlaw sample``: make a dataset, alone or on many ranks under mpirun, and resume it."""

import contextlib
from pathlib import Path
from typing import Annotated

import typer


def sample_command(
    config: Annotated[Path, typer.Argument(help="A TOML file; docs/cluster.md shows one.")],
    out: Annotated[Path | None, typer.Option(help="Folder of the dataset instead of the file's 'output'.")] = None,
    quiet: Annotated[bool, typer.Option("--quiet", help="No progress bar.")] = False,
) -> None:
    """Sample a material along planned paths into OUT/dataset.h5; run it again to resume.

    mpirun -n 8 pointlaw sample config.toml deals the paths to eight ranks. A path that fails is kept in OUT/failed.h5
    as far as it went, with its reason.
    """
    from pointlaw.data import check_writable
    from pointlaw.rve.progress import SampleBar
    from pointlaw.rve.provenance import describe
    from pointlaw.rve.sample import MPI, agree, guarded, sample
    from pointlaw.rve.sample_file import read_sample_file

    world = MPI.COMM_WORLD
    read, error = guarded(lambda: read_sample_file(config))
    agree(world, error)
    file, plan, teacher = read
    folder = out or config.parent / file.output
    _, error = guarded(lambda: check_writable(folder / "dataset.h5"))
    agree(world, error)
    law, error = guarded(teacher)
    agree(world, error)
    code = {"made_by": law.made_by} if hasattr(law, "made_by") else {}
    shown = world.rank == 0 and not quiet
    with SampleBar(plan.paths) if shown else contextlib.nullcontext() as bar:
        report = sample(
            law,
            plan,
            folder,
            batch=file.batch,
            tangent=file.tangent,
            energy=file.energy,
            max_cuts=file.max_cuts,
            parameters=describe(law) | code,
            units=file.units,
            watch=bar.watch if bar else None,
        )
    if world.rank == 0:
        print(report)

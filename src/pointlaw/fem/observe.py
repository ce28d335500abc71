"""Who watches a run: tables, ParaView files, progress.

An observer is told of each accepted and rejected step on every rank; it reads the problem and never changes it. Rank 0
writes text files; ParaView files are written by all ranks together.
"""

from pointlaw.fem.mpi import MPI  # isort: skip  # noqa: F401 - MPI first

import csv
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import dolfinx
import numpy as np
import ufl
from dolfinx import fem
from dolfinx.io import VTKFile

from pointlaw.errors import InputError, SetupError
from pointlaw.fem.jit import jit_options
from pointlaw.fem.problem import MechanicsProblem, StepReport
from pointlaw.fem.solution import Solution
from pointlaw.fem.strain import weight
from pointlaw.fem.tagged_mesh import Where
from pointlaw.tensors import Array


def at_least_one(observer: str, every: int) -> int:
    """Return ``every``; raises ``InputError`` if it is below 1."""
    if not every >= 1:
        raise InputError(f"{observer}: every = {every} must be at least 1.")
    return every


class Observer:
    """An observer that does nothing; override what you need. Every method is called on all ranks."""

    def start(self, problem: MechanicsProblem) -> None:
        """Prepare, before the first step."""

    def accepted(self, problem: MechanicsProblem, report: StepReport) -> bool | None:
        """Take note of an accepted step; return ``False`` to stop the run (all ranks then stop)."""

    def rejected(self, problem: MechanicsProblem, report: StepReport, next_dt: float) -> None:
        """Take note of a rejected step and the length of the next attempt."""

    def finish(self, problem: MechanicsProblem, solution: Solution) -> None:
        """Close files; called also when the run failed, or ends by an error that all ranks have."""

    def abandon(self) -> None:
        """Let go of what is this rank's own: it ends by an error that the other ranks do not have. Not collective."""


class ForceTable(Observer):
    """Force and mean displacement of a part of the boundary against time, as columns and as a CSV file.

    Parameters
    ----------
    where
        The part: a name or tag of facets, or a function of the coordinates.
    path
        CSV file with one row an accepted step, written on rank 0 as the run goes on; no file if not given.

    Attributes
    ----------
    time : list
        Times, beginning with that of the start.
    force : list of [gdim]
        Reaction of the supports at the part; unit of force.
    displacement : list of [gdim]
        Mean displacement of the part by area, that of a ring (2πr) if axisymmetric; unit of length.

    A second :func:`march` goes on with the same columns, and writes the whole file again.
    """

    def __init__(self, where: Where, path: str | Path | None = None):
        self.where, self.path = where, None if path is None else Path(path)
        self.time: list[float] = []
        self.force: list[Array] = []
        self.displacement: list[Array] = []

    def start(self, problem: MechanicsProblem) -> None:
        """Find the part, and write the head of the file."""
        body, dim = problem.body, problem.body.mesh.geometry.dim
        ds = ufl.Measure("ds", domain=body.mesh, subdomain_data=[(1, body.boundary(self.where))])(1)
        v = ufl.TestFunction(problem.V)
        ones = ufl.as_vector([1.0] * dim)
        owned = problem.V.dofmap.index_map.size_local
        for factor in (weight(problem.kinematics, body.mesh), 1.0):
            form = fem.form(ufl.inner(ones, v) * factor * ds, jit_options=jit_options())
            weights = fem.assemble_vector(form)
            weights.scatter_reverse(dolfinx.la.InsertMode.add)
            self._weights = weights.array.reshape(-1, dim)[:owned]
            self._area = problem.comm.allreduce(float(self._weights[:, 0].sum()))
            if self._area > 0.0:
                break  # only the axis has no area; its mean is that by length, as of a thin cylinder around it
        self._writes = self.path is not None and problem.comm.rank == 0
        if self._writes:
            axes = "xyz"[:dim]
            self._path().parent.mkdir(parents=True, exist_ok=True)
            with self._path().open("w", newline="") as file:
                csv.writer(file).writerow(["time", *(f"force_{a}" for a in axes), *(f"displacement_{a}" for a in axes)])
            for row in zip(self.time, self.force, self.displacement, strict=True):
                self._write(*row)
        if not self.time:
            self._record(problem, problem.reaction(self.where))

    def accepted(self, problem: MechanicsProblem, report: StepReport) -> None:
        """Add a row."""
        self._record(problem, problem.reaction(self.where))

    def _record(self, problem: MechanicsProblem, force: Array) -> None:
        dim = len(force)
        u = problem.u.x.array.reshape(-1, dim)[: len(self._weights)]
        mean = np.array([problem.comm.allreduce(float(part)) for part in (self._weights * u).sum(axis=0)]) / self._area
        self.time.append(problem.time)
        self.force.append(force)
        self.displacement.append(mean)
        if self._writes:
            self._write(problem.time, force, mean)

    def _write(self, time: float, force: Array, mean: Array) -> None:
        with self._path().open("a", newline="") as file:
            csv.writer(file).writerow([repr(float(v)) for v in (time, *force, *mean)])

    def _path(self) -> Path:
        if self.path is None:
            raise SetupError("This ForceTable has no file.")
        return self.path


class Paraview(Observer):
    """Displacement, and the cell means of stress and chosen internal variables, for ParaView.

    Parameters
    ----------
    path
        ``….bp`` writes VTX (ADIOS2, one folder for all times), ``….pvd`` writes VTU files. Neither can be gone on with:
        a second :func:`march` writes ``…-2.bp``, and so on.
    state
        Internal variables to write, by the names of the laws' state layouts; regions that lack one write zero.
    every
        Write each n-th accepted step; ``1`` or more.

    Raises
    ------
    SetupError
        If the suffix is another one, or no law has a variable of that name.
    """

    def __init__(self, path: str | Path, *, state: Sequence[str] = (), every: int = 1):
        self.path, self.state, self.every = Path(path), tuple(state), at_least_one("Paraview", every)
        self._count = self._runs = 0

    def start(self, problem: MechanicsProblem) -> None:
        """Create the fields and open the file."""
        mesh = problem.body.mesh
        sizes = {"stress": problem.kinematics.size}
        for name in self.state:
            found = [r.material.state_layout.sizes.get(name, 0) for r in problem.regions.values()]
            if not max(found):
                known = sorted({n for r in problem.regions.values() for n in r.material.state_layout})
                raise SetupError(f"No law has an internal variable '{name}'; there are {known}.")
            sizes[name] = max(found)
        self._fields = {
            name: fem.Function(fem.functionspace(mesh, ("DG", 0, (n,) if n > 1 else ())), name=name)
            for name, n in sizes.items()
        }
        degree = mesh.geometry.cmaps[0].degree
        self._u = fem.Function(fem.functionspace(mesh, ("Lagrange", degree, (mesh.geometry.dim,))), name="displacement")
        if problem.comm.rank == 0:
            self.path.parent.mkdir(parents=True, exist_ok=True)
        problem.comm.Barrier()
        functions = [self._u, *self._fields.values()]
        self._runs += 1
        path = self.path if self._runs == 1 else self.path.with_stem(f"{self.path.stem}-{self._runs}")
        if self.path.suffix == ".bp" and dolfinx.has_adios2:
            from dolfinx.io import VTXWriter

            writer: Any = VTXWriter(problem.comm, path, functions)
            self._write, self._close = writer.write, writer.close
        elif self.path.suffix == ".pvd":
            file = VTKFile(problem.comm, str(path), "w")
            self._write, self._close = (lambda t: file.write_function(functions, t)), file.close
        else:
            raise SetupError(f"ParaView files end in .bp (needs ADIOS2) or .pvd; got {self.path}.")
        self._update(problem)
        self._write(problem.time)

    def accepted(self, problem: MechanicsProblem, report: StepReport) -> None:
        """Write the fields."""
        self._count += 1
        if self._count % self.every == 0:
            self._update(problem)
            self._write(problem.time)

    def finish(self, problem: MechanicsProblem, solution: Solution) -> None:
        """Close the file."""
        self._close()

    def _update(self, problem: MechanicsProblem) -> None:
        self._u.interpolate(problem.u)
        stress, _ = problem.fields.arrays()
        for region in problem.regions.values():
            m = problem.kinematics.size  # the mixed formulation adds its two constraints to the stress
            values = {"stress": stress[region.cells, :, :m].reshape(region.size, m)}
            values |= region.material.state_layout.split(region.history.committed)
            for name, function in self._fields.items():
                if name in values and region.size:
                    array = function.x.array.reshape(-1, function.function_space.dofmap.bs)
                    array[region.cells, : values[name].shape[1]] = problem.cell_means(region, values[name])
        for function in self._fields.values():
            function.x.scatter_forward()


class Progress(Observer):
    """A line that grows with the run on rank 0: time, step, Newton iterations, cuts."""

    def __init__(self, end: float, *, description: str = "march"):
        self.end, self.description = end, description
        self._steps = self._cuts = 0

    def start(self, problem: MechanicsProblem) -> None:
        """Show the bar."""
        from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

        self._bar = Progress(
            TextColumn("{task.description}"),
            BarColumn(),
            TextColumn("t = {task.completed:.4g} of {task.total:.4g}"),
            TextColumn("{task.fields[note]}"),
            TimeRemainingColumn(),
            disable=problem.comm.rank != 0,
        )
        self._task = self._bar.add_task(self.description, total=self.end, note="")
        self._bar.start()
        self._show(problem.time, "starts")

    def accepted(self, problem: MechanicsProblem, report: StepReport) -> None:
        """Move the bar."""
        self._steps += 1
        self._show(problem.time, f"{report.iterations} its")

    def rejected(self, problem: MechanicsProblem, report: StepReport, next_dt: float) -> None:
        """Count a cut."""
        self._cuts += 1
        self._show(problem.time, f"cut to {next_dt:.3g}: {report.reason}")

    def finish(self, problem: MechanicsProblem, solution: Solution) -> None:
        """Stop the bar."""
        self._bar.stop()

    def abandon(self) -> None:
        """Give the terminal back."""
        self._bar.stop()

    def _show(self, t: float, note: str) -> None:
        text = f"step {self._steps}, {note}, {self._cuts} cuts"
        self._bar.update(self._task, completed=t, note=text)

"""What the finite-element side costs, against plain UFL linear elasticity in the same process.

    python benchmarks/bench_fem.py               # one rank: assembly and whole Newton iterations
    python benchmarks/bench_fem.py --cells 20    # 20 hexahedra along each edge of the cube
    python benchmarks/bench_fem.py --scaling     # 1 against 2 ranks: starts mpirun itself, in turn

Alternatives are interleaved and medians of their ratios are printed, because machines are shared. The law is an LSTM
of 64 units with stress, tangent and state in double precision; its linear part is elastic steel and its recurrent part
is small, so that the linear solver meets a sensible matrix.
"""

from pointlaw.fem import MPI, Displacement, MechanicsProblem  # isort: skip - MPI before DOLFINx

import argparse
import json
import subprocess
import sys
import time
from pathlib import Path

from petsc4py import PETSc

import dolfinx
import numpy as np
import torch
import ufl
from dolfinx import fem
from dolfinx.fem import petsc

from pointlaw.data import Scaling, sample
from pointlaw.fem.linear import linear_options
from pointlaw.fem.rigid import near_nullspace
from pointlaw.laws import LearnedMaterial, make_law
from pointlaw.materials import LinearElastic
from pointlaw.networks import LSTM
from pointlaw.paths import random_walk
from pointlaw.tensors import SMALL_STRAIN_3D

OUT = Path(__file__).parent / "out"
E, NU = 210e3, 0.3


def learned_law(hidden: int = 64) -> LearnedMaterial:
    """Return an LSTM law whose linear part is elastic steel and whose recurrent part is small."""
    torch.manual_seed(0)
    elastic = LinearElastic(E, NU)
    paths = random_walk(range(16), steps=10, bound=1e-2, step_size=2e-3, seed=1, kinematics=SMALL_STRAIN_3D)
    others = random_walk(range(16, 24), steps=10, bound=1e-2, step_size=2e-3, seed=1, kinematics=SMALL_STRAIN_3D)
    data, kept_back = sample(elastic, paths), sample(elastic, others)
    scaling = Scaling.fit(data)
    network = LSTM(features=6, outputs=6, hidden=hidden, prior=True)
    strain, stress = np.array(scaling.strain), np.array(scaling.stress)
    with torch.no_grad():
        for weight in network.head.parameters():
            if weight.shape == (6, 6):
                weight.copy_(torch.from_numpy(elastic.stiffness * strain / stress[:, None]))
            else:
                weight.mul_(0.02)
    return make_law(network, scaling, name="benchmark", training=data, kept_back=kept_back)


class Case:
    """A clamped cube that is pulled: pointlaw with the learned law, and linear elasticity in plain UFL."""

    def __init__(self, cells: int):
        self.mesh = dolfinx.mesh.create_box(
            MPI.COMM_WORLD, [[0, 0, 0], [1, 1, 1]], [cells] * 3, dolfinx.mesh.CellType.hexahedron
        )
        supports = [
            Displacement(lambda x: np.isclose(x[0], 0.0), x=0.0, y=0.0, z=0.0),
            Displacement(lambda x: np.isclose(x[0], 1.0), x=lambda t: 1e-3 * t),
        ]
        self.problem = MechanicsProblem(self.mesh, learned_law(), supports=supports, solver="iterative")
        self.region = self.problem.regions["body"]
        self.newton = self.problem.newton
        self.V, u = self.problem.V, self.problem.u
        self.bcs = self.problem.supports.bcs
        v, du = ufl.TestFunction(self.V), ufl.TrialFunction(self.V)
        mu, lame = E / (2 * (1 + NU)), E * NU / ((1 + NU) * (1 - 2 * NU))
        dx = ufl.Measure("dx", domain=self.mesh, metadata={"quadrature_degree": 2})  # the same 8 points a cell

        def stress(w):
            strain = ufl.sym(ufl.grad(w))
            return lame * ufl.tr(strain) * ufl.Identity(3) + 2 * mu * strain

        self.F = fem.form(ufl.inner(stress(u), ufl.sym(ufl.grad(v))) * dx)
        self.J = fem.form(ufl.inner(stress(du), ufl.sym(ufl.grad(v))) * dx)
        self.A, self.b = petsc.create_matrix(self.J), petsc.create_vector(self.V)
        self.A.setNearNullSpace(near_nullspace(self.V, SMALL_STRAIN_3D))
        self.x = self.b.duplicate()
        self.problem.supports.set_time(1.0)
        self.ksp = {"ours": self._ksp(self.newton._problem.A), "ufl": self._ksp(self.A)}
        rng = np.random.default_rng(MPI.COMM_WORLD.rank)
        u.x.array[:] = 1e-4 * rng.standard_normal(len(u.x.array))
        u.x.scatter_forward()

    def _ksp(self, A: PETSc.Mat) -> PETSc.KSP:
        ksp = PETSc.KSP().create(MPI.COMM_WORLD)
        prefix = f"bench_{id(A)}_"
        ksp.setOptionsPrefix(prefix)
        options = PETSc.Options()
        for key, value in linear_options(10**9, 3, False).items():
            options[prefix + key] = value
        ksp.setOperators(A)
        ksp.setFromOptions()
        return ksp

    # The parts of an iteration, ours and plain UFL's.

    def strain(self):
        self.region._expression.eval(self.mesh, self.region.cells, self.region._strain)

    def law(self):
        self.region.evaluate_local(1.0)

    def residual(self, form=None):
        with self.b.localForm() as local:
            local.set(0.0)
        petsc.assemble_vector(self.b, self.newton._problem.F if form is None else form)
        self.b.ghostUpdate(PETSc.InsertMode.ADD, PETSc.ScatterMode.REVERSE)

    def jacobian(self, A=None, form=None, bcs=()):
        A = self.newton._problem.A if A is None else A
        A.zeroEntries()
        petsc.assemble_matrix(A, self.newton._problem.J if form is None else form, list(bcs))
        A.assemble()

    def solve(self, which):
        self.x.set(0.0)
        self.ksp[which].setOperators(self.ksp[which].getOperators()[0])
        self.ksp[which].solve(self.b, self.x)
        if self.ksp[which].getConvergedReason() <= 0:
            raise SystemExit(f"The linear solver of the benchmark failed: {self.ksp[which].getConvergedReason()}.")

    def iteration_ours(self):
        self.law()
        self.residual()
        petsc.set_bc(self.b, self.bcs, alpha=0.0)
        self.jacobian(bcs=self.bcs)
        self.solve("ours")

    def iteration_ufl(self):
        self.residual(self.F)
        petsc.set_bc(self.b, self.bcs, alpha=0.0)
        self.jacobian(self.A, self.J, self.bcs)
        self.solve("ufl")


def clock(function) -> float:
    MPI.COMM_WORLD.Barrier()
    start = time.perf_counter()
    function()
    return MPI.COMM_WORLD.allreduce(time.perf_counter() - start, op=MPI.MAX)


def interleaved(alternatives: dict, repeats: int) -> dict[str, np.ndarray]:
    """Return seconds of each alternative, run in turn; the first round is not counted."""
    times = {name: [] for name in alternatives}
    for _ in range(repeats + 1):
        for name, function in alternatives.items():
            times[name].append(clock(function))
    return {name: np.array(values[1:]) for name, values in times.items()}


def assembly(case: Case, repeats: int) -> dict[str, float]:
    times = interleaved(
        {
            "strain": case.strain,
            "law": case.law,
            "residual": case.residual,
            "jacobian": case.jacobian,
            "UFL residual": lambda: case.residual(case.F),
            "UFL jacobian": lambda: case.jacobian(case.A, case.J),
        },
        repeats,
    )
    ours = times["strain"] + times["residual"] + times["jacobian"]
    figures = {f"{name} us/cell": 1e6 * np.median(t) / len(case.region.cells) for name, t in times.items()}
    figures["law us/point"] = 1e6 * np.median(times["law"]) / case.region.size
    figures["ratio strain+residual+jacobian"] = np.median(ours / (times["UFL residual"] + times["UFL jacobian"]))
    return figures


def iterations(case: Case, repeats: int) -> dict[str, float]:
    times = interleaved({"ours": case.iteration_ours, "UFL": case.iteration_ufl}, repeats)
    return {
        "iteration ours s": np.median(times["ours"]),
        "iteration UFL s": np.median(times["UFL"]),
        "krylov iterations ours": case.ksp["ours"].getIterationNumber(),
        "krylov iterations UFL": case.ksp["ufl"].getIterationNumber(),
        "ratio whole Newton iteration": np.median(times["ours"] / times["UFL"]),
    }


def parts(cells: int, repeats: int) -> None:
    """Print seconds of law, residual and Jacobian as JSON on rank 0; run by :func:`scaling`."""
    case = Case(cells)
    times = interleaved({"law": case.law, "residual": case.residual, "jacobian": case.jacobian}, repeats)
    if MPI.COMM_WORLD.rank == 0:
        print(json.dumps({name: float(np.median(values)) for name, values in times.items()}))


def scaling(cells: int, rounds: int) -> dict[str, float]:
    """Return the median speed-up from 1 to 2 ranks, each pinned to its core, of launches in turn."""
    mpirun = Path(sys.executable).with_name("mpirun")
    speedups: dict[str, list[float]] = {}
    for _ in range(rounds):
        seconds = []
        for ranks in (1, 2):
            command = [
                mpirun,
                "-bind-to",
                "core",
                "-n",
                str(ranks),
                sys.executable,
                __file__,
                "--parts",
                "--cells",
                cells,
            ]
            done = subprocess.run([str(c) for c in command], capture_output=True, text=True, check=True)
            seconds.append(json.loads(next(line for line in done.stdout.splitlines() if line.startswith("{"))))
        for name in seconds[0]:
            speedups.setdefault(name, []).append(seconds[0][name] / seconds[1][name])
    return {f"speed-up 1 to 2 ranks, {name}": float(np.median(values)) for name, values in speedups.items()}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--cells", type=int, default=20, help="hexahedra along each edge (20: 64,000 points)")
    parser.add_argument("--repeats", type=int, default=9)
    parser.add_argument("--scaling", action="store_true")
    parser.add_argument("--parts", action="store_true", help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.parts:
        parts(args.cells, args.repeats)
        return
    if args.scaling:
        figures = scaling(args.cells, rounds=3)
    else:
        case = Case(args.cells)
        figures = {"points": case.region.size, "unknowns": case.problem.unknowns}
        figures |= assembly(case, args.repeats) | iterations(case, max(3, args.repeats // 2))
    if MPI.COMM_WORLD.rank == 0:
        for name, value in figures.items():
            print(f"{name:<40}{value:12.4g}")
        OUT.mkdir(exist_ok=True)
        (OUT / f"bench_fem{'_scaling' if args.scaling else ''}.json").write_text(
            json.dumps(figures, default=float, indent=1)
        )


if __name__ == "__main__":
    main()

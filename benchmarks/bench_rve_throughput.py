"""Load steps of volume elements a second: the batched engine, the general one, and a plain DOLFINx + MUMPS solver.

    python benchmarks/bench_rve_throughput.py            # one core: 20×20 voxels, three solvers; 3D; gmsh
    python benchmarks/bench_rve_throughput.py --ranks    # the sampling of the same volume element on 1 and 2 ranks

The solvers take turns path by path and step by step, each with a tolerance of 1e-6, because machines are shared; the
ratios are medians. The plain solver is what one writes first with DOLFINx: stress and moduli in quadrature functions,
forms compiled with the fast options, radial return in NumPy on all points at once, PᵀKP by PETSc, LU by MUMPS with its
symbolic part kept.
"""

from pointlaw.fem import MPI  # isort: skip - MPI before DOLFINx

import argparse
import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from petsc4py import PETSc

import basix.ufl
import numpy as np
import ufl
from dolfinx import fem
from dolfinx.fem import petsc

from pointlaw.fem.jit import jit_options
from pointlaw.materials import J2, LinearElastic, PlaneStrain
from pointlaw.rve import Inclusions, Periodic, VolumeElement, random_inclusions
from pointlaw.rve.batched import BatchedEngine
from pointlaw.rve.cell import GeneralEngine
from pointlaw.rve.collect import read_paths
from pointlaw.rve.plan import make_plan
from pointlaw.rve.sample import sample
from pointlaw.tensors import PLANE_STRAIN, SMALL_STRAIN_3D

OUT = Path(__file__).parent / "out"
MATRIX, FIBRE = J2(70e3, 0.3, 200.0, H=1000.0), LinearElastic(400e3, 0.2)
TOLERANCE = 1e-6
WALK = {"kind": "random_walk", "bound": 0.01, "step_size": 1e-3, "seed": 1}


class PlainSolver:
    """A periodic J2 composite in plane strain, written directly against DOLFINx; one path."""

    def __init__(self, element):
        self.P, self.D, self.volume = element.P, element.D, element.volume
        mesh, V = element.body.mesh, element.V
        degree = element.quadrature_degree
        cell = mesh.basix_cell()
        self.u = fem.Function(V)
        self.sigma = fem.Function(fem.functionspace(mesh, basix.ufl.quadrature_element(cell, (3,), degree=degree)))
        self.C = fem.Function(fem.functionspace(mesh, basix.ufl.quadrature_element(cell, (3, 3), degree=degree)))
        points = basix.make_quadrature(cell, degree)[0]

        def eps(w):
            e = ufl.sym(ufl.grad(w))
            return ufl.as_vector([e[0, 0], e[1, 1], np.sqrt(2.0) * e[0, 1]])

        v, du = ufl.TestFunction(V), ufl.TrialFunction(V)
        dx = ufl.Measure("dx", domain=mesh, metadata={"quadrature_degree": degree})
        options = jit_options()
        self.F = fem.form(ufl.inner(self.sigma, eps(v)) * dx, jit_options=options)
        self.J = fem.form(ufl.inner(self.C * eps(du), eps(v)) * dx, jit_options=options)
        self.strain = fem.Expression(eps(self.u), points, jit_options=options)
        self.mesh, self.q = mesh, len(points)
        self.cells = np.arange(mesh.topology.index_map(2).size_local, dtype=np.int32)
        fibre = np.zeros(len(self.cells), dtype=bool)
        fibre[element.cells["inclusion"]] = True
        self.fibre = np.repeat(fibre, self.q)
        G = np.where(self.fibre, FIBRE.E / (2 + 2 * FIBRE.nu), MATRIX.G)
        K = np.where(self.fibre, FIBRE.E / (3 - 6 * FIBRE.nu), MATRIX.E / (3 - 6 * MATRIX.nu))
        self.G, self.K, self.sy = G, K, np.where(self.fibre, 1e30, MATRIX.yield_stress)
        one = np.array([1.0, 1.0, 0.0])
        dev = np.eye(3) - np.outer(one, one) / 3
        self.vol, self.dev = np.outer(one, one), dev
        self.A = petsc.create_matrix(self.J)
        csr = (self.P.indptr.astype(np.int32), self.P.indices.astype(np.int32), self.P.data)
        self.Pmat = PETSc.Mat().createAIJ(self.P.shape, csr=csr, comm=MPI.COMM_SELF)
        self.reduced = None
        self.ksp = PETSc.KSP().create(MPI.COMM_SELF)
        self.ksp.setType("preonly")
        self.ksp.getPC().setType("lu")
        self.ksp.getPC().setFactorSolverType("mumps")
        self.x = PETSc.Vec().createSeq(element.free, comm=MPI.COMM_SELF)
        self.b = self.x.duplicate()
        self.f = np.zeros(len(self.u.x.array))
        self.reset()

    def reset(self):
        self.w = np.zeros(self.P.shape[1])
        self.ep, self.p = np.zeros((len(self.G), 4)), np.zeros(len(self.G))

    def law(self, e):
        """Radial return on all points: strain [p, 3] to stress, moduli and new history."""
        a = np.zeros((len(e), 4))
        a[:, :2], a[:, 3] = e[:, :2], e[:, 2]
        a -= self.ep
        trace = a[:, 0] + a[:, 1] + a[:, 2]
        s = 2 * self.G[:, None] * (a - trace[:, None] / 3 * np.array([1.0, 1.0, 1.0, 0.0]))
        norm = np.sqrt((s**2).sum(axis=1))
        excess = np.sqrt(1.5) * norm - self.sy - MATRIX.H * self.p
        dp = np.maximum(excess, 0.0) / (3 * self.G + MATRIX.H)
        n = s / np.maximum(norm, 1e-30)[:, None]
        flow = np.sqrt(1.5) * dp
        stress = (s - 2 * (self.G * flow)[:, None] * n)[:, [0, 1, 3]]
        stress[:, :2] += (self.K * trace)[:, None]
        theta = 2 * self.G * flow / np.maximum(norm, 1e-30)
        gain = np.where(dp > 0, 2 * self.G * theta - 6 * self.G**2 / (3 * self.G + MATRIX.H), 0.0)
        m = n[:, [0, 1, 3]]
        C = self.K[:, None, None] * self.vol + (2 * self.G * (1 - theta))[:, None, None] * self.dev
        C += gain[:, None, None] * m[:, :, None] * m[:, None, :]
        return stress, C, self.ep + flow[:, None] * n, self.p + dp

    def step(self, E):
        """One load step; the mean stress [3] and the number of iterations."""
        iterations, largest = 0, 0.0
        while True:
            self.u.x.array[:] = self.D @ E + self.P @ self.w
            strain = self.strain.eval(self.mesh, self.cells).reshape(-1, 3)
            stress, C, ep, p = self.law(strain)
            self.sigma.x.array[:], self.C.x.array[:] = stress.ravel(), C.ravel()
            self.f[:] = 0.0
            fem.assemble_vector(self.f, self.F)
            r = self.P.T @ self.f
            largest = max(largest, np.linalg.norm(self.f))
            if np.linalg.norm(r) <= TOLERANCE * largest:
                self.ep, self.p = ep, p
                return self.D.T @ self.f / self.volume, iterations
            self.A.zeroEntries()
            petsc.assemble_matrix(self.A, self.J)
            self.A.assemble()
            self.reduced = self.A.ptap(self.Pmat, result=self.reduced)
            self.ksp.setOperators(self.reduced)
            self.b.array_w[:] = r
            self.ksp.solve(self.b, self.x)
            self.w -= self.x.array_r
            iterations += 1


def composite():
    """The volume element of the comparison: 20×20 voxels, a quarter of them stiff fibres."""
    structure = Inclusions([[0.3, 0.3], [0.75, 0.7]], 0.2)
    return VolumeElement(
        structure.mesh(20), {"matrix": PlaneStrain(MATRIX), "inclusion": PlaneStrain(FIBRE)}, Periodic()
    )


def walks(paths, steps, kinematics):
    """The same random walks for everybody, [paths, steps + 1, m]."""
    return make_plan(WALK | {"paths": paths, "steps": steps}).load(range(paths), kinematics).target


def clock(engine, strain, state):
    """One load step of an engine: seconds a row, and the answer."""
    begin = time.perf_counter()
    answer = engine.solve(strain, state, 1.0, tangent=False)
    return (time.perf_counter() - begin) / len(strain), answer


def compare(paths, steps):
    """Three solvers along the same random walks; prints and returns the table."""
    element = composite()
    batched, general = BatchedEngine(element, tolerance=TOLERANCE), GeneralEngine(element, tolerance=TOLERANCE)
    plain = PlainSolver(element)
    strain = walks(paths, steps, PLANE_STRAIN)
    few = max(1, paths // 16)  # the slow ones take a share of the paths; all numbers are per path and step
    seconds = {"batched": [], "general": [], "plain": []}
    state, slow = batched.initial_state(paths), general.initial_state(few)
    plains = [(plain.w.copy(), plain.ep.copy(), plain.p.copy()) for _ in range(few)]
    gap = tight = 0.0
    iterations = 0
    for k in range(1, steps + 1):
        t, answer = clock(batched, strain[:, k], state)
        seconds["batched"].append(t)
        t, reference = clock(general, strain[:few, k], slow)
        seconds["general"].append(t)
        state, slow = answer.state, reference.state
        begin, found = time.perf_counter(), []
        for row in range(few):
            plain.w, plain.ep, plain.p = plains[row]
            stress, its = plain.step(strain[row, k])
            found.append(stress)
            iterations += its
            plains[row] = (plain.w, plain.ep, plain.p)
        seconds["plain"].append((time.perf_counter() - begin) / few)
        scale = np.abs(found).max()
        gap = max(gap, np.abs(answer.stress[:few] - found).max() / scale)
        tight = max(tight, np.abs(answer.stress[:few] - reference.stress).max() / scale)
    rows = {name: np.array(values) for name, values in seconds.items()}
    table = {
        "free_unknowns": element.free,
        "steps_per_second": {name: float(1.0 / np.median(values)) for name, values in rows.items()},
        "ratio_plain_over_batched": float(np.median(rows["plain"] / rows["batched"])),
        "ratio_plain_over_general": float(np.median(rows["plain"] / rows["general"])),
        "newton_iterations_batched": batched.iterations_done / paths / steps,
        "newton_iterations_plain": iterations / few / steps,
        "stress_gap_to_plain": gap,
        "stress_gap_to_general": tight,
        "rows_left_to_general": batched.fallen,
    }
    print(f"2D plane strain, 20×20 voxels ({element.free} unknowns), J2 matrix, elastic fibres, Newton to {TOLERANCE}")
    for name in rows:
        print(f"  {name:8s} {table['steps_per_second'][name]:9.0f} load steps a second")
    print(
        f"  batched is {table['ratio_plain_over_batched']:.1f} times the plain solver (goal 8),"
        f" the general engine {table['ratio_plain_over_general']:.2f} times"
    )
    print(
        f"  stresses differ by {gap:.1e} (plain) and {tight:.1e} (general) of the largest;"
        f" {table['newton_iterations_batched']:.2f} and {table['newton_iterations_plain']:.2f} iterations a step"
    )
    return table


def rate(name, element, engine, paths, steps, kinematics):
    """Load steps a second of one engine."""
    strain, state = walks(paths, steps, kinematics), engine.initial_state(paths)
    times = []
    for k in range(1, steps + 1):
        t, answer = clock(engine, strain[:, k], state)
        state = answer.state
        times.append(t)
    table = {"unknowns": element.free, "steps_per_second": float(1.0 / np.median(times))}
    print(f"{name}: {element.free} unknowns, {table['steps_per_second']:.1f} load steps a second")
    return table


def others(steps):
    """3D voxels and a gmsh mesh."""
    tables = {}
    ball = Inclusions([[0.5, 0.5, 0.5]], 0.35)
    element = VolumeElement(ball.mesh(8), {"matrix": MATRIX, "inclusion": FIBRE}, Periodic())
    engine = GeneralEngine(element, tolerance=TOLERANCE)
    tables["3d_8"] = rate("3D, 8³ voxels, general engine", element, engine, 1, steps, SMALL_STRAIN_3D)
    try:
        import gmsh  # noqa: F401
    except ImportError:
        print("gmsh is not installed; its mesh is left out")
        return tables
    fibres = random_inclusions(0.4, 12, seed=2)
    laws = {"matrix": PlaneStrain(MATRIX), "inclusion": PlaneStrain(FIBRE)}
    element = VolumeElement(fibres.conforming_mesh(0.022), laws, Periodic())
    tables["gmsh_nodes"] = len(element.x)
    for name, engine, paths in (("general", GeneralEngine, 1), ("batched", BatchedEngine, 16)):
        made = engine(element, tolerance=TOLERANCE)
        title = f"2D, gmsh, {len(element.x)} nodes, {name} engine"
        tables[f"gmsh_{name}"] = rate(title, element, made, paths, steps, PLANE_STRAIN)
    return tables


def worker(out, paths):
    """What each rank does for the scaling."""
    from pointlaw.rve import RVEMaterial

    structure = Inclusions([[0.3, 0.3], [0.75, 0.7]], 0.2)
    laws = {"matrix": PlaneStrain(MATRIX), "inclusion": PlaneStrain(FIBRE)}
    law = RVEMaterial(structure.mesh(20), laws, tolerance=TOLERANCE)
    MPI.COMM_WORLD.Barrier()
    cpu = time.process_time()
    report = sample(law, make_plan(WALK | {"paths": paths, "steps": 50}), out, batch=8, teacher="bench", parameters={})
    cpu = MPI.COMM_WORLD.gather(time.process_time() - cpu)
    if MPI.COMM_WORLD.rank == 0:
        # The wall time of every path is on record, and who made it: what is missing of the run was not spent on paths.
        busy = np.zeros(MPI.COMM_WORLD.size)
        for record in read_paths(out):
            busy[record.rank] += record.seconds
        idle = 1.0 - busy / report.seconds
        print(json.dumps({"seconds": report.seconds, "cpu": max(cpu), "idle": idle.max(), "paths": report.computed}))


def scaling(rounds, paths):
    """Sampling on 1 and 2 ranks, in turn.

    Paths are dealt in batches of 8, so at the end one rank waits for up to one batch of the other: of 16 batches that
    is 6 % of a rank's share, of 80 it is 1.3 %.

    The ratio of the wall times says what this machine gave at the time. The ratio of the processor seconds of the
    busiest rank says how the work was dealt, whatever else the machine was doing.
    """
    mpiexec = Path(sys.executable).with_name("mpiexec")
    launcher = str(mpiexec) if mpiexec.exists() else shutil.which("mpiexec")
    runs = {1: [], 2: []}
    for _ in range(rounds):
        for ranks in (1, 2):
            with tempfile.TemporaryDirectory() as out:
                command = [launcher, "-n", str(ranks), sys.executable, __file__, "--worker", out, "--paths", str(paths)]
                done = subprocess.run(command, capture_output=True, text=True, check=True)
                runs[ranks].append(json.loads(done.stdout.splitlines()[-1]))
    table = {"paths": paths, "load_average": os.getloadavg()[0]}
    for what in ("seconds", "cpu"):
        one, two = (np.array([run[what] for run in runs[ranks]]) for ranks in (1, 2))
        table[what] = {"1": one.tolist(), "2": two.tolist(), "ratio": float(np.median(one / two))}
        name = "wall seconds" if what == "seconds" else "processor seconds of the busiest rank"
        print(
            f"{name}: {np.median(one):.2f} on 1 rank, {np.median(two):.2f} on 2; "
            f"{np.median(one / two):.2f} times faster (goal 1.9), each round {np.round(one / two, 2).tolist()}"
        )
    table["idle"] = {str(ranks): float(np.median([run["idle"] for run in runs[ranks]])) for ranks in (1, 2)}
    print(
        f"share of the run in which the least busy rank drove no paths: {table['idle']['1']:.1%} on 1 rank, "
        f"{table['idle']['2']:.1%} on 2"
    )
    print(f"load average of the machine: {table['load_average']:.1f} on {os.cpu_count()} cores")
    return table


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--ranks", action="store_true", help="only 1 against 2 ranks")
    parser.add_argument("--paths", type=int, help="64; with --ranks 640")
    parser.add_argument("--rounds", type=int, default=5, help="with --ranks")
    parser.add_argument("--steps", type=int, default=20)
    parser.add_argument("--worker", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.worker:
        worker(options.worker, options.paths)
        return
    if options.ranks:
        results = {"ranks": scaling(options.rounds, options.paths or 640)}
    else:
        results = {"voxels_20": compare(options.paths or 64, options.steps), **others(max(4, options.steps // 4))}
    OUT.mkdir(exist_ok=True)
    name = OUT / ("rve_throughput_ranks.json" if options.ranks else "rve_throughput.json")
    name.write_text(json.dumps(results, indent=1) + "\n")
    print(f"written to {name}")


if __name__ == "__main__":
    main()

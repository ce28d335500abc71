"""The cost of a macroscopic Newton iteration: a learned law against concurrent FE², in 2D and in 3D.

The law is a physically recurrent network of 32 elements that was trained on the volume element it stands for; it counts
only if the reaction force of a coarse problem is within 1 % of that of real FE². Then, in turn and in one process:

* an iteration of a macroscopic problem of about a thousand points with the law: strain, law, assembly, linear solver;
* one load step of some volume elements with homogenised tangent, from where they are on their random path, by

  - 2D: the batched engine of this package, the fastest that we have (32 × 32 voxels, 2048 displacements), and
  - 3D: its general engine, DOLFINx assembly and MUMPS (9³ voxels, 2187 displacements).

The cost of FE² is that of the learned law's iteration, less the law, plus one load step of a volume element at every
point: linear in the points, from few solves. Processor time of the one thread; medians over rounds.

    python benchmarks/bench_fe2.py          2D, 3D and the law by itself
    python benchmarks/bench_fe2.py --only 2d

Goals: at least 400 in 2D, at least 10 000 in 3D. Data and laws are kept under benchmarks/out.
"""

import argparse
import itertools
import json
import logging
import os
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

for variable in ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS"):
    os.environ[variable] = "1"

from mpi4py import MPI  # noqa: E402

import dolfinx  # noqa: E402
import numpy as np  # noqa: E402
import torch  # noqa: E402

from pointlaw.data import Dataset, load_dataset, merge, sample, save_dataset  # noqa: E402
from pointlaw.fem import Displacement, ForceTable, MechanicsProblem, march  # noqa: E402
from pointlaw.laws import LearnedMaterial, load_law, make_law, save_law  # noqa: E402
from pointlaw.materials import J2, LinearElastic, Material, PlaneStrain  # noqa: E402
from pointlaw.networks import LSTM, PhysicallyRecurrent  # noqa: E402
from pointlaw.paths import gaussian_process  # noqa: E402
from pointlaw.rve import Inclusions, RVEMaterial  # noqa: E402
from pointlaw.tensors import Kinematics  # noqa: E402
from pointlaw.training import TrainConfig, fit  # noqa: E402

OUT = Path(__file__).parent / "out"
MATRIX, FIBRE = J2(E=70e3, nu=0.33, yield_stress=100.0, H=2000.0), LinearElastic(E=400e3, nu=0.2)


@dataclass
class Case:
    """A volume element, the macroscopic problems behind it, and how its law is trained."""

    name: str
    rve: RVEMaterial
    engine: str
    large: tuple[int, ...]  # cells of the problem that is timed
    coarse: tuple[int, ...]  # cells of the problem whose force is compared
    steps: int  # of the coarse problem
    paths: tuple[int, int]  # to learn from, kept back
    path_steps: int
    rows: int  # volume elements of a timed load step
    goal: float
    images: int = 0  # of each path under the symmetries of the cube, which cost nothing
    epochs: int = 150

    @property
    def kinematics(self) -> Kinematics:
        return self.rve.kinematics

    def walk(self, paths: int, seed: int):
        """Return random paths up to 1.2 % of strain."""
        return gaussian_process(
            paths, seed=seed, steps=self.path_steps, bound=0.012, correlation=0.2, kinematics=self.kinematics
        )

    def law(self) -> LearnedMaterial:
        """Return the trained law."""
        file = OUT / f"fe2_{self.name}.safetensors"
        if not file.exists():
            torch.manual_seed(0)
            parts = [self._data(n, seed) for seed, n in enumerate(self.paths, start=1)]
            if self.images:
                parts[0] = with_images(parts[0], self.images)
            m = self.kinematics.size
            config = TrainConfig(
                epochs=self.epochs,
                batch=12,
                learning_rate=0.03,
                patience=self.epochs,
                validation=0.1,
                precision="float64",
            )
            report = fit(PhysicallyRecurrent(features=m, outputs=m, elements=32, seed=0), parts[0], config)
            law = make_law(report.network, report.scaling, name=self.name, training=parts[0], kept_back=parts[1],
                           settings=config.record() | {"seconds": report.seconds})  # fmt: skip
            save_law(file, law)
        return load_law(file)

    def _data(self, paths: int, seed: int):
        file = OUT / f"fe2_{self.name}_{seed}.h5"
        if not file.exists():
            save_dataset(file, sample(self.rve, self.walk(paths, seed), tangent=False, teacher=self.name))
        return load_dataset(file)

    def problem(self, material: Material, cells: tuple[int, ...]) -> MechanicsProblem:
        """Return a block that is clamped on the left and moved on the right, along and across."""
        dim = len(cells)
        corners, lengths = [0.0] * dim, [2.0] + [1.0] * (dim - 1)
        make = dolfinx.mesh.create_rectangle if dim == 2 else dolfinx.mesh.create_box
        kind = dolfinx.mesh.CellType.quadrilateral if dim == 2 else dolfinx.mesh.CellType.hexahedron
        mesh = make(MPI.COMM_SELF, [corners, lengths], cells, cell_type=kind)
        still = {axis: 0.0 for axis in "xyz"[:dim]}
        moved = {"x": lambda t: 0.006 * np.sin(np.pi * t), "y": lambda t: 0.006 * np.sin(2.0 * np.pi * t)}
        supports = [
            Displacement(lambda x: np.isclose(x[0], 0.0), **still),
            Displacement(right, **({"z": 0.0} if dim == 3 else {}), **moved),
        ]
        return MechanicsProblem(mesh, material, supports=supports, rtol=1e-6)


def with_images(data: Dataset, images: int) -> Dataset:
    """Return a dataset in 3D with some images of every path under the symmetries of the cube, drawn at random.

    A volume element with these symmetries answers a turned path with the turned stress; a turn by right angles permutes
    the components of Mandel order and changes the signs of shears.
    """
    mirrors = [np.ones(3), *(1.0 - 2.0 * np.eye(3))]
    others = [(np.array(axes), signs) for axes in itertools.permutations(range(3)) for signs in mirrors][1:]
    parts = [data]
    for number in np.random.default_rng(0).permutation(len(others))[:images]:
        axes, signs = others[number]
        pairs = [tuple(sorted(axes[[a, b]])) for a, b in ((1, 2), (0, 2), (0, 1))]
        order = [*axes, *(3 + [(1, 2), (0, 2), (0, 1)].index((int(a), int(b))) for a, b in pairs)]
        change = np.array([1.0, 1.0, 1.0, signs[1] * signs[2], signs[0] * signs[2], signs[0] * signs[1]])
        turned = {name: getattr(data, name)[..., order] * change for name in ("strain", "stress")}
        parts.append(Dataset(time=data.time, card=data.card, **turned))
    return merge(parts)


def right(x):
    """Return the nodes of the right side."""
    return np.isclose(x[0], 2.0)


def cases(wanted: str) -> list[Case]:
    """Return the volume elements."""
    found = []
    if wanted in ("2d", "both"):
        mesh = Inclusions([[0.3, 0.3], [0.75, 0.7]], 0.2).mesh(32)
        phases = {"matrix": PlaneStrain(MATRIX), "inclusion": PlaneStrain(FIBRE)}
        rve = RVEMaterial(mesh, phases, engine="batched", tolerance=1e-8)
        found.append(Case("2d", rve, "batched", (23, 11), (4, 2), 12, (36, 12), 50, 16, 400.0))
    if wanted in ("3d", "both"):
        mesh = Inclusions([[0.5, 0.5, 0.5]], 0.35).mesh(9)
        rve = RVEMaterial(mesh, {"matrix": MATRIX, "inclusion": FIBRE}, engine="general", tolerance=1e-8)
        found.append(Case("3d", rve, "general", (8, 4, 4), (2, 1, 1), 6, (48, 6), 30, 1, 1e4, images=5))
    return found


def force_error(case: Case, law: Material) -> dict[str, float]:
    """Return the error of the reaction force of the coarse problem, and the iterations of both."""
    forces, iterations = [], []
    for material in (case.rve, law):
        table = ForceTable(right)
        times = np.linspace(0.0, 1.0, case.steps + 1)[1:]
        solution = march(case.problem(material, case.coarse), times, observers=[table])
        forces.append(np.array(table.force))
        iterations.append(solution.stats.iterations)
    gap = float(np.linalg.norm(forces[1] - forces[0]) / np.linalg.norm(forces[0]))
    return {"force_error": gap, "iterations_fe2": iterations[0], "iterations_law": iterations[1]}


def clock(run: Callable[[], object]) -> float:
    """Return the processor seconds of a call."""
    begin = time.process_time()
    run()
    return time.process_time() - begin


def compare(case: Case, law: LearnedMaterial, rounds: int) -> dict[str, float]:
    """Time iterations of the law, the law alone and load steps of the volume element, in turn."""
    problem = case.problem(law, case.large)
    points, region = problem.points, problem.regions["body"]
    walk = case.walk(case.rows, seed=3).strain
    state = case.rve.initial_state(case.rows)
    rows: dict[str, list[float]] = {"iteration": [], "law": [], "rve": []}
    for k in range(1, rounds + 1):
        t, begin = k / rounds, time.process_time()
        report = problem.solve(t, 1.0 / rounds)
        rows["iteration"].append((time.process_time() - begin) / report.evaluations)
        rows["law"].append(clock(lambda: region.evaluate_local(1.0, tangent=True)))
        problem.accept(report)
        begin = time.process_time()
        answer = case.rve.update(walk[:, k], state, 1.0, tangent=True)
        rows["rve"].append((time.process_time() - begin) / case.rows)
        state = answer.state
    values = {name: np.array(v[2:]) for name, v in rows.items()}  # the first rounds warm up
    rest = np.maximum(values["iteration"] - values["law"], 0.0)
    return {
        "points": points,
        "rve_unknowns": case.rve.element.free,
        "iteration_ms": 1e3 * float(np.median(values["iteration"])),
        "law_us_per_point": 1e6 * float(np.median(values["law"])) / points,
        "rve_ms": 1e3 * float(np.median(values["rve"])),
        "ratio": float(np.median((points * values["rve"] + rest) / values["iteration"])),
        "ratio_law": float(np.median(points * values["rve"] / values["law"])),
        "goal": case.goal,
    }


def by_itself(law: LearnedMaterial, points: int = 2048, rounds: int = 25) -> dict[str, float]:
    """Time the law with tangent at a moment of random paths, beside an LSTM of 64 units; µs a point."""
    m = law.kinematics.size
    walk = gaussian_process(points, seed=5, steps=20, bound=0.012, correlation=0.2, kinematics=law.kinematics).strain
    card = law.card.model_copy(update={"architecture": "lstm", "config": {"features": m, "outputs": m, "hidden": 64}})
    both = {"prn32": law, "lstm64": LearnedMaterial(LSTM(features=m, outputs=m, hidden=64).double(), card)}
    ready = {}
    for name, material in both.items():
        state = material.initial_state(points)
        for k in range(1, 20):
            state = material.update(walk[:, k], state, 1.0, tangent=False).state
        ready[name] = (material, state, material.update(walk[:, 20], state, 1.0))
    times: dict[str, list[float]] = {name: [] for name in both}
    for _ in range(rounds):
        for name, (material, state, out) in ready.items():
            times[name].append(clock(lambda a=material, s=state, o=out: a.update_into(walk[:, 20].copy(), s, 1.0, o)))
    us = {name: 1e6 * float(np.median(v[2:])) / points for name, v in times.items()}
    return us | {"ratio": float(np.median(np.array(times["prn32"][2:]) / np.array(times["lstm64"][2:])))}


def show(case: Case, table: dict) -> None:
    """Print what was measured."""
    own = table["law"]
    print(f"{case.name}: volume element of {table['rve_unknowns']} unknowns, {case.engine} engine")
    print(f"  the law: error {table['error']:.2%} on unseen paths; with tangent {own['prn32']:.2f} µs a point, "
          f"an LSTM-64 {own['lstm64']:.2f} µs (ratio {own['ratio']:.2f})")  # fmt: skip
    print(f"  reaction force within {table['force_error']:.2%} of FE² (at most 1 %), Newton iterations "
          f"{table['iterations_law']} against {table['iterations_fe2']}")  # fmt: skip
    print(f"  {table['points']} points: an iteration with the law {table['iteration_ms']:.1f} ms, of it the law "
          f"{table['law_us_per_point']:.2f} µs a point")  # fmt: skip
    print(f"  one load step of a volume element {table['rve_ms']:.2f} ms: FE² costs {table['ratio']:.0f} times as much "
          f"an iteration (goal {case.goal:.0f}), {table['ratio_law']:.0f} times in the law alone")  # fmt: skip


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", choices=("2d", "3d"), default="both")
    parser.add_argument("--rounds", type=int, default=20)
    options = parser.parse_args()
    logging.getLogger("pointlaw.fem.march").setLevel(logging.ERROR)
    torch.set_num_threads(1)
    OUT.mkdir(exist_ok=True)
    record = OUT / "fe2.json"
    tables = json.loads(record.read_text(encoding="utf-8")) if record.exists() else {}
    for case in cases(options.only):
        law = case.law()
        table = force_error(case, law) | compare(case, law, options.rounds) | {"law": by_itself(law)}
        table |= {"error": law.card.figures.error_mean, "engine": case.engine}
        tables[case.name] = table
        show(case, table)
        record.write_text(json.dumps(tables, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()

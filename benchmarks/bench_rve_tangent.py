"""What the homogenised tangent costs beside a load step of either engine, and how exact both are.

    python benchmarks/bench_rve_tangent.py             # 2D 20×20, 2D gmsh mesh, 3D 8³; then the batched engine
    python benchmarks/bench_rve_tangent.py --steps 20

A J2 matrix with stiff fibres is led along one random path; each step is made with and without its tangent, in turn, and
the median of the ratios is printed. Times are CPU times of this one-threaded process, because machines are shared;
"error" is that of the tangent against central differences. Of the batched engine the rows of a call are shown: a
lane that has converged gets its tangent from a factorisation that the other lanes need anyway, but the last lanes of a
call have theirs to themselves. Its "error" is the difference to the general engine's tangent of the same step, relative
to the largest entry.
"""

from pointlaw.fem import MPI  # isort: skip  # noqa: F401 - MPI before DOLFINx

import argparse
import json
import time
from pathlib import Path

import numpy as np

from pointlaw.materials import J2, LinearElastic, PlaneStrain
from pointlaw.paths import random_walk
from pointlaw.rve import Laminate, Periodic, RVEMaterial, homogenise, lattice_inclusions, random_inclusions

OUT = Path(__file__).parent / "out"
MATRIX, FIBRE = J2(E=70e3, nu=0.33, yield_stress=100.0, H=1000.0), LinearElastic(E=400e3, nu=0.2)


def cells() -> dict[str, RVEMaterial]:
    """Return the volume elements to be measured."""
    plane = {"matrix": PlaneStrain(MATRIX), "inclusion": PlaneStrain(FIBRE)}
    solid = {"matrix": MATRIX, "inclusion": FIBRE}
    meshes = {
        "2D 20×20 voxels": (random_inclusions(0.3, 5, seed=1).mesh(20), plane),
        "3D 8³ voxels": (lattice_inclusions("cubic", 0.3).mesh(8), solid),
    }
    try:
        meshes["2D gmsh"] = (random_inclusions(0.3, 9, gap=0.02, seed=1).conforming_mesh(0.025), plane)
    except (ImportError, RuntimeError) as error:
        print(f"without the gmsh mesh: {error}")
    options = {"engine": "general", "tolerance": 1e-6}
    return {name: RVEMaterial(mesh, laws, Periodic(), **options) for name, (mesh, laws) in meshes.items()}


def measure(rve: RVEMaterial, steps: int) -> dict[str, float]:
    """Lead a cell along a random path; return medians of times and of the tangent's share, and its error."""
    path = random_walk(1, seed=3, steps=steps, bound=1e-2, step_size=2e-3, kinematics=rve.kinematics)
    state, rows = rve.initial_state(1), []
    for k in range(1, steps + 1):
        strain, seconds = path.strain[:, k], {}
        for tangent in (False, True) if k % 2 else (True, False):
            begun = time.process_time()
            answer = rve.update(strain, state, 1.0, tangent=tangent)
            seconds[tangent] = time.process_time() - begun
        rows.append((seconds[False], seconds[True] - seconds[False], answer.reports[0].iterations))
        last, state = (strain, state), answer.state
    alone, extra, iterations = np.array(rows).T
    return {
        "unknowns": rve.element.free,
        "iterations": float(iterations.mean()),
        "step_ms": 1e3 * float(np.median(alone)),
        "tangent_ms": 1e3 * float(np.median(extra)),
        "share": float(np.median(extra / alone)),
        "error": derivative_error(rve, *last),
    }


def measure_batched(rve: RVEMaterial, steps: int, paths: int) -> dict[str, float]:
    """Lead many cells along random walks on the batched engine; medians as in :func:`measure`, times per cell."""
    options = {"tolerance": rve.engine.tolerance, "engine": "batched"}
    fast = RVEMaterial(rve.element.body, rve.element.phases, Periodic(), **options)
    path = random_walk(paths, seed=3, steps=steps, bound=1e-2, step_size=2e-3, kinematics=rve.kinematics)
    state, rows = fast.initial_state(paths), []
    for k in range(1, steps + 1):
        strain, seconds, before = path.strain[:, k], {False: 0.0, True: 0.0}, fast.engine.iterations_done
        for tangent in (False, True, True, False):
            begun = time.process_time()
            answer = fast.update(strain, state, 1.0, tangent=tangent)
            seconds[tangent] += (time.process_time() - begun) / paths / 2
        iterations = (fast.engine.iterations_done - before) / paths / 4
        rows.append((seconds[False], seconds[True] - seconds[False], iterations))
        last, state = (strain[:2], state[:2]), answer.state
    alone, extra, iterations = np.array(rows).T
    tight = [
        RVEMaterial(rve.element.body, rve.element.phases, Periodic(), tolerance=1e-11, engine=engine)
        .update(*last, 1.0)
        .tangent
        for engine in ("batched", "general")
    ]
    return {
        "unknowns": rve.element.free,
        "iterations": float(iterations.mean()),
        "step_ms": 1e3 * float(np.median(alone)),
        "tangent_ms": 1e3 * float(np.median(extra)),
        "share": float(np.median(extra / alone)),
        "error": float(np.abs(tight[0] - tight[1]).max() / np.abs(tight[1]).max()),
    }


def derivative_error(rve: RVEMaterial, strain: np.ndarray, state: np.ndarray, step: float = 1e-7) -> float:
    """Return the error of the tangent against central differences, relative to its largest entry."""
    tight = RVEMaterial(rve.element.body, rve.element.phases, Periodic(), engine="general", tolerance=1e-11)
    moduli = tight.update(strain, state, 1.0).tangent[0]
    numeric = np.empty_like(moduli)
    for k, unit in enumerate(np.eye(len(moduli))):
        ahead, behind = (tight.update(strain + s * step * unit, state, 1.0, tangent=False).stress[0] for s in (1, -1))
        numeric[:, k] = (ahead - behind) / (2.0 * step)
    return float(np.abs(moduli - numeric).max() / np.abs(numeric).max())


def laminate_error() -> float:
    """Return the error of a layered cell's stiffness across the layers against its closed form."""
    laws = {"layer_1": LinearElastic(1.0, 0.3), "layer_2": LinearElastic(100.0, 0.2)}
    mesh = Laminate([0.25, 0.75], dim=3).mesh((8, 2, 2))
    stiffness = homogenise(RVEMaterial(mesh, laws, Periodic(), engine="general"))
    across = 1.0 / sum(share / law.stiffness[0, 0] for share, law in zip((0.25, 0.75), laws.values(), strict=True))
    return float(abs(stiffness[0, 0] / across - 1.0))


def show(name: str, row: dict[str, float]) -> dict[str, float]:
    """Print a line of the table and return its numbers."""
    print(
        f"{name:<26}{row['unknowns']:>9}{row['iterations']:>8.1f}{row['step_ms']:>9.2f}{row['tangent_ms']:>12.2f}"
        f"{row['share']:>8.3f}{row['error']:>10.1e}"
    )
    return row


def main() -> None:
    """Measure, print the table, write the numbers."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--steps", type=int, default=12)
    steps = parser.parse_args().steps
    print(f"{'cell':<26}{'unknowns':>9}{'Newton':>8}{'step/ms':>9}{'tangent/ms':>12}{'share':>8}{'error':>10}")
    found = {}
    made = cells()
    for name, rve in made.items():
        found[name] = show(name, measure(rve, steps))
    for name, paths in (("2D 20×20 voxels", 8), ("2D 20×20 voxels", 128), ("2D gmsh", 16)):
        if name in made:
            title = f"{name}, {paths} rows"
            found[title] = show(title, measure_batched(made[name], steps, paths))
    found["laminate"] = {"error": laminate_error()}
    print(f"laminate, stiffness across the layers: error {found['laminate']['error']:.1e}")
    OUT.mkdir(exist_ok=True)
    (OUT / "bench_rve_tangent.json").write_text(json.dumps(found, indent=2))


if __name__ == "__main__":
    main()

"""What dealing the points over the ranks gains where the plastic cells of an FE² problem lie on one rank.

    mpiexec -n 2 python benchmarks/bench_rve_balance.py
    mpiexec -n 2 python benchmarks/bench_rve_balance.py --engine general

A block is pulled hard at its left end; its right end hangs loose and stays elastic. The same problem is solved with and
without :class:`Balanced`, in turn. "busiest rank" is the processor time that the rank with most to do spent in volume
elements: what every other rank waits for, whatever else the machine was doing. "mean" is what a perfect deal would
leave on each.
"""

from pointlaw.fem import MPI  # isort: skip

import argparse
import json
import os
import time
from pathlib import Path

import dolfinx
import numpy as np

from pointlaw.fem import Displacement, MechanicsProblem, march
from pointlaw.materials import J2, LinearElastic, Material, PlaneStrain
from pointlaw.rve import Balanced, RVEMaterial, random_inclusions

OUT = Path(__file__).parent / "out"
LAWS = {
    "matrix": PlaneStrain(J2(70e3, 0.3, 200.0, H=1000.0)),
    "inclusion": PlaneStrain(LinearElastic(400e3, 0.2)),
}


class Timed(Material):
    """A law that counts the processor seconds of its updates."""

    def __init__(self, law):
        self.law, self.kinematics, self.state_layout, self.symmetric = (
            law,
            law.kinematics,
            law.state_layout,
            law.symmetric,
        )
        self.seconds = 0.0

    @property
    def effort(self):
        return self.law.effort

    def initial_state(self, points):
        return self.law.initial_state(points)

    def update(self, strain, state, dt, *, tangent=True):
        begun = time.process_time()
        answer = self.law.update(strain, state, dt, tangent=tangent)
        self.seconds += time.process_time() - begun
        return answer


def solve(law, cells):
    """Pull the block in four steps; return the largest displacement."""
    kind = dolfinx.mesh.CellType.quadrilateral
    mesh = dolfinx.mesh.create_rectangle(MPI.COMM_WORLD, [[0.0, 0.0], [6.0, 1.0]], [6 * cells, cells], cell_type=kind)
    supports = [
        Displacement(lambda x: np.isclose(x[0], 0.0), x=0.0, y=0.0),
        Displacement(lambda x: np.isclose(x[0], 2.0), x=lambda t: 0.02 * t, y=lambda t: 0.01 * t),
    ]
    problem = MechanicsProblem(mesh, law, supports=supports, rtol=1e-6)
    march(problem, [0.25, 0.5, 0.75, 1.0])
    return MPI.COMM_WORLD.allreduce(float(np.abs(problem.u.x.array).max()), op=MPI.MAX)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--engine", default="batched", choices=("batched", "general"))
    parser.add_argument("--cells", type=int, default=4, help="over the height of the block")
    parser.add_argument("--rounds", type=int, default=5)
    options = parser.parse_args()
    world, rows = MPI.COMM_WORLD, {"own": [], "dealt": []}
    timed = Timed(RVEMaterial(random_inclusions(0.3, 5, seed=1).mesh(10), LAWS, tolerance=1e-7, engine=options.engine))
    laws, answer = {"own": timed, "dealt": Balanced(timed)}, {}
    solve(timed, 1)  # compiles the forms
    for _ in range(options.rounds):
        for name, law in laws.items():
            timed.seconds, begun = 0.0, time.perf_counter()
            answer[name] = solve(law, options.cells)
            wall = time.perf_counter() - begun
            each = world.allgather(timed.seconds)
            rows[name].append((wall, max(each), float(np.mean(each))))
    if world.rank:
        return
    table = {name: np.median(values, axis=0) for name, values in rows.items()}
    ratio = np.median(np.array(rows["own"]) / np.array(rows["dealt"]), axis=0)
    print(f"{world.size} ranks, {options.engine} engine, {24 * options.cells**2} points; median seconds")
    print(f"{'':10}{'wall':>9}{'busiest rank':>15}{'mean':>9}")
    for name, (wall, most, mean) in table.items():
        print(f"{name:10}{wall:>9.3f}{most:>15.3f}{mean:>9.3f}")
    print(f"{'ratio':10}{ratio[0]:>9.2f}{ratio[1]:>15.2f}{ratio[2]:>9.2f}")
    print(f"largest displacement differs by {abs(answer['own'] / answer['dealt'] - 1.0):.1e}")
    print(f"load average {os.getloadavg()[0]:.1f} on {os.cpu_count()} cores")
    OUT.mkdir(exist_ok=True)
    content = {name: values.tolist() for name, values in table.items()} | {"ratio": ratio.tolist()}
    (OUT / f"rve_balance_{options.engine}_{world.size}.json").write_text(json.dumps(content, indent=1) + "\n")


if __name__ == "__main__":
    main()

"""What a point costs: µs per point of every law in MATERIALS, with and without tangent, and its ratio to J2.

All laws are timed in turns in one process, on one core, through ``update_into`` as the solver calls them; the median
of the ratios of neighbouring runs is what counts on a busy machine. The points are loaded well into the inelastic
range. Usage: ``python benchmarks/bench_materials.py [points] [rounds] [law ...]``.
"""

import json
import os
import sys
import time
from pathlib import Path

# ruff: noqa: E402 -- the threads are chosen before NumPy is loaded
for variable in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
    os.environ.setdefault(variable, "1")

import numpy as np

from pointlaw.materials import MATERIALS, Response
from pointlaw.paths import random_directions

REFERENCE = "j2"


class Case:
    """A law with a batch of loaded points and the arrays to answer into."""

    def __init__(self, name: str, points: int):
        self.law = MATERIALS[name]()
        kinematics = self.law.kinematics
        m, s = kinematics.size, self.law.state_layout.size
        size = 0.1 if kinematics.finite else 4e-3
        along = random_directions(min(points, 1000), seed=0, kinematics=kinematics)
        along = np.tile(along, (-(-points // len(along)), 1))[:points]
        self.state = self.law.initial_state(points)
        for share in (0.25, 0.5, 0.75):
            self.state = self.law.update(kinematics.reference + share * size * along, self.state, 1.0).state
        self.strain = kinematics.reference + size * along
        self.out = Response(np.zeros((points, m)), np.zeros((points, m, m)), np.zeros((points, s)))

    def seconds(self, tangent: bool) -> float:
        """Time one call."""
        start = time.perf_counter()
        self.law.update_into(self.strain, self.state, 1.0, self.out, tangent=tangent)
        return time.perf_counter() - start


def measure(names: list[str], points: int, rounds: int) -> list[dict]:
    """Return a row for every law: median µs per point, and median ratio to the reference timed right before it."""
    reference = Case(REFERENCE, points)
    rows = []
    for name in names:
        case = Case(name, points)
        times, ratios = {True: [], False: []}, {True: [], False: []}
        for _ in range(rounds):
            for tangent in (True, False):
                base, own = reference.seconds(tangent), case.seconds(tangent)
                times[tangent].append(own / points * 1e6)
                ratios[tangent].append(own / base)
        rows.append(
            {
                "law": name,
                "tangent_us": float(np.median(times[True])),
                "stress_us": float(np.median(times[False])),
                "fastest_us": float(min(times[True])),
                "ratio": float(np.median(ratios[True])),
                "stress_ratio": float(np.median(ratios[False])),
                "failed": int((np.asarray(case.out.status) < 0).sum()),
            }
        )
    return rows


def main() -> None:
    """Print the table and write it as JSON."""
    points = int(sys.argv[1]) if len(sys.argv) > 1 else 10_000
    rounds = int(sys.argv[2]) if len(sys.argv) > 2 else 15
    rows = measure(sys.argv[3:] or list(MATERIALS), points, rounds)
    print(f"{points} points, one core, {rounds} rounds; µs per point (median; fastest), ratio to {REFERENCE} (median)")
    print(
        f"{'law':<26}{'with tangent':>14}{'fastest':>10}{'stress only':>13}{'ratio':>8}"
        f"{'stress ratio':>14}{'failed':>8}"
    )
    for row in rows:
        print(
            f"{row['law']:<26}{row['tangent_us']:>14.2f}{row['fastest_us']:>10.2f}{row['stress_us']:>13.2f}"
            f"{row['ratio']:>8.2f}{row['stress_ratio']:>14.2f}{row['failed']:>8}"
        )
    out = Path(__file__).parent / "out" / "bench_materials.json"
    out.parent.mkdir(exist_ok=True)
    out.write_text(json.dumps({"points": points, "rounds": rounds, "laws": rows}, indent=2))


if __name__ == "__main__":
    main()

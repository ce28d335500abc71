"""How close any polyconvex energy of cubic symmetry can come to the load paths of a lattice, before training one.

    python benchmarks/lattice_limit.py [--cell X] [--points 24] [--only shear uniaxial] [--mixed [--drawn 24]]

With --mixed it must also follow the nine mixed paths that ``benchmarks/lattice.py`` names and does not train on,
computed as beams, and with --drawn some more of these (409 points and six minutes for 24).

Prints of each path the relative error of P that remains: what no energy of this symmetry can follow (see
``benchmarks/lattice.py``), what polyconvexity adds to it, and both. The second is a lower bound for the mean square
over the paths, each over its own stress; how it falls on the single paths is a choice of the fit. More points can only
raise it. Data: doi 10.1007/s00466-020-01954-7.
"""

import argparse
import json
import time
from pathlib import Path

import numpy as np

from beam_lattice import CONSTANTS
from beam_paths import named_and_drawn
from lattice_data import CELLS, FOLDER, OUT, PATHS, REST, Paths, Table, read, rest_row, show, symmetric_part
from pointlaw.data import closest_polyconvex
from pointlaw.networks.structure import cubic_rotations

AT_REST = 1e3  # weight of the stress at rest, which is zero, over the largest of the others
CROWDED = 1.5  # exponent that crowds the points of a branch near rest, where struts buckle


def taken(F: np.ndarray, points: int) -> tuple[np.ndarray, np.ndarray]:
    """Return ``points`` rows of each branch, crowded near rest, and for how many rows each stands."""
    rest = rest_row(F)
    share = np.linspace(0.0, 1.0, points + 1)[1:] ** CROWDED
    ends = [end for end in (0, len(F) - 1) if end != rest]
    rows = np.unique(np.concatenate([rest + share * (end - rest) for end in ends]).round().astype(int))
    rows = rows[rows != rest]
    nearest = np.abs(np.arange(len(F))[:, None] - rows).argmin(1)
    return rows, np.bincount(nearest, minlength=len(rows)).astype(float)


def limits(paths: Paths, points: int) -> tuple[Table, str]:
    """Return the errors of each path and a line about the programme."""
    parts = {}
    for name, (F, P) in paths.items():
        rows, count = taken(F, points) if name in PATHS else (np.arange(len(F)), np.ones(len(F)))
        followed = symmetric_part(F, P)[rows]
        parts[name] = F[rows], P[rows], followed, count / float(count @ np.square(P[rows]).sum(1))
    heavy = AT_REST * max(float(weight.max()) for *_, weight in parts.values())
    nothing = np.zeros((1, 9))
    everything = [*parts.values(), (REST[None], nothing, nothing, np.array([heavy]))]
    F, _, followed, weight = (np.concatenate(columns) for columns in zip(*everything, strict=True))
    begin = time.perf_counter()
    fit = closest_polyconvex(F, followed, rotations=cubic_rotations(), weight=weight)
    line = f"{len(F)} points, {fit.planes} planes, {fit.rounds} rounds, {time.perf_counter() - begin:.0f} s"
    ends = np.cumsum([len(part[0]) for part in parts.values()])
    table = {}
    for (name, (_, P, symmetric, weight)), found in zip(parts.items(), np.split(fit.stress, ends)[:-1], strict=True):
        differences = {"symmetry": symmetric - P, "polyconvexity": found - symmetric, "both": found - P}
        table[name] = {key: float(np.sqrt(weight @ np.square(d).sum(1))) for key, d in differences.items()}
    mean = {key: float(np.sqrt(np.mean([row[key] ** 2 for row in table.values()]))) for key in differences}
    return {**table, "mean square": mean}, line


def main() -> None:
    """Read the command line, solve, print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--cell", choices=CELLS, nargs="*", default=CELLS)
    parser.add_argument("--data", type=Path, default=FOLDER)
    parser.add_argument("--points", type=int, default=24, help="of each branch of a path")
    parser.add_argument("--only", nargs="*", choices=PATHS, default=PATHS, help="paths")
    parser.add_argument("--mixed", action="store_true", help="the nine named mixed paths of the beams beside them")
    parser.add_argument("--drawn", type=int, default=0, help="with --mixed, so many drawn ones more")
    given = parser.parse_args()
    answer = {}
    for cell in given.cell:
        public = read(given.data, cell)
        paths = {name: path for name, path in public.items() if name in given.only}
        if given.mixed:
            paths |= named_and_drawn(CONSTANTS[cell], given.drawn, 0, public)
        answer[cell], line = limits(paths, given.points)
        print(f"{cell}: relative errors of P in % that remain ({line})")
        show("", answer[cell])
    OUT.mkdir(exist_ok=True)
    (OUT / "lattice_limit.json").write_text(json.dumps(answer, indent=2))


if __name__ == "__main__":
    main()

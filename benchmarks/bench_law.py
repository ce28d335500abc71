"""Cost of a learned law at a quadrature point, against the ways in which it is usually evaluated.

One core, float64, small strain in 3D (m = 6), networks of 64 units; stress, tangent and new state. All alternatives
run in turn in one process, times are processor time of the one thread, and ratios are medians over rounds, because
wall-clock times on a shared machine mean little.
Memory is the rise of the peak of a fresh process while the law writes into arrays that exist.

    python benchmarks/bench_law.py [--rounds 15] [--points 10000 100000]

Goals: at least 5× faster than six batched vector–Jacobian products of the scripted cell, at least 10× faster than
vmap(jacfwd), and no memory that grows with the number of points.
"""

import argparse
import json
import os
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

for variable in ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS"):
    os.environ[variable] = "1"

import numpy as np  # noqa: E402
import torch  # noqa: E402

from pointlaw.data import Scaling  # noqa: E402
from pointlaw.laws import Envelope, Figures, LawCard, LearnedMaterial, Probe  # noqa: E402
from pointlaw.networks import autodiff_tangent, build, script  # noqa: E402

OUT = Path(__file__).parent / "out"
M = 6


def make_law(architecture: str, precision: str = "float64") -> LearnedMaterial:
    """Return a law with random weights: speed does not depend on them."""
    torch.manual_seed(0)
    network = build(architecture, {"features": M, "outputs": M}).double()
    card = LawCard(
        name="bench", architecture=architecture, config=network.config, kinematics="small_strain_3d",
        features=("strain",), precision=precision,
        scaling=Scaling(reference=[0.0] * M, strain=[0.01] * M, increment=[0.001] * M, stress=[300.0] * M, dt=1.0),
        envelope=Envelope(
            strain_min=[-0.05] * M, strain_max=[0.05] * M, step_min=0, step_median=0, step_max=0, arc_length=1,
            dt_min=1, dt_max=1, steps=1, paths=1,
        ),
        figures=Figures(
            paths=0, error_mean=0, error_median=0, error_95=0, tangent_error=None, refinement={}, drift=0,
            stress_at_rest=0, stiffness_error=None, tangent_check=0, softest=0, failed=0,
        ),
        probe=Probe(dt=1.0, strain=[], stress=[], tangent=[]),
    )  # fmt: skip
    return LearnedMaterial(network, card)


def question(law: LearnedMaterial, points: int) -> tuple[np.ndarray, np.ndarray]:
    """Return strain ``[p, 6]`` and state ``[p, s]``."""
    rng = np.random.default_rng(0)
    return rng.normal(0, 0.01, (points, M)), rng.normal(0, 0.3, (points, law.state_layout.size))


def alternatives(law: LearnedMaterial, points: int) -> dict[str, Callable[[], object]]:
    """Return the ways to evaluate the LSTM: ours, and whole-batch automatic differentiation."""
    strain, state = question(law, points)
    out, value_only = law.update(strain, state, 1.0), law.update(strain, state, 1.0)
    single = make_law(law.card.architecture, "float32")
    single_out = single.update(strain, state, 1.0)
    network = law.network.requires_grad_(False)
    cell, x, memory = script(network), torch.from_numpy(strain / 0.01), torch.from_numpy(state)

    def one(xi: torch.Tensor, si: torch.Tensor) -> tuple[torch.Tensor, tuple[torch.Tensor, torch.Tensor]]:
        y, new = network.step(xi[None], si[None])
        return y[0], (y[0], new[0])

    def jacfwd() -> torch.Tensor:
        with torch.no_grad():
            return torch.func.vmap(torch.func.jacfwd(one, has_aux=True))(x, memory)[0]

    def value() -> torch.Tensor:
        with torch.no_grad():
            return cell(x, memory)[0]

    check = autodiff_tangent(cell, x, memory)[2].numpy() * 300.0 / 0.01
    for name, tangent in (("ours", out.tangent), ("vmap(jacfwd)", jacfwd().numpy() * 300.0 / 0.01)):
        error = np.abs(tangent - check).max() / np.abs(check).max()
        if error > 1e-12:
            raise SystemExit(f"{name} and the vector–Jacobian products differ by {error:.1e}.")
    return {
        "ours": lambda: law.update_into(strain, state, 1.0, out),
        "ours, no tangent": lambda: law.update_into(strain, state, 1.0, value_only, tangent=False),
        "ours, float32 inside": lambda: single.update_into(strain, state, 1.0, single_out),
        "scripted cell, no tangent": value,
        "6 VJP of the scripted cell": lambda: autodiff_tangent(cell, x, memory),
        "vmap(jacfwd)": jacfwd,
    }


def race(runs: dict[str, Callable[[], object]], rounds: int) -> dict[str, list[float]]:
    """Return the processor times of each run in each round, seconds; the first two rounds warm up."""
    times: dict[str, list[float]] = {name: [] for name in runs}
    for number in range(rounds + 2):
        for name, run in runs.items():
            begin = time.thread_time()
            run()
            if number >= 2:
                times[name].append(time.thread_time() - begin)
    return times


def table(times: dict[str, list[float]], points: int, against: str) -> list[dict]:
    """Print and return µs a point (20 % quantile: the quiet moments) and the median ratio to ``against``."""
    rows = []
    for name, seconds in times.items():
        ratio = float(np.median(np.array(seconds) / np.array(times[against])))
        rows.append({"run": name, "points": points, "us": np.quantile(seconds, 0.2) / points * 1e6, "ratio": ratio})
        print(f"  {name:28s} {rows[-1]['us']:8.2f} µs/point   {ratio:6.2f} × {against}")
    return rows


def memory(architecture: str) -> float:
    """Return the growth of a fresh process's peak memory in bytes a point, from 20,000 to 220,000 points."""
    code = f"""
import resource, sys
sys.path.insert(0, {str(Path(__file__).parent)!r})
import bench_law
law = bench_law.make_law({architecture!r})
def peak(points):
    strain, state = bench_law.question(law, points)
    out = law.update(strain, state, 1.0)
    for a in (out.stress, out.tangent, out.state): a.fill(0.0)
    open('/proc/self/clear_refs', 'w').write('5')
    read = lambda: [int(l.split()[1]) * 1024 for l in open('/proc/self/status') if l.startswith('VmHWM')][0]
    before = read()
    law.update_into(strain, state, 1.0, out)
    return read() - before
peak(20_000)
small = peak(20_000)
print((peak(220_000) - small) / 200_000)
"""
    return float(subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True).stdout)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=15)
    parser.add_argument("--points", type=int, nargs="+", default=[10_000, 100_000])
    options = parser.parse_args()
    torch.set_num_threads(1)
    result: dict = {"torch": torch.__version__, "rounds": options.rounds, "lstm": [], "networks": [], "memory": {}}
    law = make_law("lstm")
    for points in options.points:
        print(f"LSTM-64, m = 6, float64, {points} points")
        rounds = options.rounds if points <= 20_000 else max(3, options.rounds // 3)
        result["lstm"] += table(race(alternatives(law, points), rounds), points, "ours")
    print(f"networks, stress + tangent + state, {options.points[0]} points")
    runs = {}
    for architecture in ("lstm", "gru", "feedforward"):
        other = make_law(architecture)
        strain, state = question(other, options.points[0])
        out = other.update(strain, state, 1.0)
        runs[architecture] = lambda a=other, b=strain, c=state, d=out: a.update_into(b, c, 1.0, d)
    result["networks"] = table(race(runs, options.rounds), options.points[0], "lstm")
    print("peak memory beyond the outputs")
    for architecture in ("lstm", "gru", "feedforward"):
        result["memory"][architecture] = memory(architecture)
        print(f"  {architecture:28s} {result['memory'][architecture]:8.1f} bytes/point")
    OUT.mkdir(exist_ok=True)
    (OUT / "law.json").write_text(json.dumps(result, indent=1))


if __name__ == "__main__":
    main()

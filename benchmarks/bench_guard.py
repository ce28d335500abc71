"""What the guard costs and what its grades are worth, on steel in plane strain.

Prints the cost of a guarded evaluation against the law's own, interleaved in one process; the calibration of an
ensemble of three GRUs on kept-back paths; and how density and spread rank the true error on paths that go up to three
times as far as training did. `python benchmarks/bench_guard.py` needs about two minutes; `--epochs 5` is a quick look.
"""

import argparse
import json
import time
from pathlib import Path

import numpy as np
import torch

from pointlaw.data import Dataset, respond, sample
from pointlaw.laws.density import grades_along
from pointlaw.laws.ensemble import rank_correlation, spreads_along
from pointlaw.laws.guard import Guarded
from pointlaw.materials import J2, Material, PlaneStrain
from pointlaw.networks import GRU
from pointlaw.paths import gaussian_process
from pointlaw.tensors import PLANE_STRAIN
from pointlaw.training import TrainConfig
from pointlaw.training.ensemble import fit_ensemble

OUT = Path(__file__).parent / "out"
STEEL = PlaneStrain(J2(E=210e3, nu=0.3, yield_stress=250.0, H=10000.0))
POINTS, REPEATS = 10_000, 7


def make_data(count: int, seed: int, bound: float = 0.008) -> Dataset:
    path = gaussian_process(count, seed=seed, steps=40, bound=bound, correlation=0.25, kinematics=PLANE_STRAIN)
    return sample(STEEL, path, tangent=False)


def seconds(laws: dict[str, Material]) -> dict[str, float]:
    """Return the median time of one evaluation with tangent, the laws in turn, after five committed steps."""
    rng = np.random.default_rng(0)
    strain = rng.normal(0.0, 0.002, (POINTS, 3))
    states = {}
    for name, law in laws.items():
        states[name] = law.initial_state(POINTS)
        for k in range(5):
            states[name] = law.update(0.2 * k * strain, states[name], 1.0, tangent=False).state
    spent: dict[str, list[float]] = {name: [] for name in laws}
    for _ in range(REPEATS):
        for name, law in laws.items():
            begin = time.perf_counter()
            law.update(strain, states[name], 1.0)
            spent[name].append(time.perf_counter() - begin)
    return {name: float(np.median(times)) for name, times in spent.items()}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--epochs", type=int, default=25)
    parser.add_argument("--hidden", type=int, default=64)
    options = parser.parse_args()
    torch.set_num_threads(1)
    training, kept_back, far = make_data(300, 1), make_data(100, 2), make_data(100, 3, bound=0.024)
    config = TrainConfig(epochs=options.epochs, batch=16, learning_rate=5e-3, features=("strain", "increment"))
    begin = time.perf_counter()
    ensemble = fit_ensemble(
        lambda: GRU(features=6, outputs=3, hidden=options.hidden), training, kept_back, config,
        name="steel", seeds=(0, 1, 2),
    )  # fmt: skip
    trained = time.perf_counter() - begin
    law = ensemble.laws[0]
    fallback = Guarded(law, policy="fall back", fallback=STEEL, history=64)
    cost = seconds({
        "law": law, "guarded, history 16": Guarded(law, policy="none", history=16),
        "guarded, history 64": Guarded(law, policy="none", history=64), "with fallback": fallback, "ensemble": ensemble,
    })  # fmt: skip
    print(f"{'':<22}{'µs/point':>10}{'ratio':>8}   ({POINTS} points, {law.card.architecture}-{options.hidden})")
    for name, spent in cost.items():
        print(f"{name:<22}{1e6 * spent / POINTS:>10.2f}{spent / cost['law']:>8.2f}")

    calibration = ensemble.calibration
    print(f"\nensemble of 3, trained in {trained:.0f} s, on {kept_back.paths} kept-back paths")
    for name, value in calibration.model_dump().items():
        print(f"  {name:<18}{value:>10.4g}")

    error = np.linalg.norm(respond(law, far.time, far.strain).stress - far.stress, axis=2)[:, 1:]
    density, spread = grades_along(law, far, law.density), spreads_along(ensemble, far).spread / calibration.usual
    typical = float(np.sqrt(np.mean(np.linalg.norm(training.stress, axis=2) ** 2)))
    rows = {}
    print(
        f"\n{far.paths} paths up to three times as far{'':<6}{'outside':>8}{'rank corr.':>12}{'error in':>10}{'out':>8}"
    )
    for name, grade in (("density", density), ("spread", spread)):
        out = grade > 1.0
        rows[name] = {
            "outside": float(out.mean()),
            "rank_correlation": rank_correlation(grade.ravel(), error.ravel()),
            "error_inside": float(np.sqrt(np.mean(error[~out] ** 2)) / typical),
            "error_outside": float(np.sqrt(np.mean(error[out] ** 2)) / typical),
        }
        r = rows[name]
        print(
            f"{name:<38}{r['outside']:>8.1%}{r['rank_correlation']:>12.2f}{r['error_inside']:>10.1%}"
            f"{r['error_outside']:>8.1%}"
        )
    OUT.mkdir(exist_ok=True)
    figures = {"seconds": cost, "calibration": calibration.model_dump(), "far": rows, "bytes": law.density.nbytes}
    (OUT / "guard.json").write_text(json.dumps(figures, indent=2))


if __name__ == "__main__":
    main()

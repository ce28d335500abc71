"""The matrix's own law as the neurons: what it is worth where the points written in torch have another form.

The teacher is a 2D volume element of elastic fibres in a Drucker–Prager matrix, which yields later under pressure. One
network has Drucker–Prager points of ``pointlaw.materials`` as they stand and elastic points as its neurons; the others
J2 points in torch that learn yield stress and hardening, with the same elastic points. J2 points answer the mirrored
path with the mirrored stress, so no training can teach them the pressure. All see the same paths and are judged on the
same others.

    python benchmarks/bench_neurons.py [--paths 16] [--epochs 300] [--seed 0]
"""
# ruff: noqa: E402 - one thread a library, set before NumPy is imported

import os

for _name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
    os.environ.setdefault(_name, "1")

import argparse
import json
import time
from pathlib import Path

from pointlaw.rve import RVEMaterial, random_inclusions  # isort: skip - MPI before all others
import numpy as np
import torch

from pointlaw.data import Dataset, feature_map, sample
from pointlaw.laws import neurons
from pointlaw.materials import DruckerPrager, LinearElastic, PlaneStrain
from pointlaw.networks import build
from pointlaw.paths import gaussian_process
from pointlaw.tensors import PLANE_STRAIN
from pointlaw.training import FitReport, TrainConfig, fit

OUT = Path(__file__).parent / "out" / "bench_neurons.json"
STEPS, BOUND, KEPT_BACK = 20, 0.002, 12
MATRIX = PlaneStrain(DruckerPrager(E=20e3, nu=0.2, friction=30.0, dilation=10.0, cohesion=5.0, H=500.0))  # MPa
FIBRE = {"E": 80e3, "nu": 0.25}
ELASTIC = {"kind": "elastic", "count": 2, **FIBRE}
J2 = {"kind": "j2", "count": 8, "E": 20e3, "nu": 0.2, "yield_stress": 10.0, "H": 500.0, "learn": ["yield_stress", "H"]}
NEURONS = {
    "Drucker-Prager": [neurons(MATRIX, count=8, amplitude=BOUND), ELASTIC],
    "J2, learned": [J2, ELASTIC],
    "J2, learned, own": [J2 | {"own": True}, ELASTIC],
}


def composite(paths: int) -> Dataset:
    """Return the answers of the volume element along random paths."""
    structure = random_inclusions(0.25, 4, gap=0.03, seed=3)
    element = RVEMaterial(
        structure.mesh(12), {"matrix": MATRIX, "inclusion": PlaneStrain(LinearElastic(**FIBRE))}, tolerance=1e-8
    )
    path = gaussian_process(paths, seed=0, steps=STEPS, bound=BOUND, kinematics=PLANE_STRAIN)
    return sample(element, path, tangent=False, teacher="composite")


def errors(report: FitReport, data: Dataset) -> np.ndarray:
    """Return ‖σ − σ̂‖/‖σ‖ of each path."""
    x = torch.as_tensor(feature_map(("strain",), report.scaling).of(data))
    with torch.no_grad():
        gap = report.scaling.undo(report.network.double().scan(x).numpy()) - data.stress[:, 1:]
    return np.linalg.norm(gap, axis=(1, 2)) / np.linalg.norm(data.stress, axis=(1, 2))


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--paths", type=int, default=16)
    parser.add_argument("--epochs", type=int, default=300)
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    begin = time.process_time()
    data = composite(KEPT_BACK + arguments.paths)
    kept_back, training = data.subset(slice(0, KEPT_BACK)), data.subset(slice(KEPT_BACK, data.paths))
    print(f"{data.paths} paths of the composite: {time.process_time() - begin:.0f} s")
    print(f"{'neurons':18s} training   error  worst  parameters    core")
    rows = {}
    for name, points in NEURONS.items():
        network = build("material_points", {"features": 3, "outputs": 3, "points": points, "seed": arguments.seed})
        settings = TrainConfig(
            epochs=arguments.epochs, batch=16, learning_rate=0.03, patience=10_000, precision="float64",
            seed=arguments.seed,
        )  # fmt: skip
        begin = time.process_time()
        report = fit(network, training, settings, validation=training)
        error = errors(report, kept_back)
        rows[name] = row = {
            "training": report.best.validation,
            "error": float(error.mean()),
            "worst": float(error.max()),
            "parameters": sum(p.numel() for p in network.parameters() if p.requires_grad),
            "seconds": time.process_time() - begin,
        }
        print(
            f"{name:18s} {row['training']:8.2%} {row['error']:7.2%} {row['worst']:6.2%} {row['parameters']:11d} "
            f"{row['seconds']:5.0f} s",
            flush=True,
        )
        OUT.parent.mkdir(exist_ok=True)
        OUT.write_text(json.dumps(rows, indent=1))


if __name__ == "__main__":
    main()

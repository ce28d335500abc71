"""Laws at 10⁴ points on one core, interleaved in one process: J2, Maxwell, finite-strain J2, crystals and the others.

Goals: J2 with tangent at most 1.9 µs/point and finite-strain J2 with tangent at most 22 µs/point (jaxmat's measured
figures on this kind of machine), Maxwell no slower than J2, the crystal at most ten times the finite-strain J2. Every
law is timed once in every round, and ratios are medians over the rounds, so that a busy neighbour slows all of them
alike. Usage: ``python bench_laws.py [points] [rounds]``.
"""
# ruff: noqa: E402 - one thread a library, set before NumPy is imported

import os

for _name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
    os.environ.setdefault(_name, "1")

import json
import sys
import time
from pathlib import Path

import numpy as np

from pointlaw.materials import (
    COPPER,
    J2,
    CrystalPlasticity,
    DruckerPrager,
    FiniteCrystalPlasticity,
    FiniteJ2,
    GeneralisedMaxwell,
    HolzapfelGasserOgden,
    LinearElastic,
    NeoHooke,
    Ogden,
    Perzyna,
    Response,
    Rotated,
    random_rotations,
)

GOALS = [  # name, against, largest ratio; or an absolute figure in µs/point
    ("j2", None, 1.9),
    ("j2_finite", None, 22.0),
    ("maxwell", "j2", 1.0),
    ("crystal", "j2_finite", 10.0),
]


def laws():
    return {
        "elastic": (LinearElastic(210e3, 0.3), 0.004, 1.0),
        "j2": (J2(210e3, 0.3, 250.0, H=1000.0), 0.004, 1.0),
        "maxwell": (GeneralisedMaxwell(1e3, 0.4, (0.1, 1.0, 10.0), (0.2, 0.3, 0.2)), 0.004, 1.0),
        "perzyna": (Perzyna(200e3, 0.3, drag=300.0, n=5.0, yield_stress=100.0, H=1e3), 0.004, 1.0),
        "drucker_prager": (DruckerPrager(20e3, 0.2, 30.0, 10.0, 1.0, H=100.0), 0.001, 1.0),
        "neo_hooke": (NeoHooke(1.0, 10.0), 0.2, 1.0),
        "holzapfel": (HolzapfelGasserOgden(0.01, 0.5, 2.0, [[1.0, 0.8, 0.0], [1.0, -0.8, 0.0]], 1.0), 0.2, 1.0),
        "ogden": (Ogden((0.63, 0.0012, -0.01), (1.3, 5.0, -2.0), 10.0), 0.2, 1.0),
        "j2_finite": (FiniteJ2(206.9e3, 0.29, 450.0, H=129.24, Q=265.0, b=16.93), 0.03, 1.0),
        "crystal": (CrystalPlasticity(**COPPER), 0.002, 2.0),
        "crystal_per_point": (Rotated(CrystalPlasticity(**COPPER), random_rotations(1, seed=0)), 0.002, 2.0),
        "crystal_finite": (FiniteCrystalPlasticity(**COPPER), 0.002, 2.0),
    }


def loaded(law, size, dt, points):
    """Return a strain that goes on from a state which two random steps have led to."""
    rng = np.random.default_rng(0)
    m = law.kinematics.size
    strain, state = np.tile(law.kinematics.reference, (points, 1)), law.initial_state(points)
    for _ in range(2):
        strain = strain + size * rng.uniform(-1.0, 1.0, strain.shape)
        state = law.update(strain, state, dt, tangent=False).state
    strain = strain + size * rng.uniform(-1.0, 1.0, strain.shape)
    out = Response(np.empty((points, m)), np.empty((points, m, m)), np.empty_like(state))
    return strain, state, out


def main(points=10_000, rounds=15):
    cases = {name: (law, dt, *loaded(law, size, dt, points)) for name, (law, size, dt) in laws().items()}
    failed = {}
    times = {name: [] for name in cases}
    bare = {name: [] for name in cases}
    for turn in range(rounds + 1):
        for name, (law, dt, strain, state, out) in cases.items():
            begin = time.perf_counter()
            law.update_into(strain, state, dt, out)
            middle = time.perf_counter()
            law.update_into(strain, state, dt, out, tangent=False)
            end = time.perf_counter()
            failed[name] = int((out.status < 0).sum())
            if turn:  # the first round warms up
                times[name].append((middle - begin) / points * 1e6)
                bare[name].append((end - middle) / points * 1e6)
    print(f"{points} points, {rounds} rounds, µs/point (best: least disturbed round)")
    print(f"{'law':<20}{'best':>8}{'median':>8}{'no tangent':>12}{'failed':>8}")
    for name, values in times.items():
        print(f"{name:<20}{min(values):8.2f}{np.median(values):8.2f}{min(bare[name]):12.2f}{failed[name]:8d}")
    rows = []
    for name, against, goal in GOALS:
        if against is None:
            figure, text = min(times[name]), f"{name} with tangent, µs/point"
        else:
            figure = float(np.median(np.array(times[name]) / np.array(times[against])))
            text = f"{name} / {against}, median ratio"
        rows.append({"goal": text, "limit": goal, "measured": figure, "met": figure <= goal})
        print(f"{'met' if figure <= goal else 'MISSED':<8}{text}: {figure:.2f} (goal {goal})")
    out_dir = Path(__file__).parent / "out"
    out_dir.mkdir(exist_ok=True)
    record = {"points": points, "rounds": rounds, "us_per_point": times, "without_tangent": bare, "goals": rows}
    (out_dir / "bench_laws.json").write_text(json.dumps(record, indent=1))


if __name__ == "__main__":
    main(*(int(value) for value in sys.argv[1:]))

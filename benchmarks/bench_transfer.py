"""A new volume fraction from few paths: from scratch, by transfer, by Reptile, and from a coarse volume element.

A family of 2D composites, elastic fibres in an elastoplastic matrix: fibre contents of 20, 25 and 35 % are known by
many paths, 30 % is new. Each way learns it from 4 to 128 paths (those for early stopping among them) and is judged on
the same unseen paths; the figure is the number of paths of scratch over the number that a way needs for the same error,
on straight lines through log(error) against log(paths). Goal: at least 2 at the least error of scratch. Scratch gets as
many gradient steps as the other ways get altogether; what they cost beforehand is printed, too. Usage:
``python bench_transfer.py [--quick]``; ``--architecture`` and ``--config`` choose the network. Datasets are kept under
``out/transfer``.
"""
# ruff: noqa: E402 - one thread a library, set before NumPy is imported

import os

for _name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
    os.environ.setdefault(_name, "1")

import argparse
import hashlib
import json
import math
import time
from pathlib import Path

from pointlaw.rve import RVEMaterial, random_inclusions  # isort: skip - MPI before all others
import numpy as np
import torch

from pointlaw.data import Dataset, load_dataset, merge, sample, save_dataset
from pointlaw.laws import make_law, save_law
from pointlaw.laws.audit import relative_errors
from pointlaw.materials import J2, LinearElastic, PlaneStrain
from pointlaw.networks import TwoFidelity, build
from pointlaw.paths import gaussian_process
from pointlaw.tensors import PLANE_STRAIN
from pointlaw.training import ReptileConfig, TrainConfig, fit, reptile, start_from

OUT = Path(__file__).parent / "out"
KNOWN, NEW = (0.20, 0.25, 0.35), 0.30
FINE, COARSE = 14, 7  # voxels along an edge
STEPS, BOUND = 60, 0.015
WAYS = ("scratch", "transfer", "transfer, head only", "reptile", "coarse, tuned", "coarse, corrected")
GOAL = 2.0


def composite(fraction, voxels):
    """Return five fibres in a matrix that hardens; E and σ in MPa."""
    matrix = PlaneStrain(J2(E=70e3, nu=0.3, yield_stress=200.0, H=2000.0))
    fibre = PlaneStrain(LinearElastic(E=400e3, nu=0.2))
    structure = random_inclusions(fraction, 5, gap=0.03, seed=5)
    return RVEMaterial(structure.mesh(voxels), {"matrix": matrix, "inclusion": fibre}, tolerance=1e-8)


def dataset(fraction, voxels, paths, seed):
    """Return the answers along random paths, from the disk if they were computed before."""
    key = f"{fraction}|{voxels}|{paths}|{seed}|{STEPS}|{BOUND}|2"
    file = OUT / "transfer" / f"{hashlib.sha256(key.encode()).hexdigest()[:16]}.h5"
    if not file.exists():
        file.parent.mkdir(parents=True, exist_ok=True)
        load = gaussian_process(paths, seed=seed, steps=STEPS, bound=BOUND, kinematics=PLANE_STRAIN)
        answers = sample(composite(fraction, voxels), load, tangent=False, teacher="composite")
        save_dataset(file, answers)
    return load_dataset(file)


class Bench:
    """The data, and one method a way that learns the new member from given paths."""

    def __init__(self, options):
        self.options = options
        many, new, test = (60, 32, 40) if options.quick else (200, 128, 200)
        begin = time.perf_counter()
        self.known = [dataset(f, FINE, many, seed=k) for k, f in enumerate(KNOWN)]
        self.new = dataset(NEW, FINE, new, seed=10)
        self.test = dataset(NEW, FINE, test, seed=11)
        self.coarse = dataset(NEW, COARSE, 3 * many, seed=12)
        self.seconds = {"data": time.perf_counter() - begin}
        self.sizes = tuple(options.sizes or ((4, 8, 16, 32) if options.quick else (4, 8, 16, 32, 64, 128)))
        self.steps = 150 if options.quick else options.steps
        self.before = 3 * self.steps  # gradient steps on what is known
        self.prepared = {}

    def network(self, seed, **sizes):
        torch.manual_seed(seed)
        return build(self.options.architecture, {"features": 3, "outputs": 3, **self.options.config, **sizes})

    def config(self, data, steps, rate, **more):
        batch = 16
        epochs = max(1, round(steps / math.ceil(round(0.8 * data.paths) / batch)))
        fixed = {"batch": batch, "validation": 0.2, "precision": self.options.precision}
        return TrainConfig(epochs=epochs, learning_rate=rate, patience=epochs, **fixed, **more)

    def learn(self, data, seed, *, start=None, network=None, steps=None, rate=None, **more):
        network = network or (start.network if start else self.network(seed))
        rate = rate or (self.options.tune_rate if start else self.options.rate)
        config = self.config(data, steps or self.steps, rate, seed=seed, **more)
        return fit(network, data, config, scaling=start.scaling if start else None)

    def start(self, name, seed):
        """Return a copy of what a way knows beforehand; it is computed once a seed."""
        if (name, seed) not in self.prepared:
            begin = time.perf_counter()
            path = OUT / "transfer" / f"{name}-{seed}.safetensors"
            if name == "reptile":
                rounds = max(1, self.before // 10)
                self.prepared[name, seed] = reptile(
                    self.network(seed),
                    self.known,
                    ReptileConfig(rounds=rounds, inner_rate=self.options.tune_rate),
                    train=TrainConfig(seed=seed, precision=self.options.precision),
                )
            else:  # through a law file, as a user would
                data = merge(self.known) if name == "transfer" else self.coarse
                report = self.learn(data, seed, steps=self.before)
                law = make_law(
                    report.network, report.scaling, name=name, training=report.training, kept_back=report.validation
                )
                save_law(path, law)
                self.prepared[name, seed] = path
            self.seconds[name] = self.seconds.get(name, 0.0) + time.perf_counter() - begin
        known = self.prepared[name, seed]
        if isinstance(known, Path):
            return start_from(known)
        torch.manual_seed(seed)
        copy = self.network(seed)
        copy.load_state_dict(known.network.state_dict())
        return type(known)(copy, known.scaling, known.features)

    def run(self, way, paths, seed):
        """Return the mean relative error on the test paths of what ``way`` learns from ``paths`` paths."""
        chosen = np.random.default_rng([seed, paths]).permutation(self.new.paths)[:paths]
        data = self.new.subset(chosen)
        if way == "scratch":
            report = self.learn(data, seed, steps=self.before + self.steps)
        elif way == "coarse, corrected":
            start = self.start("coarse", seed)
            pair = TwoFidelity.correct(start.network, architecture=self.options.architecture, **self.options.config)
            report = self.learn(data, seed, start=start, network=pair, freeze=("low.*",), rate=self.options.rate)
        else:
            start = self.start(way.split(",", maxsplit=1)[0], seed)
            names = (name for name, value in start.network.named_parameters() if value.requires_grad)
            freeze = tuple(name for name in names if not name.startswith("head.")) if way.endswith("head only") else ()
            report = self.learn(data, seed, start=start, freeze=freeze)
        return self.error(report, self.test)

    def error(self, report, data: Dataset):
        network, scaling = report.network.double(), report.scaling
        x = torch.as_tensor((data.strain[:, 1:] - scaling.reference) / np.array(scaling.strain))
        with torch.no_grad():
            answer = scaling.undo(network.scan(x).numpy())
        return float(relative_errors(answer, data.stress[:, 1:]).mean())

    def distances(self):
        """Return how far the teachers are apart on the test paths: the error of taking one for the other."""
        load = gaussian_process(self.test.paths, seed=11, steps=STEPS, bound=BOUND, kinematics=PLANE_STRAIN)
        few = load.strain[:20]
        rows = {}
        for name, fraction, voxels in (
            ("25 % fibres", 0.25, FINE),
            ("35 % fibres", 0.35, FINE),
            ("coarse", NEW, COARSE),
        ):
            answers = sample(composite(fraction, voxels), type(load)(load.times, few, PLANE_STRAIN), tangent=False)
            rows[name] = float(relative_errors(answers.stress[:, 1:], self.test.stress[:20, 1:]).mean())
        return rows


def paths_needed(sizes, errors, error):
    """Return the number of paths at which a way has ``error``, on lines through log(error) over log(paths).

    Below the first size and beyond the last it is a bound, and the second answer is the sign of the ratio of scratch to
    it, "≥" or "≤".
    """
    best = np.minimum.accumulate(errors)  # more paths never hurt: one unlucky run is not a law
    if best[0] <= error:
        return float(sizes[0]), "≥"
    if best[-1] > error:
        return float(sizes[-1]), "≤"
    k = int(np.argmax(best <= error))
    share = math.log(best[k - 1] / error) / math.log(best[k - 1] / best[k])
    return float(sizes[k - 1] * (sizes[k] / sizes[k - 1]) ** share), ""


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--quick", action="store_true", help="a minute: fewer paths and steps; the figures mean little")
    parser.add_argument("--architecture", default="lstm")
    parser.add_argument("--config", type=json.loads, default={"hidden": 48}, help="JSON, sizes left out")
    parser.add_argument("--steps", type=int, default=600, help="gradient steps on the new paths")
    parser.add_argument("--rate", type=float, default=1e-2, help="learning rate of fresh networks")
    parser.add_argument("--tune-rate", type=float, default=3e-3, help="learning rate of networks that know something")
    parser.add_argument("--precision", default="float32", help="float64 for networks with physics inside")
    parser.add_argument("--seeds", type=int, default=1)
    parser.add_argument("--sizes", type=int, nargs="*", help="numbers of new paths")
    parser.add_argument("--ways", nargs="*", default=WAYS, choices=WAYS)
    options = parser.parse_args()
    torch.set_num_threads(1)
    begin = time.perf_counter()
    bench = Bench(options)
    apart = bench.distances()
    print(f"{options.architecture} {options.config}, {options.seeds} seed(s), gradient steps on what is known:")
    print(f"{bench.before}, on the new paths: {bench.steps}, from scratch: {bench.before + bench.steps}")
    print("taken for the new one: " + ", ".join(f"{name} {100 * value:.1f} %" for name, value in apart.items()))
    ways = ["scratch", *(way for way in options.ways if way != "scratch")]
    print(f"{'mean error, %, with paths':<28}" + "".join(f"{size:>9}" for size in bench.sizes))
    errors = {way: [] for way in ways}
    for way in ways:
        print(f"{way:<28}", end="", flush=True)
        for size in bench.sizes:
            errors[way].append(float(np.mean([bench.run(way, size, seed) for seed in range(options.seeds)])))
            print(f"{100 * errors[way][-1]:9.2f}", end="", flush=True)
        print()
    print(f"\npaths of scratch over the paths of a way for the same error (goal {GOAL:g}; ≥, ≤: beyond what was tried)")
    rows = {}
    for way in ways[1:]:
        needed = [paths_needed(bench.sizes, errors[way], error) for error in errors["scratch"]]
        ratios = [size / number for size, (number, _) in zip(bench.sizes, needed, strict=True)]
        # Judged where scratch is best: further left many ways need fewer paths than were tried.
        best = int(np.argmin(errors["scratch"]))
        met = ratios[best] >= GOAL
        rows[way] = {"paths": needed, "ratios": ratios, "met": met}
        figures = [f"{sign}{value:.1f}" for value, (_, sign) in zip(ratios, needed, strict=True)]
        print(f"{way:<28}" + "".join(f"{figure:>9}" for figure in figures) + f"   {'met' if met else 'MISSED'}")
    total = time.perf_counter() - begin
    print(
        "seconds: " + ", ".join(f"{name} {value:.0f}" for name, value in bench.seconds.items()) + f", all {total:.0f}"
    )
    record = {"options": vars(options), "sizes": bench.sizes, "errors": errors, "goals": rows, "apart": apart}
    (OUT / "bench_transfer.json").write_text(
        json.dumps({**record, "seconds": {**bench.seconds, "all": total}}, indent=1)
    )


if __name__ == "__main__":
    main()

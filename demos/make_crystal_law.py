"""Train the learned laws of the crystal demo: an LSTM and a cell of slip systems.

He, Heider & Markert (2024, doi 10.48550/arXiv.2410.08214) train an LSTM on 1,176 strain-controlled tests of one FCC
crystal and put it into a finite-element code. Here are as many tests of a copper crystal in a fixed orientation, drawn
at random. A crystal cannot tell its 24 cubic orientations apart, so every test is one of 24 whose answers are
known without asking: ``--plain`` leaves them out. Cells of a few hundred weights, which do not gain from them, are
always trained without. Ten minutes of one core at most for each law.

    python demos/make_crystal_law.py            # writes demos/laws/crystal_CELL.safetensors of both
    python demos/make_crystal_law.py --audit    # measures the cards of both anew; their weights stay
    python demos/make_crystal_law.py --cells lstm --plain --epochs 20 --out /tmp
    python demos/make_crystal_law.py --cells slip_systems --tests 60 --epochs 300 --out /tmp
"""

import argparse
import itertools
import logging
from pathlib import Path

import numpy as np
import torch

from pointlaw.data import Dataset, Units, sample
from pointlaw.laws import LearnedMaterial, audit_again, load_law, make_law, save_law, with_density
from pointlaw.materials import CrystalPlasticity, Rotated, bunge_rotation
from pointlaw.networks import build
from pointlaw.paths import StrainPath, gaussian_process
from pointlaw.tensors import SMALL_STRAIN_3D, Array, rotation, to_mandel
from pointlaw.training import TrainConfig, fit

HERE = Path(__file__).parent

# Copper, MPa and s; the exponent makes the crystal nearly rate independent, as the learned laws are by construction.
COPPER = {
    "C11": 168.4e3, "C12": 121.4e3, "C44": 75.4e3, "rate": 1e-3, "n": 200.0,
    "g0": 60.8, "g_sat": 109.5, "h0": 541.5, "q": 1.4,
}  # fmt: skip
ORIENTATION = bunge_rotation(35.0, 48.0, 20.0)
TESTS, STEPS, DURATION = 1176, 60, 20.0  # number of tests, steps of each, s
LARGEST_STRAIN = 0.015
LARGEST_TRACE = 0.003
UNIT_TRACE = np.array([1.0, 1.0, 1.0, 0.0, 0.0, 0.0]) / np.sqrt(3.0)

# Architecture, its sizes, and the training.
CELLS = {
    "lstm": (
        {"hidden": 80},
        TrainConfig(epochs=14, batch=64, learning_rate=6e-3, features=("strain", "increment"), patience=100),
    ),
    # Not shipped: after 11 epochs it errs by 13 % (LSTM: 8 %), and in one run of the bar Newton's method took nearly
    # three times the iterations to another solution; why was not looked into.
    "minimal_state": (
        {"states": 24, "hidden": 64, "layers": 1},
        TrainConfig(epochs=12, batch=96, learning_rate=1e-2, patience=100),
    ),
    # Neither its number of systems nor its exponent nor its orientation is that of the teacher.
    "slip_systems": (
        {"systems": 16, "exponent": 30.0, "seed": 0},
        TrainConfig(epochs=30, batch=32, learning_rate=0.02, patience=100, precision="float64"),
    ),
    # Not shipped: it errs by 18 %. Elements of size 1 see one projection of the strain each, as a slip system does.
    "physically_recurrent": (
        {"elements": 48, "size": 1, "seed": 0},
        TrainConfig(epochs=15, batch=16, learning_rate=0.03, patience=100, precision="float64"),
    ),
}
FEW_WEIGHTS = ("slip_systems", "physically_recurrent")


def teacher() -> Rotated:
    """Return the crystal in its orientation."""
    return Rotated(CrystalPlasticity(**COPPER), ORIENTATION)


def legs(corners: Array, rng: np.random.Generator) -> Array:
    """Return straight legs from zero through ``corners[n, k, 6]``, ``[n, t, 6]``: 1 to k of them, with uneven steps."""
    n, k = corners.shape[:2]
    corners = np.concatenate([np.zeros((n, 1, 6)), corners], axis=1)
    spread = rng.uniform(0.0, 1.0, (n, 1)) * (rng.random((n, 1)) < 0.5)
    moves = np.cumsum(np.exp(spread * rng.standard_normal((n, STEPS))), axis=1)
    place = np.concatenate([np.zeros((n, 1)), moves], axis=1)
    place *= np.minimum(rng.uniform(1.0, k + 1.0, (n, 1)), k) / place[:, -1:]
    left = np.minimum(place.astype(int), k - 1)
    share, rows = (place - left)[..., None], np.arange(n)[:, None]
    return (1.0 - share) * corners[rows, left] + share * corners[rows, left + 1]


def unit(vectors: Array) -> Array:
    """Return ``vectors[..., 6]`` with length one."""
    return vectors / np.linalg.norm(vectors, axis=-1, keepdims=True)


def draw_tests(count: int, seed: int) -> StrainPath:
    """Return a quarter each of uniaxial, shear, proportional and non-proportional tests, in this order.

    The first three turn back once or twice along their line; half of the last are legs, half are smooth curves.
    """
    rng = np.random.default_rng(seed)
    n = count // 4
    axes = np.linalg.qr(rng.standard_normal((n, 3, 3)))[0]
    a, b = axes[:, :, 0], axes[:, :, 1]
    uniaxial = to_mandel(1.5 * a[:, :, None] * a[:, None] - 0.5 * np.eye(3))
    shear = to_mandel(a[:, :, None] * b[:, None] + b[:, :, None] * a[:, None])
    strains = []
    for direction in (uniaxial, shear, rng.standard_normal((n, 6))):
        turns = np.stack([np.ones(n), rng.uniform(-1.0, 0.8, n), rng.uniform(-1.0, 1.0, n)], 1)
        strains.append(legs(turns[:, :, None] * unit(direction)[:, None], rng))
    corners = unit(rng.standard_normal((count - 3 * n, 5, 6)))
    half = len(corners) // 2
    strains.append(legs(corners[:half] * rng.uniform(0.3, 1.0, (half, 5, 1)), rng))
    strains.append(
        2 * gaussian_process(len(corners) - half, seed=seed, steps=STEPS, bound=0.5, correlation=0.25).strain
    )
    strain = np.concatenate(strains) * (LARGEST_STRAIN * 10 ** rng.uniform(-1.2, 0.0, count))[:, None, None]
    # Slip keeps the volume: what is left is elastic and small. The first half changes it on its own, smoothly.
    part = strain @ UNIT_TRACE
    limit = LARGEST_TRACE / np.sqrt(3.0) * rng.uniform(0.0, 1.0, (count, 1))
    share = np.minimum(1.0, limit / np.maximum(np.abs(part).max(axis=1, keepdims=True), 1e-300))
    strain -= (part * (1.0 - share))[..., None] * UNIT_TRACE
    volume = gaussian_process(2 * n, seed=seed + 1, steps=STEPS, bound=1.0, correlation=0.3).strain[:, :, 0]
    strain[: 2 * n] += (volume * limit[: 2 * n])[..., None] * UNIT_TRACE
    return StrainPath(np.linspace(0.0, DURATION, STEPS + 1), strain, SMALL_STRAIN_3D)


def make_tests(count: int, seed: int) -> Dataset:
    """Return ``count`` tests with the answers of the crystal."""
    return sample(
        teacher(), draw_tests(count, seed), tangent=False, teacher="Rotated(CrystalPlasticity)", parameters=COPPER,
        plan={"script": "demos/make_crystal_law.py", "largest_strain": LARGEST_STRAIN, "trace": LARGEST_TRACE},
        seeds=[seed], units=Units(stress="MPa", strain="1", time="s"),
    )  # fmt: skip


def symmetric_copies(tests: Dataset) -> Dataset:
    """Return every test in the 24 orientations in which a cube looks the same, ``24 n`` paths."""
    signed = [
        np.diag(s)[list(p)] for p in itertools.permutations(range(3)) for s in itertools.product((1, -1), repeat=3)
    ]
    cube = np.array([R for R in signed if np.linalg.det(R) > 0])
    Q = rotation(ORIENTATION @ cube @ ORIENTATION.T)
    strain, stress = (
        np.einsum("qij,ntj->nqti", Q, array).reshape(-1, *array.shape[1:]) for array in (tests.strain, tests.stress)
    )
    return Dataset(time=np.repeat(tests.time, len(Q), axis=0), strain=strain, stress=stress, card=tests.card)


def make(cell: str, config: TrainConfig, out: Path, *, copies: bool, tests: int = TESTS, again: bool = False) -> None:
    """Make the law file of one cell with figures from tests that it never saw; ``again`` keeps weights that are there.

    The density of the points takes every fifth of the copies, among which is each test in four or five orientations:
    all of them ask for five times the memory. The card notes the number of paths.
    """
    training, kept_back = make_tests(tests, 1), make_tests(160, 3)
    training = symmetric_copies(training) if copies else training
    path = out / f"crystal_{cell}.safetensors"
    if again:
        law = audit_again(load_law(path), training, kept_back)
    else:
        law = train(cell, config, training, kept_back, {"tests": tests, "copies": copies})
    covered = training.subset(slice(None, None, 5)) if copies else training
    law = with_density(law, covered, kept_back)
    come = law.card.provenance
    come = come.model_copy(update={"training": come.training | {"density_paths": covered.paths}})
    save_law(path, LearnedMaterial(law.network, law.card.model_copy(update={"provenance": come}), density=law.density))
    figures = law.card.figures
    print(f"{cell}: error {figures.error_mean:.2%} (95 % of the tests {figures.error_95:.2%}), failed {figures.failed}")
    print(f"{path}: {path.stat().st_size / 1e3:.0f} kB")


def train(cell: str, config: TrainConfig, training: Dataset, kept_back: Dataset, settings: dict) -> LearnedMaterial:
    """Return the law that one cell learns, audited on ``kept_back``."""
    torch.manual_seed(config.seed)
    network = build(cell, {"features": 6 * len(config.features), "outputs": 6, **CELLS[cell][0]})
    report = fit(network, training, config, validation=make_tests(160, 2))
    print(f"{cell}: {report.seconds:.0f} s, best epoch {report.best.number}, {report.stopped}")
    return make_law(
        report.network, report.scaling, name=f"copper crystal, {cell}", training=training, kept_back=kept_back,
        features=config.features, seed=config.seed, settings=config.record() | settings,
    )  # fmt: skip


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--cells", nargs="+", choices=CELLS, default=["lstm", "slip_systems"])
    parser.add_argument("--plain", action="store_true", help="without the copies that symmetry gives")
    parser.add_argument("--epochs", type=int, help="instead of the configured number")
    parser.add_argument("--tests", type=int, default=TESTS, help="number of tests to learn from")
    parser.add_argument("--out", type=Path, default=HERE / "laws", help="folder of the law files")
    parser.add_argument("--audit", action="store_true", help="only measure the cards in --out anew, on the same tests")
    options = parser.parse_args()
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(message)s")
    torch.set_num_threads(1)
    for cell in options.cells:
        config = CELLS[cell][1]
        config = config.model_copy(update={"epochs": options.epochs}) if options.epochs else config
        copies = not options.plain and cell not in FEW_WEIGHTS
        make(cell, config, options.out, copies=copies, tests=options.tests, again=options.audit)


if __name__ == "__main__":
    main()

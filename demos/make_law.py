"""Train the learned law that the plate demo uses: an LSTM that imitates J2 plasticity of steel in plane strain.

It illustrates how to draw strain paths, sample a teacher along them, train a network, have it audited on paths that
training never saw, and save it as one law file. One core needs two to five minutes. Twice the epochs err a third less
on strain paths, but rougher tangents cost more Newton iterations in the plate and miss its force by more.

    python demos/make_law.py                    # writes demos/laws/steel_lstm.safetensors and demos/out/steel_lstm.png
    python demos/make_law.py --epochs 5 --out /tmp/quick.safetensors
    python demos/make_law.py --audit            # measures the card of the law anew; its weights stay
"""

import argparse
import logging
from pathlib import Path

import numpy as np
import torch

from pointlaw.data import Dataset, Units, sample
from pointlaw.laws import LearnedMaterial, audit_again, load_law, make_law, save_law, with_density
from pointlaw.materials import J2, PlaneStrain
from pointlaw.networks import LSTM
from pointlaw.paths import StrainPath, gaussian_process, random_walk
from pointlaw.tensors import PLANE_STRAIN, Array
from pointlaw.training import TrainConfig, fit
from pointlaw.training.report import draw_history

HERE = Path(__file__).parent

# A strongly hardening steel, MPa: at a plastic limit load a plate turns any error of the tangent into a jump, so the
# tangent modulus (5 % of E) stands well above what a network misses.
STEEL = {"E": 210e3, "nu": 0.3, "yield_stress": 250.0, "H": 10000.0}
STEPS = 60
LARGEST_STRAIN = 0.02
LARGEST_TRACE = 0.006  # at a hole plastic flow keeps the volume; only the elastic part changes it


def amplitudes(count: int, rng: np.random.Generator) -> Array:
    """Return largest strains ``[n]``, logarithmically spread: most of a plate is elastic, its hole is not."""
    return 10 ** rng.uniform(np.log10(5e-4), np.log10(LARGEST_STRAIN), count)


def programmes(count: int, rng: np.random.Generator) -> Array:
    """Return unit paths ``[n, t, 3]`` of straight lines: load, unload, reload elsewhere."""
    corners = rng.standard_normal((count, 6, 3))
    corners /= np.linalg.norm(corners, axis=2, keepdims=True)
    corners *= rng.uniform(0.3, 1.0, (count, 6, 1))
    # Most unload along the way they came, as a plate does, and many of these come back again.
    back = rng.random(count) < 0.7
    corners[back, 1] = corners[back, 0] * rng.uniform(-1.0, 0.8, (back.sum(), 1))
    again = rng.random(count) < 0.5
    corners[again, 2] = corners[again, 0] * rng.uniform(-0.5, 1.2, (again.sum(), 1))
    corners = np.concatenate([np.zeros((count, 1, 3)), corners], axis=1)
    # Half of the paths go in equal steps, the others each with an own spread; 1 to 6 lines in all.
    spread = rng.uniform(0.0, 1.0, (count, 1)) * (rng.random((count, 1)) < 0.5)
    moves = np.exp(spread * rng.standard_normal((count, STEPS)))
    place = np.concatenate([np.zeros((count, 1)), np.cumsum(moves, axis=1)], axis=1)
    place *= np.minimum(rng.uniform(1.0, 7.0, (count, 1)), 6.0) / place[:, -1:]
    left = np.minimum(place.astype(int), 5)
    share = (place - left)[..., None]
    rows = np.arange(count)[:, None]
    return (1 - share) * corners[rows, left] + share * corners[rows, left + 1]


def draw_paths(count: int, seed: int) -> StrainPath:
    """Return ``count`` paths: two thirds programmes, a quarter Gaussian processes, the rest random walks."""
    rng = np.random.default_rng(seed)
    smooth, rough = count // 4, count // 12
    straight = count - smooth - rough
    shared = {"steps": STEPS, "bound": 0.5, "kinematics": PLANE_STRAIN}
    # In a plate, load paths bend a little: as plasticity spreads the stress finds other ways.
    bend = gaussian_process(straight, seed=seed + 1000, correlation=0.3, **shared).strain
    lines = programmes(straight, rng) + rng.uniform(0.0, 0.3, (straight, 1, 1)) * bend
    curves = gaussian_process(smooth, seed=seed, correlation=0.25, **shared).strain
    walks = random_walk(rough, seed=seed, step_size=0.15, **shared).strain
    strain = np.concatenate([lines, 2 * curves, 2 * walks]) * amplitudes(count, rng)[:, None, None]
    trace = np.array([1.0, 1.0, 0.0]) / np.sqrt(2.0)
    part = strain @ trace
    largest = np.abs(part).max(axis=1, keepdims=True)
    limit = LARGEST_TRACE * rng.uniform(0.2, 1.0, (count, 1))
    share = np.minimum(1.0, limit / np.maximum(largest, 1e-300))
    share *= np.where(rng.random((count, 1)) < 0.5, rng.uniform(0.0, 0.5, (count, 1)), 1.0)
    strain -= (part * (1 - share))[..., None] * trace
    return StrainPath(np.linspace(0.0, 1.0, STEPS + 1), strain, PLANE_STRAIN)


def make_data(count: int, seed: int) -> Dataset:
    """Return ``count`` paths with the answers of the teacher."""
    plan = {"script": "demos/make_law.py", "steps": STEPS, "largest_strain": LARGEST_STRAIN, "trace": LARGEST_TRACE}
    return sample(
        PlaneStrain(J2(**STEEL)), draw_paths(count, seed), teacher="PlaneStrain(J2)", parameters=STEEL, plan=plan,
        seeds=[seed], units=Units(stress="MPa", strain="1", time="s"),
    )  # fmt: skip


def train(options: argparse.Namespace, training: Dataset, kept_back: Dataset) -> LearnedMaterial:
    """Return the law that learned from ``training``, and draw how it learned."""
    network = LSTM(features=3 * len(options.features), outputs=3, hidden=options.hidden)
    config = TrainConfig(
        epochs=options.epochs, batch=options.batch, learning_rate=options.rate, tangent_weight=options.tangent_weight,
        subsample=options.subsample, features=tuple(options.features), seed=options.seed,
    )  # fmt: skip
    report = fit(network, training, config, validation=make_data(400, 2), checkpoint=options.checkpoint)
    draw_history(report, HERE / "out" / f"{options.out.stem}.png")
    print(f"{report.seconds:.0f} s of training, best epoch {report.best.number}; {report.stopped}")
    return make_law(
        report.network, report.scaling, name="steel, plane strain, LSTM", training=training, kept_back=kept_back,
        features=config.features, seed=options.seed, settings=config.record(),
    )  # fmt: skip


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--epochs", type=int, default=45)
    parser.add_argument("--paths", type=int, default=3600)
    parser.add_argument("--hidden", type=int, default=64)
    parser.add_argument("--tangent-weight", type=float, default=0.3)
    parser.add_argument("--features", nargs="+", default=["strain", "increment"])
    parser.add_argument("--subsample", type=float, default=0.3)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--batch", type=int, default=32)
    parser.add_argument("--rate", type=float, default=5e-3)
    parser.add_argument("--checkpoint", type=Path, help="file from which a killed training goes on")
    parser.add_argument("--out", type=Path, default=HERE / "laws" / "steel_lstm.safetensors")
    parser.add_argument("--audit", action="store_true", help="only measure the card of --out anew, on the same paths")
    options = parser.parse_args()
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(message)s")
    torch.set_num_threads(1)
    torch.manual_seed(options.seed)

    training, kept_back = make_data(options.paths, 1), make_data(400, 3)
    if options.audit:
        law = audit_again(load_law(options.out), training, kept_back)
    else:
        law = train(options, training, kept_back)
    save_law(options.out, with_density(law, training, kept_back))

    figures = load_law(options.out).card.figures
    print(figures.model_dump_json(indent=2))
    print(f"{options.out}: {options.out.stat().st_size / 1e3:.0f} kB")
    assert figures.failed == 0
    assert figures.stress_at_rest == 0.0


if __name__ == "__main__":
    main()

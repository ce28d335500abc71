"""A law for a composite from few paths: train on some of the public paths, write a law file, print what it is worth.

The data are 60 homogenised responses of a 2D elastoplastic composite (``shared/data/rve2d_paths.h5``, see its README):
random paths of 101 times with strains up to 16 %. The figures come from paths that training never saw: those that are
not chosen, and a tenth of all when all are chosen. ``--amplitudes`` trains on the paths of small strain and tests on
those of large strain instead. Errors are means over paths of ‖σ − σ̂‖/‖σ‖. With ``--twin`` the stresses are those of a
composite of our own along the same strains (``benchmarks/rve2d_twin.py``), whose tangents are known; training is not
told them.

    python benchmarks/rve2d.py --paths 60 --out law.safetensors
    python benchmarks/rve2d.py --paths 20
    python benchmarks/rve2d.py --paths 20 --amplitudes
    python benchmarks/rve2d.py --paths 20 --network lstm       the baseline
    python benchmarks/rve2d.py --paths 60 --twin               the tangent at rest against that of a known teacher

Goals: at most 2.0 % from 60 paths, 4.5 % from 20, larger amplitudes within 1.5 times that; at most 0.1 % change
when every step is cut into 16 under strain control, 0.5 % under stress control; no drift, no stress at rest; the
tangent at rest within 2 % of the teacher's.
"""

import argparse
import json
import os
import time
from dataclasses import replace
from pathlib import Path

for variable in ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS"):
    os.environ[variable] = "1"

import numpy as np  # noqa: E402
import torch  # noqa: E402

from pointlaw.data import Dataset  # noqa: E402
from pointlaw.laws import make_law, save_law, with_density  # noqa: E402
from pointlaw.networks import build  # noqa: E402
from pointlaw.training import TrainConfig, fit  # noqa: E402
from rve2d_data import DATA, load  # noqa: E402
from rve2d_twin import twin  # noqa: E402

OUT = Path(__file__).parent / "out"

# One entry a network: its configuration and its training. Each takes a few minutes on one core.
NETWORKS = {
    "physically_recurrent": (
        # The first steps already yield here and there: elements that yield early and the first step counted once more
        # find the stiffness at rest behind that.
        {"elements": 32, "first_yield": 0.02, "seed": 0},
        TrainConfig(
            epochs=500,
            batch=20,
            learning_rate=0.02,
            patience=500,
            precision="float64",
            rest_weight=0.3,
        ),
    ),
    "lstm": ({"hidden": 64}, TrainConfig(epochs=1000, batch=16, learning_rate=5e-3, patience=300)),
    "gru": ({"hidden": 64}, TrainConfig(epochs=1000, batch=16, learning_rate=5e-3, patience=300)),
}


def choose(data: Dataset, paths: int, seed: int, *, amplitudes: bool) -> tuple[Dataset, Dataset]:
    """Return the training paths and those kept back."""
    order = np.random.default_rng(seed).permutation(data.paths)
    if amplitudes:
        largest = np.linalg.norm(data.strain, axis=2).max(axis=1)
        order = order[np.argsort(largest[order], kind="stable")]
        return data.subset(order[:paths]), data.subset(order[-min(20, data.paths - paths) :])
    if paths == data.paths:
        paths -= max(1, data.paths // 10)
    return data.subset(order[:paths]), data.subset(order[paths:])


def stress_alone(data: Dataset) -> Dataset:
    """Return the paths without what else their teacher knows: its tangents and its stiffness at rest."""
    return replace(data, tangent=None, card=data.card.model_copy(update={"stiffness": None}))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--paths", type=int, default=60, help="paths to train on")
    parser.add_argument("--network", choices=NETWORKS, default="physically_recurrent")
    parser.add_argument("--amplitudes", action="store_true", help="train on small strains, test on large ones")
    parser.add_argument("--twin", action="store_true", help="learn from a composite whose stiffness is known")
    parser.add_argument("--seed", type=int, default=0, help="of the choice of paths and of the training")
    parser.add_argument("--epochs", type=int, help="instead of the configured number")
    parser.add_argument("--refine", type=float, default=0.0, help="share of the batches read in finer steps")
    parser.add_argument("--data", type=Path, default=DATA)
    parser.add_argument("--out", type=Path, help="where the law file goes")
    options = parser.parse_args()
    data = load(options.data)
    if not 4 <= options.paths <= data.paths:
        parser.error(f"--paths is 4 to {data.paths}, the paths in {options.data}; got {options.paths}")
    sizes, config = NETWORKS[options.network]
    config = config.model_copy(
        update={
            "seed": options.seed,
            "refine": options.refine,
            **({"epochs": options.epochs} if options.epochs else {}),
        }
    )
    if options.twin:
        data = twin(data)
    training, kept_back = choose(data, options.paths, options.seed, amplitudes=options.amplitudes)
    training = stress_alone(training)
    torch.manual_seed(options.seed)
    m = data.kinematics.size
    begin = time.perf_counter()
    # A network with few weights and physics inside does not overfit: no path is spent on stopping early.
    watch = training if options.network == "physically_recurrent" else None
    report = fit(build(options.network, {"features": m, "outputs": m, **sizes}), training, config, validation=watch)
    seconds = time.perf_counter() - begin
    law = make_law(
        report.network, report.scaling, name=f"composite from {training.paths} paths", training=training,
        kept_back=kept_back, seed=options.seed, settings=config.record(),
    )  # fmt: skip
    kind = "_small" * options.amplitudes + "_twin" * options.twin
    out = options.out or OUT / f"rve2d_{options.network}_{options.paths}{kind}.safetensors"
    out.parent.mkdir(parents=True, exist_ok=True)
    save_law(out, with_density(law, training, kept_back))
    figures = law.card.figures
    rest = law.update(np.zeros((1, m)), law.initial_state(1), 1.0).tangent
    print(f"{options.network}: trained on {training.paths} of {data.paths} paths in {seconds:.0f} s ({report.stopped})")
    print(f"error on {kept_back.paths} paths kept back: mean {figures.error_mean:.2%}, "
          f"median {figures.error_median:.2%}, 95 % quantile {figures.error_95:.2%}")  # fmt: skip
    print("refinement, strain control: " + ", ".join(f"{k}× {v:.1e}" for k, v in figures.refinement.items()))
    if figures.refinement_stress:
        print("refinement, stress control: " + ", ".join(f"{k}× {v:.1e}" for k, v in figures.refinement_stress.items())
              + f" ({figures.undriven} of {figures.stress_paths} paths could not be driven)")  # fmt: skip
    print(f"drift in 100 held steps {figures.drift:.1e}, stress at rest {figures.stress_at_rest:.1e}, "
          f"tangent against differences {figures.tangent_check:.1e}, softest {figures.softest:.2e}")  # fmt: skip
    if options.twin:
        print(f"tangent against the teacher's: at rest {figures.stiffness_error:.2%}, "
              f"along the paths kept back, mean {figures.tangent_error:.2%}")  # fmt: skip
    print(f"tangent at rest {np.array2string(np.round(rest[0], 2), separator=', ').replace(chr(10), '')}")
    print(f"law file {out}")
    record = {"paths": training.paths, "seconds": seconds, "figures": figures.model_dump(), "seed": options.seed}
    out.with_suffix(".json").write_text(json.dumps(record, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()

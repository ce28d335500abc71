# %% [markdown]
# # From a dataset to a law that may be trusted
#
# The paths of demo 04, a composite of elastic fibres in a plastic matrix, train two networks: a physically recurrent
# network, whose hidden layer is made of elastoplastic points, and an LSTM, the usual choice. Both are measured on the
# same paths, which neither has seen; the better one becomes a law file that the next demos load.
#
# It illustrates how to:
#
# * train a network on a dataset, and make a law of it with the figures of its audit on its card;
# * see what an error on unseen paths does not tell: what happens under finer steps, under a held strain and at rest;
# * write a law file and read it back as a material.
#
# Units: MPa, strain dimensionless, plane strain. Runs on 1 or more ranks: `mpirun -n 2 python demo_05_train.py` (all of
# them sample, one trains). Run time: about 2 min on one core; 15 s more if demo 04 has not run before.

# %%
from pathlib import Path

import numpy as np
import torch

from pointlaw.data import load_dataset, respond
from pointlaw.fem import MPI
from pointlaw.laws import load_law, make_law, save_law
from pointlaw.materials import J2, LinearElastic, PlaneStrain
from pointlaw.networks import LSTM, PhysicallyRecurrent
from pointlaw.paths import StrainPath
from pointlaw.rve import RVEMaterial, random_inclusions
from pointlaw.rve.plan import make_plan
from pointlaw.rve.sample import sample
from pointlaw.training import TrainConfig, fit

OUT = Path(__file__).parent / "out"
world = MPI.COMM_WORLD

# %% [markdown]
# **The data** are those of demo 04: the same composite, the same plan. If its folder is there, nothing is computed.

# %%
structure = random_inclusions(0.35, 7, gap=0.04, seed=5)
laws = {
    "matrix": PlaneStrain(J2(E=70e3, nu=0.3, yield_stress=200.0, H=1000.0)),
    "inclusion": PlaneStrain(LinearElastic(E=400e3, nu=0.2)),
}
plan = make_plan(
    {
        "kind": "gaussian_process",
        "paths": 48,
        "steps": 60,
        "bound": 0.01,
        "step_size": 1e-3,
        "correlation": 0.15,
        "seed": 4,
    }
)
sampled = sample(RVEMaterial(structure.mesh(24), laws, tolerance=1e-10), plan, OUT / "composite", batch=8)
training, kept_back = load_dataset(sampled.dataset).split(0.75, 0.25, seed=0)

# %% [markdown]
# **The networks.** The physical one gets the stiffness at rest from the card of the data and keeps it. It is trained in
# double precision, because its points answer with differences of near numbers.

# %%
networks = {
    "physically recurrent": (
        lambda: PhysicallyRecurrent(features=3, outputs=3, elements=24, seed=0),
        TrainConfig(epochs=120, batch=12, learning_rate=0.03, patience=120, precision="float64"),
    ),
    "LSTM": (
        lambda: LSTM(features=3, outputs=3, hidden=48),
        TrainConfig(epochs=250, batch=12, learning_rate=6e-3, patience=250),
    ),
}


def train(name):
    """Train one network, and write and return its law and the report of the training."""
    network, config = networks[name]
    torch.manual_seed(0)
    report = fit(network(), training, config)
    law = make_law(
        report.network, report.scaling, name=f"composite, {name}", training=training, kept_back=kept_back,
        settings=config.record() | {"seconds": report.seconds},
    )  # fmt: skip
    save_law(OUT / f"composite_{name.replace(' ', '_').lower()}.safetensors", law)
    return report


reports = {name: train(name) for name in networks} if world.rank == 0 else {}
world.barrier()
learned = {name: load_law(OUT / f"composite_{name.replace(' ', '_').lower()}.safetensors") for name in networks}

# %% [markdown]
# **The same paths in finer steps.** The composite is rate-independent and its paths are smooth: cutting every step into
# 2, 4, 8, 16 must change next to nothing. Here the error against the composite is taken at the old times.


# %%
def answers(law, parts=1):
    """Return the stress of a law at the times of the kept-back paths, each step cut into ``parts``."""
    path = StrainPath(kept_back.time[0], kept_back.strain, kept_back.kinematics).refine(parts)
    return respond(law, path.times, path.strain).stress[:, ::parts]


def error(stress):
    """Return the mean over the paths of ‖σ − σ̂‖ / ‖σ̂‖."""
    gap, size = (np.linalg.norm(a, axis=(1, 2)) for a in (stress - kept_back.stress, kept_back.stress))
    return float(np.mean(gap / size))


PARTS = (1, 2, 4, 8, 16)
if world.rank == 0:
    refined = {name: [error(answers(law, k)) for k in PARTS] for name, law in learned.items()}

# %% [markdown]
# One sheet: stress over strain on the kept-back paths with the smallest, the median and the largest error, the error
# under refinement, and the course of both trainings.


# %%
def draw(path):
    """Write the sheet; matplotlib belongs to the extra `plot`."""
    import matplotlib as mpl

    mpl.use("Agg")
    import matplotlib.pyplot as plt

    plt.rcParams.update({"font.size": 9, "axes.spines.top": False, "axes.spines.right": False})
    styles = {"physically recurrent": {"color": "tab:blue", "lw": 1.6}, "LSTM": {"color": "tab:orange", "lw": 1.3}}
    stress = {name: answers(law) for name, law in learned.items()}
    gap = np.linalg.norm(stress["physically recurrent"] - kept_back.stress, axis=(1, 2))
    order = np.argsort(gap / np.linalg.norm(kept_back.stress, axis=(1, 2)))
    shown = {"best": order[0], "median": order[len(order) // 2], "worst": order[-1]}
    figure, axes = plt.subplots(2, 3, figsize=(13, 8), layout="constrained")
    for axis, (title, k) in zip(axes[0], shown.items(), strict=True):
        component = int(np.argmax(np.abs(kept_back.stress[k]).max(axis=0)))
        label = ("11", "22", "12")[component]
        unit = np.sqrt(2) if component == 2 else 1.0
        strain = 100 * kept_back.strain[k, :, component] / unit
        axis.plot(strain, kept_back.stress[k, :, component] / unit, color="black", lw=3.5, alpha=0.3, label="composite")
        for name, style in styles.items():
            axis.plot(strain, stress[name][k, :, component] / unit, label=name, **style)
        axis.set(xlabel=f"strain {label} / %", ylabel=f"stress {label} / MPa", title=f"{title} of {len(order)} paths")
    axes[0, 0].legend(frameon=False)
    for name, style in styles.items():
        axes[1, 0].semilogy(PARTS, 100 * np.array(refined[name]), "o-", label=name, **style)
        history = reports[name].history
        share = (np.arange(len(history)) + 1) / len(history)
        axes[1, 1].semilogy(share, [100 * epoch.validation for epoch in history], label=name, **style)
    axes[1, 0].set_xscale("log", base=2)
    axes[1, 0].set_xticks(PARTS, [f"{k}×" for k in PARTS])
    axes[1, 0].set(
        xlabel="finer steps", ylabel="error on unseen paths / %", title="the same paths, read in finer steps"
    )
    axes[1, 1].set(xlabel="share of the training", ylabel="validation error / %", title="training")
    axes[1, 1].legend(frameon=False)
    held = np.repeat(kept_back.strain[:1, -1:], 101, axis=1)
    for name, law in learned.items():
        walk = np.concatenate([kept_back.strain[:1], held[:, 1:]], axis=1)
        rest = respond(law, np.arange(walk.shape[1], dtype=float), walk).stress[0, kept_back.times - 1 :]
        drift = 100 * np.linalg.norm(rest - rest[0], axis=1) / np.linalg.norm(kept_back.stress[0], axis=1).max()
        axes[1, 2].plot(drift, label=name, **styles[name])
    axes[1, 2].set(xlabel="steps in which the strain is held", ylabel="change of stress / %", title="a held strain")
    figure.savefig(path, dpi=150)
    plt.close(figure)


# %% [markdown]
# **The figures** of both cards. `pointlaw check FILE` prints all of them with a judgement.

# %%
if world.rank == 0:
    draw(OUT / "demo_05_train.png")
    print(f"{training.paths} paths to learn from, {kept_back.paths} kept back; {sampled.computed} sampled now")
    columns = ("error", "worst 5 %", "16× finer", "drift", "at rest", "stiffness", "training")
    print(f"{'network':<22}" + "".join(f"{column:>12}" for column in columns))
    for name, law in learned.items():
        f = law.card.figures
        numbers = (f.error_mean, f.error_95, f.refinement[16], f.drift, f.stress_at_rest, f.stiffness_error)
        texts = [f"{100 * v:.2f} %" if v > 1e-4 else f"{v:.0e}" for v in numbers]
        print(f"{name:<22}" + "".join(f"{text:>12}" for text in texts) + f"{reports[name].seconds:>10.0f} s")

# %% [markdown]
# What must hold: the physical network is below 2 % and at most half the error of the LSTM; finer steps change it by
# less than 0.1 %, a held strain moves nothing, and its stiffness at rest is the composite's.

# %%
good, plain = (learned[name].card.figures for name in networks)
if not good.error_mean < 0.02 or not good.error_mean < 0.5 * plain.error_mean:
    raise SystemExit(
        f"The errors are {good.error_mean:.2%} and {plain.error_mean:.2%}; below 2 % and half was expected."
    )
if not good.refinement[16] < 1e-3:
    raise SystemExit(f"Steps 16 times finer change the answer by {good.refinement[16]:.1e}, more than 0.1 %.")
if not good.drift < 1e-12 or not good.stress_at_rest < 1e-12:
    raise SystemExit(f"A held strain moves the stress by {good.drift:.1e}, at rest it is {good.stress_at_rest:.1e}.")
if good.stiffness_error is None or not good.stiffness_error < 1e-6:
    raise SystemExit(f"The stiffness at rest is off by {good.stiffness_error}, more than 1e-6.")

# %% [markdown]
# # A composite becomes a dataset
#
# Elastic fibres in a plastic matrix, seen in their cross-section: the volume element is led along smooth random strain
# paths, and what it answers is written down. The dataset is what a network is trained on (demo 05).
#
# It illustrates how to:
#
# * make a microstructure and a material of it, which the batched engine solves eight at a time;
# * plan paths by kind, bounds and seed, and deal them to any number of ranks;
# * stop and resume: run it again, and it finds its paths; remove `demos/out/composite` to compute them anew.
#
# Units: MPa, strain dimensionless, plane strain. Runs on 1 or more ranks: `mpirun -n 2 python demo_04_sample.py`.
# Run time: about 15 s.

# %%
from pathlib import Path

import numpy as np

from pointlaw.data import load_dataset
from pointlaw.fem import MPI
from pointlaw.materials import J2, LinearElastic, PlaneStrain
from pointlaw.paths import StrainPath, drive
from pointlaw.rve import RVEMaterial, local_fields, random_inclusions
from pointlaw.rve.plan import make_plan
from pointlaw.rve.sample import sample

OUT = Path(__file__).parent / "out"
world = MPI.COMM_WORLD

# %% [markdown]
# Seven fibres, 35 % of the section, thrown at random into a periodic box of 24 × 24 voxels. Every rank has its own.

# %%
structure = random_inclusions(0.35, 7, gap=0.04, seed=5)
laws = {
    "matrix": PlaneStrain(J2(E=70e3, nu=0.3, yield_stress=200.0, H=1000.0)),
    "inclusion": PlaneStrain(LinearElastic(E=400e3, nu=0.2)),
}
composite = RVEMaterial(structure.mesh(24), laws, tolerance=1e-10)

# %% [markdown]
# Smooth paths: no strain beyond 1 %, no step beyond 0.1 %. Path 17 is the same path on one rank and on a thousand.

# %%
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
report = sample(composite, plan, OUT / "composite", batch=8)
dataset = load_dataset(report.dataset)

# %% [markdown]
# One of the paths once more, with the general engine (DOLFINx and MUMPS): the same numbers by another way, and the
# local fields behind them.

# %%
SHOWN = int(np.argmax(np.linalg.norm(np.diff(dataset.strain, axis=1), axis=2).sum(axis=1)))  # the longest path
general = RVEMaterial(structure.mesh(24), laws, engine="general", tolerance=1e-10)
again = drive(general, StrainPath(dataset.time[SHOWN], dataset.strain[SHOWN], dataset.kinematics))
difference = np.abs(again.stress[0] - dataset.stress[SHOWN]).max()
largest = np.abs(dataset.stress[SHOWN]).max()

# %% [markdown]
# One sheet: the section with its plastic strain at the end of the path shown, all strain paths, all answers.


# %%
def draw(path):
    """Write the sheet; matplotlib belongs to the extra `plot`."""
    import matplotlib as mpl

    mpl.use("Agg")
    import matplotlib.pyplot as plt
    from matplotlib.collections import LineCollection, PolyCollection

    strain, stress = 100 * dataset.strain / [1, 1, np.sqrt(2)], dataset.stress / [1, 1, np.sqrt(2)]
    reach = 100 * np.linalg.norm(dataset.strain, axis=2).max(axis=1)
    colours = mpl.colormaps["viridis"](mpl.colors.Normalize(reach.min(), reach.max())(reach))
    figure, axes = plt.subplot_mosaic("SEP;ABC", figsize=(15, 9.2), layout="constrained")

    def lines(axis, x, y, **labels):
        axis.axhline(0.0, color="0.85", lw=0.8, zorder=0)
        axis.axvline(0.0, color="0.85", lw=0.8, zorder=0)
        curves = [np.column_stack(pair) for pair in zip(x, y, strict=True)]
        order = np.argsort(reach)[::-1]
        axis.add_collection(
            LineCollection([curves[i] for i in order], colors=colours[order], linewidths=0.7, alpha=0.75)
        )
        axis.plot(x[SHOWN], y[SHOWN], color="tab:red", lw=1.9)
        axis.plot(x[SHOWN, -1], y[SHOWN, -1], "o", color="tab:red", ms=5)
        axis.autoscale_view()
        axis.set(**labels)
        axis.spines[["top", "right"]].set_visible(False)

    fields = local_fields(general, again)
    mesh = fields.mesh
    corners = mesh.geometry.x[mesh.geometry.dofmaps[0]][:, [0, 1, 3, 2], :2]
    plastic = 100 * fields.cell_mean(fields.variable("equivalent_plastic_strain"))[:, 0]
    fibre = np.zeros(len(corners), dtype=bool)
    fibre[general.element.cells["inclusion"]] = True
    section = axes["S"]
    heat = PolyCollection(corners[~fibre], array=plastic[~fibre], cmap="inferno", edgecolors="face", linewidths=0.3)
    section.add_collection(heat)
    section.add_collection(PolyCollection(corners[fibre], facecolors="#cfd8dc", edgecolors="#cfd8dc", linewidths=0.4))
    for shift in np.ndindex(3, 3):  # the fibres as they were thrown, with their periodic images
        for centre, radii in zip(structure.centres, structure.radii, strict=True):
            place = centre + np.array(shift) - 1.0
            section.add_patch(plt.Circle(place, radii[0], facecolor="#cfd8dc", edgecolor="#546e7a", lw=1.2))
    section.set(xlim=(0, 1), ylim=(0, 1), aspect="equal", xticks=[], yticks=[])
    section.set_title(f"plastic strain between the fibres, end of path {SHOWN}")
    figure.colorbar(heat, ax=section, shrink=0.85, pad=0.02, label="equivalent plastic strain / %")
    lines(axes["E"], strain[..., 0], strain[..., 1], xlabel="strain 11 / %", ylabel="strain 22 / %", aspect="equal")
    axes["E"].set_title(f"{dataset.paths} strain paths, the red one is number {SHOWN}")
    lines(axes["P"], stress[..., 0], stress[..., 1], xlabel="stress 11 / MPa", ylabel="stress 22 / MPa")
    axes["P"].set_title("mean stress")
    for name, k, label in (("A", 0, "11"), ("B", 1, "22"), ("C", 2, "12")):
        lines(axes[name], strain[..., k], stress[..., k], xlabel=f"strain {label} / %", ylabel=f"stress {label} / MPa")
    scale = plt.cm.ScalarMappable(mpl.colors.Normalize(reach.min(), reach.max()), "viridis")
    figure.colorbar(scale, ax=axes["P"], label="largest norm of the strain / %", pad=0.02)
    figure.savefig(path, dpi=150)
    plt.close(figure)


# %%
if world.rank == 0:
    draw(OUT / "demo_04_sample.png")
    print(report)
    print(f"elastic stiffness C11 = {dataset.card.stiffness[0][0]:.0f} MPa of {dataset.card.teacher}")
    print(f"path {SHOWN} by the general engine differs by {difference:.1e} MPa of {largest:.0f} MPa")

# %% [markdown]
# Both engines find the same equilibrium, and no path was lost.

# %%
if report.failed or report.finished != plan.paths:
    raise SystemExit(f"{report.failed} of {plan.paths} paths failed: {report.reasons}")
if not difference < 1e-9 * largest:
    raise SystemExit(f"The engines differ by {difference:.1e} MPa, more than 1e-9 of {largest:.0f} MPa.")

# %% [markdown]
# # Homogenise a composite: from a microstructure to stress, energy and local fields
#
# Stiff fibres in a metal that flows, seen from the side: a cell with random fibres is sheared back and forth under
# three boundary conditions, and the local fields at the peak are drawn.
#
# It shows how to:
#
# * pack fibres at random and mesh them periodically;
# * put the cell under periodicity, linear displacement and uniform traction, and drive it like any law;
# * see where the work goes, and look inside.
#
# Units: mm, MPa. Run time: about 30 s. Needs the extras `mesh` and `plot`; with several ranks all do the same.

# %%
import itertools
from pathlib import Path

from mpi4py import MPI

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.collections import PolyCollection

from pointlaw.materials import J2, LinearElastic, PlaneStrain
from pointlaw.paths import drive, through
from pointlaw.rve import (
    LinearDisplacement,
    Periodic,
    RVEMaterial,
    UniformTraction,
    energies,
    homogenise,
    local_fields,
    random_inclusions,
)
from pointlaw.tensors import PLANE_STRAIN, SQRT2, from_mandel

OUT = Path(__file__).parent / "out"

# %% [markdown]
# **The microstructure.** Sixteen fibres of different size fill 40 % of the cell; fibres that leave through a face come
# in through the opposite one, and the meshes of opposite faces match.

# %%
fibres = random_inclusions(0.40, 16, spread=0.25, gap=0.015, seed=7)
mesh = fibres.conforming_mesh(0.035)
phases = {
    "matrix": PlaneStrain(J2(E=70e3, nu=0.33, yield_stress=100.0, H=500.0, Q=60.0, b=60.0)),
    "inclusion": PlaneStrain(LinearElastic(E=400e3, nu=0.2)),
}

# %% [markdown]
# **The same path for three constraints.** Shear to γ = 1 %, back to −1 %, and to zero; the cell is a law, and `drive`
# leads it.

# %%
shear = np.array([0.0, 0.0, 0.01 / SQRT2])  # the Mandel component is √2 ε12 and γ is 2 ε12
path = through([shear, -shear, 0.0 * shear], steps=8, kinematics=PLANE_STRAIN)
names = {"uniform traction": UniformTraction(), "periodic": Periodic(), "linear displacement": LinearDisplacement()}
cells = {name: RVEMaterial(mesh, phases, constraint) for name, constraint in names.items()}
records = {name: drive(cell, path).raise_if_failed() for name, cell in cells.items()}
stiffness = {name: homogenise(cell) for name, cell in cells.items()}

# %% [markdown]
# **Inside.** Energies of the periodic cell along the path, and its local fields at the first peak.

# %%
cell, record = cells["periodic"], records["periodic"]
energy = energies(cell, record)
PEAK = 8
local = local_fields(cell, record, step=PEAK)
plastic = local.cell_mean(local.variable("equivalent_plastic_strain"))[:, 0]


# %%
def tiles(counts, scale):
    """Return the deformed triangles of the cell repeated in both directions, magnified."""
    x = mesh.mesh.geometry.x[:, :2]
    u = local.displacement.x.array.reshape(-1, 2)
    moved = x[mesh.mesh.geometry.dofmaps[0]] + scale * u[cell.element.V.dofmap.list]
    shift = (np.eye(2) + scale * from_mandel(record.strain[0, PEAK])) * fibres.size
    return np.concatenate([moved + shift @ [i, j] for i in range(counts) for j in range(counts)])


def draw():
    plt.rcParams.update({"font.size": 9, "axes.spines.top": False, "axes.spines.right": False})
    figure = plt.figure(figsize=(11.5, 6.2), layout="constrained")
    left, right = figure.subfigures(1, 2, width_ratios=[1.15, 1.0])
    ax = left.subplots()
    colours = np.ma.masked_array(plastic, mask=np.isin(np.arange(len(plastic)), cell.element.cells["inclusion"]))
    colour_map = plt.get_cmap("inferno").with_extremes(bad="#8fa3ad")
    patches = PolyCollection(tiles(2, 12.0), cmap=colour_map, edgecolors="face", linewidths=0.2, rasterized=True)
    patches.set_array(np.ma.concatenate([colours] * 4))
    patches.set_clim(0.0, np.quantile(plastic, 0.995))
    ax.add_collection(patches)
    ax.set_aspect("equal")
    ax.autoscale()
    ax.axis("off")
    ax.set_title("equivalent plastic strain in the matrix at γ = 1 %\n(2 × 2 cells, deformation × 12)")
    left.colorbar(patches, ax=ax, shrink=0.7, location="bottom", pad=0.02, format="{x:.1%}")
    top, bottom = right.subplots(2, 1)
    palette = {"uniform traction": "#7b9e3f", "periodic": "#c0392b", "linear displacement": "#2c5f8a"}
    for name, rec in records.items():
        top.plot(
            SQRT2 * rec.strain[0, :, 2] * 100,
            rec.stress[0, :, 2] / SQRT2,
            "o-",
            ms=2.5,
            color=palette[name],
            label=name,
        )
    top.set(xlabel="shear γ / %", ylabel="shear stress / MPa", title="macroscopic response")
    top.legend(frameon=False)
    steps = record.times
    bottom.stackplot(
        steps, energy.elastic[0] * 1e3, energy.dissipation[0] * 1e3,
        colors=["#f0b27a", "#7d3c2b"], labels=["elastic", "dissipated and hardening"],
    )  # fmt: skip
    bottom.plot(steps, energy.work[0] * 1e3, color="black", lw=1.2, label="work")
    bottom.set(xlabel="time", ylabel="energy / (kJ/m³)", title="where the work goes (periodic)")
    bottom.legend(frameon=False, loc="upper left")
    OUT.mkdir(exist_ok=True)
    figure.savefig(OUT / "demo_03_homogenise.png", dpi=160)


if MPI.COMM_WORLD.rank == 0:
    draw()
    local.write(OUT / "demo_03_cell.pvd", state=("equivalent_plastic_strain",))

# %% [markdown]
# **Checks.** The three conditions come in the order that theory demands (Huet 1990, doi 10.1016/0022-5096(90)90041-2),
# and the mean of the local power is the power of the means (Hill 1963, doi 10.1016/0022-5096(63)90036-X).

# %%
order = [stiffness[name] for name in names]
if not all(np.linalg.eigvalsh(stronger - weaker).min() > 0.0 for weaker, stronger in itertools.pairwise(order)):
    raise SystemExit("Uniform traction, periodicity and linear displacement do not come in this order of stiffness.")
if not energy.hill_mandel.max() < 1e-8:
    raise SystemExit(f"A step misses Hill and Mandel's condition by {energy.hill_mandel.max():.1e}, more than 1e-8.")
if MPI.COMM_WORLD.rank == 0:
    print("shear stiffness C1212 / MPa:", ", ".join(f"{name} {C[2, 2] / 2:.0f}" for name, C in stiffness.items()))
    print(f"largest Hill–Mandel gap of a step: {energy.hill_mandel.max():.1e}")

# %% [markdown]
# # A plate with a hole, with a formula and with a learned law
#
# A perforated steel strip is pulled until a plastic zone crosses the ligament, then pushed back to its old length.
# The same problem runs twice; only the material differs.
#
# It illustrates how to:
#
# * read a mesh with named parts, hold and move some of them;
# * run a path-dependent problem with a formula law and with a torch-scripted LSTM at every quadrature point;
# * record force against displacement, and draw fields, on any number of ranks.
#
# Units: mm, MPa, N per mm of thickness. Runs on 1 or more ranks: `mpirun -n 2 python demo_02_plate_with_hole.py`.
# Run time: about 10 s.

# %%
from pathlib import Path

import numpy as np

from pointlaw.fem import MPI, Displacement, ForceTable, MechanicsProblem, gather_cells, march, read_mesh
from pointlaw.laws import load_law
from pointlaw.materials import J2, PlaneStrain

HERE = Path(__file__).parent
OUT = HERE / "out"
PULL = 0.03  # mm, largest displacement of the right edge; the strain at the hole reaches 1.8 %

# %% [markdown]
# A quarter of the strip: two planes of symmetry, one edge that is moved. Time runs from 0 to 2, the load turns at 1.

# %%
plate = read_mesh(HERE.parent / "meshes" / "plate_with_hole.msh")
supports = [
    Displacement("left", x=0.0),
    Displacement("bottom", y=0.0),
    Displacement("right", x=lambda t: PULL * (1 - abs(1 - t))),
]
laws = {
    "J2 formula": PlaneStrain(J2(E=210e3, nu=0.3, yield_stress=250.0, H=10000.0)),
    "learned LSTM": load_law(HERE / "laws" / "steel_lstm.safetensors"),
}

# %% [markdown]
# `march` hits every requested time, cuts a step that fails, and tells the observers of each accepted one.


# %%
times = np.linspace(0.05, 2.0, 40)


def simulate(law):
    """Return displacement and force at the requested times, the stress at the turning point, and what the run cost."""
    problem = MechanicsProblem(plate, law, supports=supports)
    table = ForceTable("right")
    pull = march(problem, times[:20], observers=[table])
    region = problem.regions["body"]
    field = gather_cells(problem, problem.cell_means(region, region.committed[0])[:, 0])
    push = march(problem, times[20:], observers=[table])
    asked = np.isin(table.time, [0.0, *times])  # a step that was cut adds times of its own
    return np.array(table.displacement)[asked, 0], np.array(table.force)[asked, 0], field, (pull, push)


runs = {name: simulate(law) for name, law in laws.items()}

# %% [markdown]
# One figure: force against displacement of both, and the axial stress of both at the turning point.


# %%
def draw(path):
    """Write the figure; matplotlib belongs to the extra `plot`."""
    import matplotlib as mpl

    mpl.use("Agg")
    import matplotlib.pyplot as plt
    from matplotlib.collections import PolyCollection

    figure = plt.figure(figsize=(11, 5.2), layout="constrained")
    axes = figure.subplot_mosaic([["force", "J2 formula"], ["force", "learned LSTM"]], width_ratios=[1.1, 1])
    styles = {"J2 formula": {"color": "black", "lw": 2}, "learned LSTM": {"color": "tab:orange", "ls": "--", "lw": 2}}
    for name, (u, force, _, _) in runs.items():
        axes["force"].plot(1e3 * u, force, label=name, **styles[name])
    axes["force"].set(xlabel="displacement of the right edge / µm", ylabel="force / (N/mm)")
    axes["force"].legend(frameon=False)
    axes["force"].axhline(0.0, color="0.8", lw=0.8, zorder=0)
    limits = np.percentile(runs["J2 formula"][2][1], [0.5, 99.5])
    for name, (_, _, (corners, stress), _) in runs.items():
        cells = PolyCollection(corners, array=stress, cmap="viridis", clim=limits, edgecolors="face", linewidths=0.2)
        axes[name].add_collection(cells)
        axes[name].set(title=name, aspect="equal", xlabel="x / mm", ylabel="y / mm")
        axes[name].autoscale_view()
    figure.colorbar(cells, ax=list(axes.values())[1:], label="axial stress at the turning point / MPa", shrink=0.9)
    figure.savefig(path, dpi=150)
    plt.close(figure)


# %% [markdown]
# The table, and the numbers that must hold.

# %%
u, force, _, _ = runs["J2 formula"]
_, learned, _, _ = runs["learned LSTM"]
error = np.linalg.norm(learned - force) / np.linalg.norm(force)
if MPI.COMM_WORLD.rank == 0:
    OUT.mkdir(exist_ok=True)
    draw(OUT / "demo_02_plate_with_hole.png")
    print(f"{'law':<14}{'steps':>6}{'cuts':>6}{'Newton':>8}{'peak force':>12}{'end force':>11}{'seconds':>9}")
    for name, (_, F, _, parts) in runs.items():
        steps, cuts, newton, seconds = (
            sum(getattr(p.stats, what) for p in parts) for what in ("steps", "cuts", "iterations", "seconds")
        )
        print(f"{name:<14}{steps:>6}{cuts:>6}{newton:>8}{F.max():>12.1f}{F[-1]:>11.1f}{seconds:>9.1f}")
    print(f"force of the learned law against the formula: {100 * error:.2f} % (root mean square)")

# %% [markdown]
# The first step is elastic, so its force is that of a linear calculation; the limit load of the ligament in plane
# strain, 2/√3 σy times its 5 mm, is a lower bound of the hardening strip's peak.

# %%
limit = 2 / np.sqrt(3) * 250.0 * 5.0
if not limit < force.max() < 1.5 * limit:
    raise SystemExit(f"The peak force {force.max():.1f} N/mm is not a little above the limit load {limit:.1f} N/mm.")
if not error < 0.03:
    raise SystemExit(f"The learned law misses the force by {100 * error:.1f} %, more than 3 %.")

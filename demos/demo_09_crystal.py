# %% [markdown]
# # A crystal learned from 1,176 tests, in the solver
#
# He, Heider & Markert (2024, doi 10.48550/arXiv.2410.08214) train an LSTM on 1,176 tests of an FCC crystal and call it
# from a finite-element code, with a tangent by back-propagation. They leave open how accurate the law is, how Newton's
# method fares and what is gained. Here the experiment is repeated with those figures, and with a better cell beside the
# LSTM: `slip_systems`, sixteen learned systems that slip under one stress. It is given the elastic constants and the
# form of the flow rule; how many systems matter, how they lie, how strong they are, how they harden and how much one
# hardens another it has to find.
#
# What was asked of it before it was trained: an error below that of the LSTM; a test cut into 16 times finer steps
# within 0.5 %; the force of a bar within 3 %; no more than one Newton iteration a step more or less than the crystal.
#
# It illustrates how to:
#
# * judge learned laws on tests that they never saw: error, reading in finer steps, held strain, tangent;
# * put crystal and learned laws into the same notched bar and compare forces, Newton iterations and seconds;
# * look into a trained network for the physics of its teacher.
#
# Units: mm, MPa, s. Runs on 1 or more ranks: `mpirun -n 2 python demo_09_crystal.py`. Run time: about 1 min.
# The laws come from `make_crystal_law.py`; `--train` trains them anew, ten minutes each.

# %%
import sys
import time
from pathlib import Path

from mpi4py import MPI

import dolfinx
import numpy as np

import make_crystal_law as crystal
from pointlaw.data.respond import respond
from pointlaw.fem import Displacement, ForceTable, MechanicsProblem, gather_cells, march
from pointlaw.laws import LearnedMaterial, load_law
from pointlaw.laws.audit import relative_errors
from pointlaw.laws.audit.physics import tangent_differences
from pointlaw.laws.audit.reading import drift, refinement
from pointlaw.materials import Material
from pointlaw.materials.slip import SCHMID_SYM
from pointlaw.tensors import rotation

HERE, WORLD = Path(__file__).parent, MPI.COMM_WORLD
CELLS = {"lstm": "LSTM", "slip_systems": "slip systems"}
if "--train" in sys.argv:
    if WORLD.rank == 0:
        for cell in CELLS:
            crystal.make(cell, crystal.CELLS[cell][1], HERE / "laws", copies=cell not in crystal.FEW_WEIGHTS)
    WORLD.barrier()
laws = {label: load_law(HERE / "laws" / f"crystal_{cell}.safetensors") for cell, label in CELLS.items()}
teacher = crystal.teacher()

# %% [markdown]
# **The material point.** Copper, twelve slip systems with latent hardening, in a fixed orientation. Fresh tests: a
# quarter each uniaxial, shear, proportional (these three turn back on their line), and non-proportional. The learned
# laws do not see the time; the exponent 200 makes the crystal nearly rate independent too, and what that leaves out is
# the first figure below.
#
# An error is ‖σ − σ̂‖/‖σ‖ over a test, of the *deviator* of stress: pressure is elastic and easy.

# %%
KINDS = ("uniaxial", "shear", "proportional", "non-proportional")


def deviator(stress):
    return stress - (stress @ crystal.UNIT_TRACE)[..., None] * crystal.UNIT_TRACE


def stresses(law, tests, *, faster=1.0):
    return deviator(respond(law, tests.time / faster, tests.strain, tangent=False).stress)


def seconds_a_point(law, tests, *, points=1024, calls=5, tangent=True):
    """Return the shortest time of one evaluation in a batch, over some calls, after two steps of history."""
    few = np.resize(np.arange(tests.paths), points)
    state, took = law.initial_state(points), []
    for k in range(1, calls + 3):
        begin = time.perf_counter()
        state = law.update(tests.strain[few, k], state, tests.time[0, 1], tangent=tangent).state
        took.append(time.perf_counter() - begin)
    return min(took[2:]) / points


def judge(law, tests, reference):
    """Return the figures of one learned law on ``tests``."""
    errors = relative_errors(stresses(law, tests), reference)
    few = tests.subset(slice(0, tests.paths, 4))
    by_backprop = LearnedMaterial(law.network, law.card, folded=False)
    return {
        "errors": errors.reshape(len(KINDS), -1).mean(axis=1),
        "error": errors.mean(),
        "refined": refinement(law, few, 16).mean(),
        "drift": drift(law, few)[:, -1].mean(),
        "closed": np.median(tangent_differences(law, few)),
        "backprop": np.median(tangent_differences(by_backprop, few)),
        "us": [
            1e6 * seconds_a_point(law, tests),
            1e6 * seconds_a_point(by_backprop, tests),
            1e6 * 13 * seconds_a_point(law, tests, tangent=False),
        ],
    }


if WORLD.rank == 0:
    tests = crystal.make_tests(80, seed=4)
    reference = stresses(teacher, tests)
    rate = relative_errors(stresses(teacher, tests, faster=10.0), reference).mean()
    crystal_us = 1e6 * seconds_a_point(teacher, tests)
    figures = {name: judge(law, tests, reference) for name, law in laws.items()}
    print(f"ten times faster, the crystal's own stress changes by {rate:.1%}")
    print(f"{'error of the deviator':<22}" + "".join(f"{kind:>18}" for kind in (*KINDS, "all")))
    for name, row in figures.items():
        print(f"{name:<22}" + "".join(f"{e:>18.1%}" for e in (*row["errors"], row["error"])))
    print(
        f"{'consistency':<22}{'16 × finer steps':>18}{'drift when held':>18}{'closed form':>18}{'back-propagation':>18}"
    )
    for name, row in figures.items():
        print(f"{name:<22}{row['refined']:>18.1e}{row['drift']:>18.1e}{row['closed']:>18.1e}{row['backprop']:>18.1e}")
    print("   (the last two: gap of the tangent to central differences, median)")
    print(f"{'µs a point, tangent by':<22}{'closed form':>18}{'back-propagation':>18}{'differences':>18}")
    for name, row in figures.items():
        print(f"{name:<22}" + "".join(f"{us:>18.1f}" for us in row["us"]))
    print(f"{'crystal':<22}{crystal_us:>18.1f}")

# %% [markdown]
# **The bar.** A notched bar of 192 hexahedra, clamped at both ends; one end is pulled and pushed half the way back.


# %%
LENGTH, WIDTH, PULL = 6.0, 2.0, 0.025
TIMES, TURN = np.arange(2.0, 31.0, 2.0), 20.0


class Timed(Material):
    """A law that counts the seconds it takes."""

    def __init__(self, law):
        self.law, self.seconds = law, 0.0
        self.kinematics, self.state_layout, self.symmetric = law.kinematics, law.state_layout, law.symmetric

    def initial_state(self, points):
        return self.law.initial_state(points)

    def update(self, strain, state, dt, *, tangent=True):
        begin = time.perf_counter()
        answer = self.law.update(strain, state, dt, tangent=tangent)
        self.seconds += time.perf_counter() - begin
        return answer

    def update_into(self, strain, state, dt, out, *, tangent=True):
        begin = time.perf_counter()
        self.law.update_into(strain, state, dt, out, tangent=tangent)
        self.seconds += time.perf_counter() - begin


def notched_bar():
    corners = [[0.0, 0.0, 0.0], [LENGTH, WIDTH, 1.0]]
    mesh = dolfinx.mesh.create_box(WORLD, corners, [16, 6, 2], cell_type=dolfinx.mesh.CellType.hexahedron)
    x = mesh.geometry.x
    waist = 1.0 - 0.35 * np.exp(-(((x[:, 0] - LENGTH / 2) / 0.8) ** 2))
    x[:, 1] = WIDTH / 2 + (x[:, 1] - WIDTH / 2) * waist
    return mesh


def simulate(law, times=TIMES):
    """Return displacement and force at ``TIMES``, axial stress of the cells at the turning point, and what it took."""
    timed = Timed(law)
    end = lambda x: np.isclose(x[0], LENGTH)  # noqa: E731
    supports = [
        Displacement(lambda x: np.isclose(x[0], 0.0), x=0.0, y=0.0, z=0.0),
        Displacement(end, x=lambda t: PULL * (1.0 - abs(1.0 - t / TURN)), y=0.0, z=0.0),
    ]
    problem = MechanicsProblem(notched_bar(), timed, supports=supports, rtol=1e-8)
    table = ForceTable(end)
    pull = march(problem, times[times <= TURN], observers=[table])
    region = next(iter(problem.regions.values()))
    cells = gather_cells(problem, problem.cell_means(region, region.committed[0])[:, 0])
    push = march(problem, times[times > TURN], observers=[table])
    asked = np.isin(np.round(table.time, 9), [0.0, *TIMES])  # a step that was cut adds times of its own
    stats = {
        what: getattr(pull.stats, what) + getattr(push.stats, what)
        for what in ("steps", "cuts", "iterations", "evaluations", "seconds")
    }
    outside = max(pull.stats.out_of_range_points, push.stats.out_of_range_points) / problem.points
    stats |= {"law": WORLD.allreduce(timed.seconds, op=MPI.MAX), "outside": outside}
    return np.array(table.displacement)[asked, 0], np.array(table.force)[asked, 0], cells, stats


runs = {name: simulate(law) for name, law in {"crystal": teacher, **laws}.items()}
u, force, _, base = runs["crystal"]
# The same bar in a third of the step: the path is the same, so a law that reads paths must not care.
fine = {name: simulate(law, np.arange(1, 46) * 2.0 / 3.0)[1] for name, law in laws.items()}
spread = {name: np.linalg.norm(F - runs[name][1]) / np.linalg.norm(runs[name][1]) for name, F in fine.items()}
misses = {name: np.linalg.norm(runs[name][1] - force) / np.linalg.norm(force) for name in laws}

# %% [markdown]
# **A look inside.** Do the learned systems lie as the slip systems of the crystal? The angle is that of the energy
# ½ ε·C·ε. A system matters if its resistance lets it slip.

# %%
network, scale = laws["slip systems"].network, laws["slip systems"].card.scaling.stress[0]
systems = network.directions().detach().double().numpy()
g0, more, h0, q, n = network.law().detach().double().numpy()
root = network.unit_root().detach().double().numpy()
seen = SCHMID_SYM @ rotation(crystal.ORIENTATION).T @ root.T  # the twelve Schmid tensors in the coordinates of energy
length = np.linalg.norm(seen, axis=1)
cosine = np.abs(systems @ (seen / length[:, None]).T)
# By chance: as many random directions that leave the volume alone.
draws = np.random.default_rng(0).standard_normal((500, len(systems), 6))
draws -= (draws @ crystal.UNIT_TRACE)[..., None] * crystal.UNIT_TRACE
draws = draws @ root.T
draws /= np.linalg.norm(draws, axis=2, keepdims=True)
chance = np.abs(draws @ (seen / length[:, None]).T).max(axis=1).mean()
partner = cosine.argmax(axis=0)  # the learned system nearest to each Schmid tensor
spare = np.setdiff1d(np.arange(len(systems)), partner)
unit = scale * length.mean()  # of a resolved shear stress, MPa
found = {
    "g0": unit * np.median(g0[partner]),
    "g_sat": unit * np.median((g0 + more)[partner]),
    "h0": unit * length.mean() * np.median((h0 * (g0 + more) / more)[partner]),
    "q": q[0],
    "n": n[0],
}


# %%
def draw(path):
    """Write the figure; matplotlib belongs to the extra `plot`."""
    import matplotlib as mpl

    mpl.use("Agg")
    import matplotlib.pyplot as plt
    from matplotlib.collections import PolyCollection

    plt.rcParams.update({"font.size": 9, "axes.spines.top": False, "axes.spines.right": False})
    colours = dict(zip(runs, ("black", "tab:orange", "tab:blue"), strict=True))
    figure = plt.figure(figsize=(11.5, 8.4), layout="constrained")
    axes = figure.subplot_mosaic([["force", "crystal"], ["error", "LSTM"], ["inside", "slip systems"]])
    for name, (_, F, _, _) in runs.items():
        axes["force"].plot(1e3 * u, F, color=colours[name], ls="-" if name == "crystal" else "--", label=name)
    axes["force"].set(xlabel="displacement of the end / µm", ylabel="force / N", title="pulled, and half the way back")
    axes["force"].legend(frameon=False)
    for k, (name, row) in enumerate(figures.items()):
        place = np.arange(len(KINDS)) + 0.3 * (k - 0.5)
        axes["error"].bar(place, 100 * row["errors"], 0.28, color=colours[name], label=name)
    axes["error"].set_xticks(range(len(KINDS)), KINDS)
    axes["error"].set(ylabel="error of the deviator / %", title="80 tests that training never saw")
    order = np.concatenate([partner, spare])
    axes["inside"].imshow(cosine[order].T, cmap="Greys", vmin=0.0, vmax=1.0, aspect="auto")
    axes["inside"].set(ylabel="Schmid tensor", title="learned systems and Schmid tensors, |cosine|: black 1")
    axes["inside"].set_xlabel("learned system, below: resistance g0 / MPa")
    axes["inside"].set_xticks(range(len(order)), [f"{unit * g0[k]:.0f}" for k in order])
    axes["inside"].set_yticks([])
    limits = np.percentile(runs["crystal"][2][1], [1, 99])
    for name in runs:
        corners, stress = runs[name][2]
        top = np.isclose(corners[:, :, 2].max(axis=1), 1.0)
        faces = corners[top][:, [4, 5, 7, 6], :2]
        cells = PolyCollection(faces, array=stress[top], cmap="viridis", clim=limits, edgecolors="face", linewidths=0.2)
        axes[name].add_collection(cells)
        axes[name].set(title=f"{name}: axial stress at the turning point", aspect="equal")
        axes[name].autoscale_view()
        axes[name].axis("off")
    figure.colorbar(cells, ax=[axes[n] for n in runs], label="MPa", shrink=0.8)
    figure.savefig(path, dpi=150)
    plt.close(figure)


if WORLD.rank == 0:
    (HERE / "out").mkdir(exist_ok=True)
    draw(HERE / "out" / "demo_09_crystal.png")
    print(
        f"{'in the bar':<18}{'error':>8}{'Newton/step':>13}{'cuts':>6}"
        f"{'outside':>9}{'law s':>8}{'run s':>8}{'faster':>8}"
    )
    for name, (_, _, _, stats) in runs.items():
        miss = f"{misses[name]:.1%}" if name in misses else ""
        # A law that is called less often is not faster: seconds of one evaluation are compared.
        faster = base["law"] / base["evaluations"] / (stats["law"] / stats["evaluations"])
        print(
            f"{name:<18}{miss:>8}{stats['iterations'] / stats['steps']:>13.2f}{stats['cuts']:>6}"
            f"{stats['outside']:>9.1%}{stats['law']:>8.2f}{stats['seconds']:>8.2f}{faster:>7.1f}×"
        )
    for name, F in fine.items():
        late = np.linalg.norm(F - force) / np.linalg.norm(force)
        print(f"{name} in three times finer steps: the force moves by {spread[name]:.1e}, its error is then {late:.1%}")
    print(
        f"each Schmid tensor has a learned system of its own at a cosine of {cosine.max(axis=0).min():.5f} at least "
        f"(by chance {chance:.2f}); the other {len(spare)} need {min(g0[spare]) / np.median(g0[partner]) - 1:.0%} more "
        "stress at least"
    )
    print(f"{'':<10}" + "".join(f"{name:>9}" for name in found))
    print(f"{'learned':<10}" + "".join(f"{value:>9.2f}" for value in found.values()))
    print(f"{'crystal':<10}" + "".join(f"{crystal.COPPER[name]:>9.2f}" for name in found))

# %% [markdown]
# **What came out.** All that was asked for holds. The slip systems err by 0.4 % where the LSTM errs by 8.2 %, without
# the copies that symmetry gives and in six minutes of training; that is less than the 1.1 % by which the crystal's own
# stress changes when it is strained ten times faster, which no law here can see. Cut into 16, a test gets another
# answer from the LSTM (30 %), a held strain lets its stress drift by a sixth, and the force of the bar depends on the
# number of steps (11 %); the slip systems move by 0.13 %, not at all, and by 0.06 %. In the bar they miss the force by
# 0.2 %, the LSTM by 17 %. Newton's method takes half an iteration a step more than with the crystal, and an evaluation
# less than half of the crystal's time.
#
# Nobody told the cell how the crystal lies, nor that it has twelve systems: twelve of the sixteen became them, and four
# stayed too strong to slip. Their resistance is that of the crystal within a percent, latent hardening and exponent are
# near (1.33 of 1.4, 219 of 200). Saturation and first hardening are not (98 and 726 instead of 110 and 542 MPa): the
# hardening of the cell has another form than that of the crystal, and strains of 1.5 % show little of a saturation. So
# this is a case of finding a crystal from tests, and owes its accuracy to a teacher of the same family; sixty tests are
# enough for an error of 0.6 % (`make_crystal_law.py --cells slip_systems --tests 60 --epochs 300`). The LSTM presumes
# nothing, and pays for it.
#
# Elements in parallel (`physically_recurrent`) have no fault of the LSTM either, but err more here. A likely reason:
# their stresses add up, so that what a strain rate can reach is a zonoid, and the yield polytope of the crystal (Bishop
# & Hill 1951, doi 10.1080/14786444108561385) is none. Slips that add up under one stress make any polytope.

# %%
if WORLD.rank == 0:
    for name, row in figures.items():
        if not max(row["closed"], row["backprop"]) < 1e-6:
            raise SystemExit(f"{name}: the tangent misses central differences by more than 1e-6.")
        if not abs(runs[name][3]["iterations"] - base["iterations"]) <= base["steps"]:
            raise SystemExit(f"{name} takes more than one Newton iteration a step more or less than the crystal.")
    better = figures["slip systems"]
    if not better["error"] < figures["LSTM"]["error"]:
        raise SystemExit(f"The slip systems err by {better['error']:.1%}, no less than the LSTM.")
    if not (better["refined"] < 0.005 and better["drift"] == 0.0):
        raise SystemExit("The slip systems depend on the steps in which a test is read, or drift.")
    # The LSTM's force depends on the number of steps, so a limit on it would say nothing about the law.
    if not misses["slip systems"] < 0.03:
        raise SystemExit(f"The slip systems miss the force by {misses['slip systems']:.1%}, over 3 %.")
    if not (figures["LSTM"]["error"] < 0.09 and figures["LSTM"]["refined"] > 0.1):
        raise SystemExit("The LSTM is no longer both accurate on its own steps and wrong on finer ones.")
    if not (spread["slip systems"] < 0.02 < spread["LSTM"]):
        raise SystemExit("It is no longer the LSTM alone whose force depends on the steps of the bar.")
    if not (len(set(partner)) == 12 and cosine.max(axis=0).min() > 0.99):
        raise SystemExit("The learned systems are no longer those of the crystal.")

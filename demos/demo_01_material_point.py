# %% [markdown]
# # A material point: hysteresis, ratcheting, and mixed control
#
# A steel with a fading memory (J2 with Armstrong–Frederick hardening) is led through cycles, and the plastic strain it
# gathers under a mean stress is compared with the closed form.
#
# It shows how to:
#
# * write a law down and make a uniaxial one of it;
# * drive many paths as one batch, controlled by strain, by stress, or by some components of each;
# * read internal variables from the record.
#
# Units: MPa, strain dimensionless. Run time: about 10 s.

# %%
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np

from pointlaw.materials import J2, Uniaxial
from pointlaw.paths import LoadPath, cyclic, drive
from pointlaw.tensors import SQRT2, UNIAXIAL

OUT = Path(__file__).parent / "out"
SY, C, GAMMA = 200.0, 60e3, 400.0
steel = J2(E=200e3, nu=0.3, yield_stress=SY, C=C, gamma=GAMMA)


def through(*corners, steps):
    """Return values on straight lines through the corners; the last axis is time."""
    share = np.arange(steps * (len(corners) - 1) + 1) / steps
    return np.array([np.interp(share, range(len(corners)), c) for c in np.atleast_2d(np.transpose(corners))])


# %% [markdown]
# **Strain control.** A bar is cycled at three amplitudes, all in one batch; the loops close after the first cycle.

# %%
amplitudes = [0.002, 0.004, 0.008]
path = cyclic(np.ones((3, 1)), amplitude=amplitudes, cycles=3, steps=60, kinematics=UNIAXIAL)
loops = drive(Uniaxial(steel), path).raise_if_failed()

# %% [markdown]
# **Stress control.** Five bars are cycled by ±250 MPa about a mean stress; the plastic strain creeps on in every cycle.

# %%
CYCLES, STEPS, HALF = 3, 200, 250.0
means = np.array([0.0, 10.0, 20.0, 30.0, 40.0])
stress = through(0 * means, *[means + HALF, means - HALF] * CYCLES, means + HALF, steps=STEPS)
target = np.zeros((5, stress.shape[1], 6))
target[..., 0] = stress
ratchet = drive(steel, LoadPath(np.arange(stress.shape[1]), target, np.ones(6, bool))).raise_if_failed()
tops = ratchet.variable("plastic_strain")[:, STEPS :: 2 * STEPS, 0]
rate = tops[:, -1] - tops[:, -2]

# %% [markdown]
# **Mixed control.** A tube carries a constant axial *stress* while its shear *strain* is cycled: it grows longer.

# %%
sigma = np.array([25.0, 50.0, 100.0])
gamma = through(0.0, 0.0, *[0.006, -0.006] * CYCLES, 0.0, steps=60)
target = np.zeros((3, gamma.shape[1], 6))
target[..., 0] = through(0 * sigma, *[sigma] * (2 * CYCLES + 2), steps=60)
target[..., 5] = gamma / SQRT2  # the Mandel component is √2 ε12 and γ is 2 ε12
tube = drive(steel, LoadPath(np.arange(gamma.shape[1]), target, [1, 1, 1, 1, 1, 0])).raise_if_failed()

# %% [markdown]
# With dX = C dεᵖ − γ X |dεᵖ| integrated over a stress cycle, the plastic strain gathered in it is
# 1/γ ln[(a² − (σ_min + σ_y)²)/(a² − (σ_max − σ_y)²)] with a = C/γ (Bari & Hassan 2000,
# Int. J. Plasticity 16, 381).


# %%
def closed_form(mean):
    a2 = (C / GAMMA) ** 2
    return np.log((a2 - (mean - HALF + SY) ** 2) / (a2 - (mean + HALF - SY) ** 2)) / GAMMA


# %%
plt.rcParams.update({"font.size": 10, "axes.spines.top": False, "axes.spines.right": False, "legend.frameon": False})
colours = plt.get_cmap("viridis")(np.linspace(0.0, 0.85, 5))
figure, ((loop, creep), (growth, law)) = plt.subplots(2, 2, figsize=(10.0, 7.6), layout="constrained", dpi=150)
for k in (2, 1, 0):
    label = f"± {100 * amplitudes[k]:g} %"
    loop.plot(100 * loops.strain[k, :, 0], loops.stress[k, :, 0], color=colours[2 * k], label=label)
loop.set(title="strain control: closed loops", xlabel="axial strain (%)", ylabel="axial stress (MPa)")
for k in (0, 4):
    creep.plot(100 * ratchet.strain[k, :, 0], stress[k], color=colours[k], lw=1.2, label=f"mean {means[k]:g} MPa")
creep.set(title="stress control: ratcheting", xlabel="axial strain (%)", ylabel="axial stress (MPa)")
for k in (2, 1, 0):
    turns = np.arange(gamma.shape[1]) / 120 - 0.5  # the first half cycle puts the axial stress on
    growth.plot(turns, 100 * tube.strain[k, :, 0], color=colours[2 * k], label=f"axial stress {sigma[k]:g} MPa")
growth.set(
    title="mixed control: a twisted tube grows longer", xlabel="shear cycles", ylabel="axial strain (%)", xlim=(0, None)
)
fine = np.linspace(0.0, 42.0, 50)
law.plot(fine, 100 * closed_form(fine), color="0.4", lw=1.2, label="closed form")
law.scatter(means, 100 * rate, color=colours, s=36, zorder=3, label="driven point")
law.set(title="ratcheting rate", xlabel="mean stress (MPa)", ylabel="plastic strain per cycle (%)")
for axes in (loop, creep, growth, law):
    axes.legend(loc="upper left")
loop.set_ylim(top=480.0)
creep.set_ylim(top=420.0)
OUT.mkdir(exist_ok=True)
figure.savefig(OUT / "demo_01_material_point.png")

# %% [markdown]
# The number that must hold: the ratcheting rate at the largest mean stress. Its error is of first order in the step.

# %%
wanted = closed_form(means[-1])
print(f"plastic strain per cycle at {means[-1]:g} MPa: {100 * rate[-1]:.4f} %, closed form {100 * wanted:.4f} %")
if not abs(rate[-1] / wanted - 1.0) < 0.03:
    raise SystemExit("The ratcheting rate misses the closed form by more than 3 %.")

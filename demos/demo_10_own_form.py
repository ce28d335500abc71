# %% [markdown]
# # A law in a form of one's own: a plastic beam that swings
#
# A cantilever is struck at its tip and swings. The form is the user's (inertia, Newmark's average acceleration); only
# the stress comes from pointlaw, through a `Region`.
#
# It illustrates how to:
#
# * put a law into any variational form: stress, virtual strain, consistent linearisation, commit and rollback;
# * run it with DOLFINx' own `NonlinearProblem`;
# * check a path-dependent calculation by its energy balance.
#
# Units: mm, ms, g, MPa (so energies are mJ per mm of width). Runs on 1 or more ranks. Run time: about 10 s.

# %%
from pointlaw.fem import MPI, Region, attach  # isort: skip - MPI before DOLFINx

from pathlib import Path

import numpy as np
import ufl
from dolfinx import fem, mesh
from dolfinx.fem.petsc import NonlinearProblem

from pointlaw.materials import J2, PlaneStrain

LENGTH, HEIGHT, DENSITY = 100.0, 10.0, 7.8e-3
E, NU = 210e3, 0.3
dt, steps = 0.025, 160  # ms

beam = mesh.create_rectangle(MPI.COMM_WORLD, [[0, 0], [LENGTH, HEIGHT]], [40, 4], mesh.CellType.quadrilateral)
V = fem.functionspace(beam, ("Lagrange", 2, (2,)))
u, v, du = fem.Function(V), ufl.TestFunction(V), ufl.TrialFunction(V)
u_old, velocity, acceleration = fem.Function(V), fem.Function(V), fem.Function(V)

# %% [markdown]
# The coupling in full: a region, its stress in the form, its chain rule in the Jacobian.

# %%
region = Region(PlaneStrain(J2(E=E, nu=NU, yield_stress=250.0, H=2000.0)), u)
new_acceleration = 4 / dt**2 * (u - u_old) - 4 / dt * velocity - acceleration
F = ufl.inner(region.stress, region.virtual_strain(v)) * region.dx + DENSITY * ufl.inner(new_acceleration, v) * ufl.dx
clamp = fem.locate_dofs_geometrical(V, lambda x: np.isclose(x[0], 0.0))
problem = NonlinearProblem(
    F,
    u,
    J=region.derivative(F, u, du),
    bcs=[fem.dirichletbc(np.zeros(2), clamp, V)],
    petsc_options_prefix="swing_",
    petsc_options={"ksp_type": "preonly", "pc_type": "lu", "pc_factor_mat_solver_type": "mumps", "snes_rtol": 1e-9},
)
attach(problem, region, dt=dt)

# %% [markdown]
# Time steps as in any DOLFINx script. The work of the stress is summed from the strain increments at the points.

# %%
speed = 18.0  # m/s at the tip
velocity.interpolate(lambda x: np.stack([0 * x[0], -speed * (x[0] / LENGTH) ** 2]))
increment, mean_stress, fresh = fem.Function(V), region.stress.copy(), fem.Function(V)
kinetic = fem.form(0.5 * DENSITY * ufl.inner(velocity, velocity) * ufl.dx)
work_of_step = fem.form(ufl.inner(mean_stress, region.virtual_strain(increment)) * region.dx)
rate = fem.Expression(new_acceleration, V.element.interpolation_points)
tip = fem.locate_dofs_geometrical(V, lambda x: np.isclose(x[0], LENGTH) & np.isclose(x[1], HEIGHT))
tip = tip[tip < V.dofmap.index_map.size_local]


def total(form):
    """Return an integral over all ranks."""
    return beam.comm.allreduce(fem.assemble_scalar(form))


start, work = total(kinetic), 0.0
time, deflection, gap = [0.0], [0.0], [0.0]
for step in range(1, steps + 1):
    mean_stress.x.array[:] = 0.5 * region.stress.x.array
    problem.solve()
    if problem.solver.getConvergedReason() <= 0:
        raise SystemExit(f"Step {step} did not converge: reason {problem.solver.getConvergedReason()}.")
    region.commit()
    # Newmark's rule takes the mean acceleration of a step, so the mean stress does the work against it.
    mean_stress.x.array[:] += 0.5 * region.stress.x.array
    increment.x.array[:] = u.x.array - u_old.x.array
    work += total(work_of_step)
    fresh.interpolate(rate)
    velocity.x.array[:] += 0.5 * dt * (acceleration.x.array + fresh.x.array)
    acceleration.x.array[:], u_old.x.array[:] = fresh.x.array, u.x.array
    time.append(step * dt)
    deflection.append(beam.comm.allreduce(float(u.x.array.reshape(-1, 2)[tip, 1].sum())))
    gap.append(abs(total(kinetic) + work - start) / start)

# %% [markdown]
# Average acceleration loses no energy, so kinetic energy and work of the stress must add up to the blow. What is not
# given back was dissipated: the beam swings about a bent position.

# %%
swing = np.array(deflection[steps // 2 :])
offset = 0.5 * (swing.max() + swing.min())
if MPI.COMM_WORLD.rank == 0:
    import matplotlib as mpl

    mpl.use("Agg")
    import matplotlib.pyplot as plt

    out = Path(__file__).parent / "out"
    out.mkdir(exist_ok=True)
    figure, axis = plt.subplots(figsize=(7, 3.5), layout="constrained")
    axis.plot(time, deflection, color="black", lw=1.5)
    axis.axhline(offset, color="tab:orange", ls="--", label=f"swings about {offset:.1f} mm")
    axis.set(xlabel="time / ms", ylabel="deflection of the tip / mm", title="A plastic cantilever after a blow")
    axis.legend(frameon=False)
    figure.savefig(out / "demo_10_own_form.png", dpi=150)
    print(f"largest deflection {-min(deflection):.2f} mm, permanent {-offset:.2f} mm")
    print(f"energy balance: largest gap {max(gap):.1e} of {start:.1f} mJ/mm")

if not max(gap) < 1e-8:
    raise SystemExit(f"The energy balance has a gap of {max(gap):.1e}, more than 1e-8.")
if not offset < -0.5:
    raise SystemExit(f"The beam swings about {offset:.2f} mm: it should stay bent by more than 0.5 mm.")

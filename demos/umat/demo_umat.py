"""An Abaqus UMAT at the material point: the Fortran J2 of this folder against the built-in one.

Builds ``j2_mixed.f`` with gfortran, leads both laws along the same random strain path and compares stress, tangent and
equivalent plastic strain. Run it with ``python demo_umat.py``; it needs gfortran and a C compiler.
"""

import subprocess
import tempfile
from pathlib import Path

import numpy as np

from pointlaw.materials import J2, UMAT

here = Path(__file__).parent
E, nu, yield_stress, H, C = 210e3, 0.3, 250.0, 500.0, 20e3  # MPa

with tempfile.TemporaryDirectory() as folder:
    library = Path(folder) / "libj2_mixed.so"
    subprocess.run(["gfortran", "-shared", "-fPIC", "-O2", "-o", library, "j2_mixed.f"], cwd=here, check=True)
    umat = UMAT(library, props=[E, nu, yield_stress, H, C], nstatv=13, symmetric=True)
    built_in = J2(E, nu, yield_stress, H=H, C=C)

    points, steps = 1000, 20
    strain = np.cumsum(2e-3 * np.random.default_rng(0).uniform(-1, 1, (steps, points, 6)), axis=0)
    state, reference = umat.initial_state(points), built_in.initial_state(points)
    stress_gap = tangent_gap = 0.0
    for now in strain:
        one, two = umat.update(now, state, 1.0), built_in.update(now, reference, 1.0)
        stress_gap = max(stress_gap, np.abs(one.stress - two.stress).max() / np.abs(two.stress).max())
        tangent_gap = max(tangent_gap, np.abs(one.tangent - two.tangent).max() / np.abs(two.tangent).max())
        state, reference = one.state, two.state

p = umat.state_layout.split(state)["statev"][:, 12]
print(f"{points} points, {steps} steps, equivalent plastic strain up to {p.max():.3f}")
print(f"largest relative difference: stress {stress_gap:.1e}, tangent {tangent_gap:.1e}")
assert stress_gap < 1e-9, f"stress differs by {stress_gap:.1e} of the largest"
assert tangent_gap < 1e-9, f"tangent differs by {tangent_gap:.1e} of the largest"

"""Viscoplastic flow of a bar: stationary stress and relaxation in closed form."""

import numpy as np
import pytest

from pointlaw.materials import Perzyna, Uniaxial
from pointlaw.tensors import von_mises

E, DRAG, N = 100e3, 500.0, 4.0


def relaxed(steps):
    """Return the von Mises stress of a solid held in shear for 10 s, in this many steps."""
    law, strain = Perzyna(E, 0.3, DRAG, N), np.array([[0.0, 0.0, 0.0, 0.0, 0.0, 2e-3]])
    state = law.update(strain, law.initial_state(1), 0.0).state
    for _ in range(steps):
        answer = law.update(strain, state, 10.0 / steps)
        state = answer.state
    return von_mises(answer.stress)[0]


def test_norton_relaxation_converges_to_the_closed_form_with_first_order():
    """dq/dt = −3G (q/drag)ⁿ gives q^(1−n) = q0^(1−n) + (n−1) 3G t/dragⁿ (Betten, doi 10.1007/978-3-540-85051-9)."""
    G = E / 2.6
    start = np.sqrt(1.5) * 2.0 * G * 2e-3
    exact = (start ** (1.0 - N) + (N - 1.0) * 3.0 * G * 10.0 / DRAG**N) ** (1.0 / (1.0 - N))
    errors = np.array([relaxed(steps) - exact for steps in (200, 400, 800)])
    assert abs(errors[-1]) < 2e-3 * exact
    assert errors[:-1] / errors[1:] == pytest.approx(2.0, rel=0.05)


def test_a_bar_drawn_at_constant_rate_reaches_the_viscous_stress():
    """σ = yield_stress + drag·rate^(1/n) once the elastic strain rests (doi 10.1016/S0065-2156(08)70009-7)."""
    law = Uniaxial(Perzyna(E, 0.3, DRAG, N, yield_stress=80.0))
    state, rate = law.initial_state(1), 1e-3
    for k in range(1, 101):
        answer = law.update(np.array([[rate * k]]), state, 1.0)
        state = answer.state
    assert answer.stress[0, 0] == pytest.approx(80.0 + DRAG * rate ** (1.0 / N), rel=1e-8)

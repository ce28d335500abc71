"""J2 on non-proportional paths: against the rate equations, and against what thermodynamics and isotropy demand.

The rate equations are integrated by scipy's Runge–Kutta 8(5,3) with event location, an implementation that shares
neither algorithm nor code with the law (Simo & Hughes 1998, doi 10.1007/b98904, equations of section 2.2).
"""

import numpy as np
import pytest
from scipy.integrate import solve_ivp
from scipy.spatial.transform import Rotation

from pointlaw.materials import J2
from pointlaw.paths import StrainPath, drive, gaussian_process, random_walk
from pointlaw.tensors import rotation

E, NU, SY, H, Q, B = 200e3, 0.3, 200.0, 400.0, 60.0, 25.0
C, GAMMA = np.array([50e3, 8e3]), np.array([400.0, 60.0])
LAW = J2(E=E, nu=NU, yield_stress=SY, H=H, Q=Q, b=B, C=C, gamma=GAMMA)
G, K = E / 2 / (1 + NU), E / 3 / (1 - 2 * NU)
ONE = np.array([1.0, 1, 1, 0, 0, 0])


def dev(v):
    return v - v[:3].sum() / 3.0 * ONE


class Rates:
    """The state (deviatoric stress, p, X₁, X₂) along a segment of constant strain rate."""

    def __init__(self, rate):
        self.rate = dev(rate)

    @staticmethod
    def excess(y):
        radius = SY + H * y[6] + Q * (1 - np.exp(-B * y[6]))
        return np.sqrt(1.5) * np.linalg.norm(y[:6] - y[7:13] - y[13:19]) - radius

    def loading(self, y):
        return (y[:6] - y[7:13] - y[13:19]) @ self.rate

    def elastic(self, t, y):
        return np.concatenate([2 * G * self.rate, np.zeros(13)])

    def plastic(self, t, y):
        back = y[7:].reshape(2, 6)
        n = y[:6] - back.sum(axis=0)
        n = n / np.linalg.norm(n)
        slope = H + Q * B * np.exp(-B * y[6]) + C.sum() - np.sqrt(1.5) * GAMMA @ back @ n
        dp = np.sqrt(1.5) * 2 * G * n @ self.rate / (3 * G + slope)
        flow = np.sqrt(1.5) * dp * n
        dx = 2.0 / 3.0 * C[:, None] * flow - GAMMA[:, None] * back * dp
        return np.concatenate([2 * G * (self.rate - flow), [dp], dx.ravel()])


def integrate(corners):
    """Return the stress at the end of the polygon ``corners[k, 6]``, one unit of time a side."""
    y, at, changes = np.zeros(19), np.zeros(6), 0
    options = {"method": "DOP853", "rtol": 1e-11, "atol": 1e-11}
    for corner in corners:
        rates, t = Rates(corner - at), 0.0
        flows = Rates.excess(y) > -1e-7 and rates.loading(y) > 0.0
        while t < 1.0:
            if flows:
                event = lambda t, y, r=rates: r.loading(y)  # noqa: E731
                event.direction = -1
            else:
                event = lambda t, y: Rates.excess(y)  # noqa: E731
                event.direction = 1
            event.terminal = True
            part = solve_ivp(rates.plastic if flows else rates.elastic, (t, 1.0), y, events=event, **options)
            y, t = part.y[:, -1], part.t[-1]
            if part.status == 1:
                flows, changes = not flows, changes + 1
        at = corner
    return y[:6] + K * at[:3].sum() * ONE, y[6], changes


CORNERS = 0.006 * np.array(
    [[1, -0.4, -0.3, 0.2, 0, 0.5], [0.2, 0.3, -0.4, 0.8, 0.4, -0.3], [-0.5, 0.2, 0.1, -0.2, 0.6, 0.1]]
)


def test_backward_euler_converges_with_order_one_to_the_rate_equations():
    stress, p, changes = integrate(CORNERS)
    assert p > 0.01
    assert changes >= 1
    errors = []
    for steps in (50, 100, 200, 400):
        path = StrainPath(np.arange(4.0), np.concatenate([np.zeros((1, 6)), CORNERS])).refine(steps)
        record = drive(LAW, path).raise_if_failed()
        errors.append(np.linalg.norm(record.stress[0, -1] - stress))
    orders = np.log2(np.divide(errors[:-1], errors[1:]))
    assert errors[-1] < 2e-3 * np.linalg.norm(stress)
    assert orders[-1] == pytest.approx(1.0, abs=0.1)


def test_radial_return_is_exact_on_a_proportional_path_with_linear_hardening():
    """One step of any size, or a thousand: the same stress."""
    law = J2(E=E, nu=NU, yield_stress=SY, H=H, C=30e3)
    path = StrainPath([0.0, 1.0], np.array([np.zeros(6), CORNERS[0]]))
    one, many = drive(law, path), drive(law, path.refine(1000))
    assert many.stress[0, -1] == pytest.approx(one.stress[0, -1], abs=1e-9)


def test_rotating_the_strain_rotates_the_stress_and_the_tangent():
    path = random_walk(10, seed=1, steps=10, step_size=3e-3, bound=0.01)
    turn = rotation(Rotation.random(rng=np.random.default_rng(0)).as_matrix())
    plain = drive(LAW, path, tangent=True)
    turned = drive(LAW, StrainPath(path.times, path.strain @ turn.T), tangent=True)
    assert turned.stress == pytest.approx(plain.stress @ turn.T, abs=1e-8)
    assert turned.tangent == pytest.approx(turn @ plain.tangent @ turn.T, abs=1e-4)


def test_every_step_dissipates():
    """σ:Δε − Δψ ≥ 0 with ψ = ½ εᵉ:C:εᵉ + Σ 3/(4C) X:X + ½ H p² + Q (p + e^(−bp)/b), in each step as ψ is convex."""
    record = drive(LAW, gaussian_process(20, seed=3, steps=60, bound=0.015)).raise_if_failed()
    elastic = record.strain - record.variable("plastic_strain")
    p = record.variable("equivalent_plastic_strain")[..., 0]
    back = record.variable("backstress").reshape(20, 61, 2, 6)
    energy = 0.5 * np.einsum("nti,nti->nt", elastic, record.stress)
    energy += np.einsum("ntki,ntki,k->nt", back, back, 0.75 / C) + 0.5 * H * p**2 + Q * (p + np.exp(-B * p) / B)
    work = np.einsum("nti,nti->nt", record.stress[:, 1:], np.diff(record.strain, axis=1))
    dissipated = work - np.diff(energy, axis=1)
    assert dissipated.min() > -1e-12 * energy.max()
    # Where it flows it dissipates at least the initial yield stress times Δp.
    assert (dissipated - SY * np.diff(p, axis=1)).min() > -1e-10 * energy.max()
    assert p[:, -1].min() > 0.005


def test_reading_a_path_with_finer_steps_changes_the_stress_little():
    path = gaussian_process(10, seed=5, steps=50, bound=0.01)
    coarse, fine = drive(LAW, path), drive(LAW, path.refine(8))
    gap = np.abs(coarse.stress - fine.stress[:, ::8]).max()
    finer = np.abs(drive(LAW, path.refine(2)).stress[:, ::2] - fine.stress[:, ::8]).max()
    assert finer < 0.6 * gap
    assert gap < 0.1 * np.abs(coarse.stress).max()

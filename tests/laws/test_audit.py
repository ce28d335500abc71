"""Every figure of the audit against a material whose defect is known exactly."""

import numpy as np
import pytest

from pointlaw.data import Dataset, sample
from pointlaw.errors import InputError
from pointlaw.laws import audit
from pointlaw.laws.audit import refine
from pointlaw.materials import LinearElastic, Material, Response, StateLayout
from pointlaw.paths import gaussian_process
from pointlaw.tensors import PLANE_STRAIN, SMALL_STRAIN_3D

SPRING = LinearElastic(E=1000.0, nu=0.25)


@pytest.fixture(scope="module")
def kept_back() -> Dataset:
    return sample(SPRING, gaussian_process(6, seed=0, steps=5, bound=0.01))


class Flawed(Material):
    """The spring with one defect."""

    kinematics = SMALL_STRAIN_3D
    state_layout = StateLayout(steps=1)

    def __init__(self, *, stiffer=0.0, creep=0.0, preload=0.0, tangent=0.0, soft=0.0, fails=False):
        self.stiffer, self.creep, self.preload, self.tangent_error = stiffer, creep, preload, tangent
        self.soft, self.fails = soft, fails

    def update(self, strain, state, dt, *, tangent=True):
        steps = state + 1.0
        stress = (1 + self.stiffer) * strain @ SPRING.stiffness * (1 + self.creep * steps) + self.preload
        matrix = (1 + self.stiffer + self.tangent_error) * (SPRING.stiffness - self.soft * np.eye(6))
        if self.fails:
            stress[0] = np.nan
        return Response(stress, np.tile(matrix, (len(strain), 1, 1)) if tangent else None, steps)


def test_the_teacher_itself_is_perfect(kept_back) -> None:
    figures = audit(SPRING, kept_back)
    assert figures.error_mean == figures.error_95 == figures.tangent_error == 0.0
    assert figures.drift == figures.stress_at_rest == figures.stiffness_error == figures.failed == 0.0
    assert max(figures.refinement.values()) < 1e-14
    assert figures.tangent_check < 1e-9
    assert figures.softest == pytest.approx((1 - 2 * 0.25) / (1 + 0.25), rel=1e-12)  # 2G over 3K
    assert figures.paths == 6


def test_a_law_that_is_two_per_cent_stiffer_is_two_per_cent_off(kept_back) -> None:
    figures = audit(Flawed(stiffer=0.02), kept_back)
    for value in (figures.error_mean, figures.error_median, figures.error_95, figures.tangent_error):
        assert value == pytest.approx(0.02, rel=1e-10)
    assert figures.stiffness_error == pytest.approx(0.02, rel=1e-10)


def test_a_law_that_counts_its_steps_drifts_and_depends_on_the_reading(kept_back) -> None:
    """σ grows by 1e-4 a step: 100 held steps change it by just under 1 % of its last value."""
    creep = 1e-4
    figures = audit(Flawed(creep=creep), kept_back)
    last, largest = (np.linalg.norm(kept_back.stress, axis=2)[:, -1], None)
    law = Flawed(creep=creep)
    state, norms = law.initial_state(6), []
    for k in range(1, 106):
        answer = law.update(kept_back.strain[:, min(k, 5)], state, 1.0)
        state, norms = answer.state, [*norms, np.linalg.norm(answer.stress, axis=1)]
    largest = np.max(norms, axis=0)
    assert figures.drift == pytest.approx(np.mean(100 * creep * last / largest), rel=1e-3)
    # Read in k times finer steps, the stress of step j has seen j·(k − 1) steps more.
    more = np.arange(1, 6)
    norm = np.linalg.norm(kept_back.stress[:, 1:], axis=2)
    for factor, spread in figures.refinement.items():
        exact = np.sqrt(((creep * more * (factor - 1) * norm) ** 2).sum(1) / (((1 + creep * more) * norm) ** 2).sum(1))
        assert spread == pytest.approx(exact.mean(), rel=1e-9)


def test_a_preloaded_law_has_stress_at_rest(kept_back) -> None:
    scale = np.sqrt(np.mean(kept_back.stress**2))
    figures = audit(Flawed(preload=0.01), kept_back)
    assert figures.stress_at_rest == pytest.approx(0.01 * np.sqrt(6) / scale, rel=1e-12)


def test_a_wrong_tangent_is_found_by_differences(kept_back) -> None:
    assert audit(Flawed(tangent=0.1), kept_back).tangent_check == pytest.approx(0.1 / 1.1, rel=1e-6)


def test_a_tangent_that_is_not_positive_is_reported(kept_back) -> None:
    """Eigenvalues 2G − s and 3K − s with 2G = 800, 3K = 2000."""
    assert audit(Flawed(soft=1000.0), kept_back).softest == pytest.approx(-200.0 / 1000.0, rel=1e-12)


def test_failing_points_are_counted_and_do_not_stop_the_audit(kept_back) -> None:
    figures = audit(Flawed(fails=True), kept_back)
    assert figures.failed == kept_back.times
    assert np.isnan(figures.error_mean)


def test_a_law_of_other_kinematics_is_refused() -> None:
    data = sample(Plane(), gaussian_process(2, seed=0, steps=3, bound=0.01, kinematics=PLANE_STRAIN), tangent=False)
    with pytest.raises(InputError, match="plane_strain"):
        audit(SPRING, data)


class Plane(Material):
    kinematics = PLANE_STRAIN

    def update(self, strain, state, dt, *, tangent=True):
        return Response(strain.copy(), np.tile(np.eye(3), (len(strain), 1, 1)) if tangent else None, state.copy())


def test_refining_keeps_the_corners_to_the_last_bit(kept_back) -> None:
    time, strain = refine(kept_back.time, kept_back.strain, 16)
    np.testing.assert_array_equal(strain[:, ::16], kept_back.strain)
    np.testing.assert_array_equal(time[:, ::16], kept_back.time)
    np.testing.assert_allclose(np.diff(time, axis=1), 1 / 80, rtol=1e-12)

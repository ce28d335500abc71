import numpy as np
import pytest

from pointlaw.data import Units, respond, sample
from pointlaw.errors import InputError
from pointlaw.materials import J2, LinearElastic, Material, PlaneStrain, PointStatus, Response, Scaled
from pointlaw.paths import drive, gaussian_process
from pointlaw.tensors import PLANE_STRAIN


def test_a_sampled_law_answers_as_the_point_solver_says() -> None:
    law = PlaneStrain(J2(E=210e3, nu=0.3, yield_stress=250.0, H=2000.0))
    path = gaussian_process(5, seed=1, steps=12, bound=0.02, kinematics=PLANE_STRAIN)
    data = sample(law, path, parameters={"H": 2000.0}, seeds=[1])
    np.testing.assert_allclose(data.stress, drive(law, path).stress, rtol=1e-12, atol=1e-9)
    assert data.tangent is not None
    np.testing.assert_allclose(data.tangent[:, 0], np.tile(data.card.stiffness, (5, 1, 1)), rtol=1e-12)
    assert (data.card.teacher, data.card.seeds) == ("PlaneStrain", [1])


def test_the_card_has_the_units_of_a_wrapped_law_that_has_any() -> None:
    law, path = LinearElastic(E=1.0, nu=0.3), gaussian_process(1, seed=0, steps=2, bound=0.01)
    assert sample(Scaled(law, 2.0), path).card.units == Units()
    law.units = Units(stress="Pa", time="h")
    assert sample(Scaled(law, 2.0), path).card.units == Units(stress="Pa", time="h")
    assert sample(Scaled(law, 2.0), path, units=Units(stress="kPa")).card.units == Units(stress="kPa")


def test_steps_of_different_length_are_asked_with_their_own_dt() -> None:
    class Viscous(Material):
        kinematics = PLANE_STRAIN

        def update(self, strain, state, dt, *, tangent=True):
            answer = np.full_like(strain, dt)
            return Response(answer, np.zeros((len(strain), 3, 3)) if tangent else None, state.copy())

    time = np.array([[0.0, 1.0, 3.0], [0.0, 2.0, 2.5], [0.0, 1.0, 3.0]])
    stress = respond(Viscous(), time, np.zeros((3, 3, 3))).stress
    np.testing.assert_allclose(stress[:, 1:, 0], np.diff(time, axis=1), rtol=1e-9)


def test_paths_on_which_the_teacher_fails_are_left_out() -> None:
    class Fragile(LinearElastic):
        def update(self, strain, state, dt, *, tangent=True):
            answer = super().update(strain, state, dt, tangent=tangent)
            answer.status[np.abs(strain).max(axis=1) > 0.01] = PointStatus.FAILED
            return answer

    path = gaussian_process(20, seed=0, steps=10, bound=0.03)
    data = sample(Fragile(E=1.0, nu=0.3), path)
    assert 0 < data.paths < 20
    assert np.abs(data.strain).max() <= 0.01
    with pytest.raises(InputError, match="fails on all"):
        sample(Fragile(E=1.0, nu=0.3), path.select(np.flatnonzero(np.abs(path.strain).max(axis=(1, 2)) > 0.01)))


def test_paths_of_other_kinematics_are_refused() -> None:
    with pytest.raises(InputError, match="plane_strain"):
        sample(LinearElastic(E=1.0, nu=0.3), gaussian_process(2, seed=0, steps=3, bound=0.1, kinematics=PLANE_STRAIN))

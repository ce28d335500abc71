"""check_material catches laws that are broken on purpose, each by the name of what is broken."""

import numpy as np
import pytest

from pointlaw.errors import InputError
from pointlaw.materials import J2, LinearElastic, Material, PointStatus, Response, StateLayout
from pointlaw.paths import random_directions
from pointlaw.tensors import FINITE_STRAIN_3D, Kinematics
from pointlaw.testing import check_material

STEEL = J2(E=210e3, nu=0.3, yield_stress=250.0, H=1000.0)


class Broken(Material):
    """J2 with one thing changed by a subclass."""

    kinematics = STEEL.kinematics
    state_layout = STEEL.state_layout
    symmetric = True

    def update(self, strain, state, dt, *, tangent=True):
        return STEEL.update(strain, state, dt, tangent=tangent)


class ContinuumTangent(Broken):
    """The elastic-plastic moduli of the rate equations instead of the consistent ones."""

    def update(self, strain, state, dt, *, tangent=True):
        answer = STEEL.update(strain, state, dt, tangent=tangent)
        if tangent:
            deviator = answer.stress - answer.stress[:, :3].sum(axis=1)[:, None] / 3.0 * np.array([1, 1, 1, 0, 0, 0])
            n = deviator / np.maximum(np.linalg.norm(deviator, axis=1), 1e-300)[:, None]
            plastic = (answer.state[:, 6] > state[:, 6])[:, None, None]
            drop = 6.0 * STEEL.G**2 / (3.0 * STEEL.G + STEEL.H) * n[:, :, None] * n[:, None, :]
            answer.tangent = STEEL.stiffness - np.where(plastic, drop, 0.0)
        return answer


class ElasticTangent(Broken):
    def update(self, strain, state, dt, *, tangent=True):
        answer = STEEL.update(strain, state, dt, tangent=tangent)
        if tangent:
            answer.tangent = np.tile(STEEL.stiffness, (len(strain), 1, 1))
        return answer


class ChangesItsState(Broken):
    def update(self, strain, state, dt, *, tangent=True):
        answer = STEEL.update(strain, state, dt, tangent=tangent)
        state[...] = answer.state
        return answer


class Remembers(Broken):
    def __init__(self):
        self.calls = 0

    def update(self, strain, state, dt, *, tangent=True):
        self.calls += 1
        answer = STEEL.update(strain, state, dt, tangent=tangent)
        answer.stress *= 1.0 + 1e-6 * self.calls
        return answer


class ReusesItsArrays(Broken):
    def __init__(self):
        self.stress = np.zeros((100, 6))

    def update(self, strain, state, dt, *, tangent=True):
        answer = STEEL.update(strain, state, dt, tangent=tangent)
        self.stress[: len(strain)] = answer.stress
        answer.stress = self.stress[: len(strain)]
        return answer


class HandsBackTheState(Broken):
    state_layout = StateLayout(idle=1)

    def update(self, strain, state, dt, *, tangent=True):
        return Response(strain.copy(), np.tile(np.eye(6), (len(strain), 1, 1)) if tangent else None, state)


class LooksAtItsNeighbours(Broken):
    def update(self, strain, state, dt, *, tangent=True):
        answer = STEEL.update(strain, state, dt, tangent=tangent)
        answer.stress += 1e-3 * np.abs(strain).max()
        return answer


class AllFailTogether(Broken):
    def update(self, strain, state, dt, *, tangent=True):
        answer = STEEL.update(strain, state, dt, tangent=tangent)
        if (answer.status == PointStatus.FAILED).any():
            answer.status[:] = PointStatus.FAILED
        return answer


class HidesNaN(Broken):
    def update(self, strain, state, dt, *, tangent=True):
        return STEEL.update(np.nan_to_num(strain, nan=0.0, posinf=0.0, neginf=0.0), state, dt, tangent=tangent)


class SaysFineThroughItsDoor(Broken):
    def update_into(self, strain, state, dt, out, *, tangent=True):
        STEEL.update_into(strain, state, dt, out, tangent=tangent)
        out.status[...] = PointStatus.FINE


class RaisesOnNaN(Broken):
    def update(self, strain, state, dt, *, tangent=True):
        if not np.isfinite(strain).all():
            raise FloatingPointError("strain is not finite")
        return STEEL.update(strain, state, dt, tangent=tangent)


class Warns(Broken):
    def update(self, strain, state, dt, *, tangent=True):
        answer = STEEL.update(strain, state, dt, tangent=tangent)
        answer.stress = answer.stress + 0.0 * np.square(strain) ** 2  # overflows for 1e150
        return answer


class OtherDoorOtherAnswer(Broken):
    def update_into(self, strain, state, dt, out, *, tangent=True):
        STEEL.update_into(strain, state, dt, out, tangent=tangent)
        out.stress *= 1.001


class WritesTheUnwantedTangent(Broken):
    def update_into(self, strain, state, dt, out, *, tangent=True):
        STEEL.update_into(strain, state, dt, out, tangent=True)


class ReplacesTheArrays(Broken):
    def update_into(self, strain, state, dt, out, *, tangent=True):
        answer = STEEL.update(strain, state, dt)
        out.stress, out.state, out.status = answer.stress, answer.state, answer.status
        if tangent:
            out.tangent = answer.tangent


class AlwaysGivesATangent(Broken):
    def update(self, strain, state, dt, *, tangent=True):
        return STEEL.update(strain, state, dt)


class SinglePrecision(Broken):
    def update(self, strain, state, dt, *, tangent=True):
        answer = STEEL.update(strain, state, dt, tangent=tangent)
        answer.stress = answer.stress.astype(np.float32)
        return answer


class Transposed(Broken):
    def update(self, strain, state, dt, *, tangent=True):
        answer = STEEL.update(strain, state, dt, tangent=tangent)
        answer.stress = np.asfortranarray(answer.stress)
        return answer


class NoEmptyBatch(Broken):
    def update(self, strain, state, dt, *, tangent=True):
        strain.max()
        return STEEL.update(strain, state, dt, tangent=tangent)


class ClaimsSymmetry(Broken):
    def update(self, strain, state, dt, *, tangent=True):
        skew = np.zeros((6, 6))
        skew[0, 1] = 1e3
        answer = STEEL.update(strain, state, dt, tangent=tangent)
        answer.stress = answer.stress + strain @ skew.T
        if tangent:
            answer.tangent = answer.tangent + skew
        return answer


class Prestressed(Broken):
    def update(self, strain, state, dt, *, tangent=True):
        answer = STEEL.update(strain, state, dt, tangent=tangent)
        answer.stress = answer.stress + 5.0
        return answer


class AsksForNothing(Broken):
    def update(self, strain, state, dt, *, tangent=True):
        answer = STEEL.update(strain, state, dt, tangent=tangent)
        answer.dt_factor = 0.0
        return answer


class FailsWhenLoaded(Broken):
    def update(self, strain, state, dt, *, tangent=True):
        answer = STEEL.update(strain, state, dt, tangent=tangent)
        answer.status[np.linalg.norm(strain, axis=1) > 5e-3] = PointStatus.FAILED
        return answer


class WrongState(Broken):
    def initial_state(self, points):
        return np.zeros((points, 3))


class SharedVirginState(Broken):
    virgin = np.zeros((100, 7))

    def initial_state(self, points):
        return self.virgin[:points]


class UnknownKinematics(Broken):
    kinematics = Kinematics("small_strain_3d", 3, ("a", "b"))


@pytest.mark.parametrize(
    ("law", "caught"),
    [
        (ContinuumTangent, {"tangent, loading", "tangent, turning"}),
        (ElasticTangent, {"tangent, loading", "tangent, turning"}),
        (ChangesItsState, {"purity"}),
        (Remembers, {"purity"}),
        (ReusesItsArrays, {"purity"}),
        (HandsBackTheState, {"purity"}),
        (LooksAtItsNeighbours, {"row independence", "1e150 strain"}),
        (AllFailTogether, {"NaN strain", "infinite strain", "1e150 strain"}),
        (HidesNaN, {"NaN strain", "infinite strain"}),
        (SaysFineThroughItsDoor, {"NaN strain", "infinite strain", "1e150 strain"}),
        (RaisesOnNaN, {"absurd input"}),
        (Warns, {"absurd input"}),
        (OtherDoorOtherAnswer, {"update_into"}),
        (WritesTheUnwantedTangent, {"update_into"}),
        (ReplacesTheArrays, {"update_into"}),
        (AlwaysGivesATangent, {"without tangent"}),
        (SinglePrecision, {"shapes"}),
        (Transposed, {"shapes"}),
        (NoEmptyBatch, {"shapes"}),
        (ClaimsSymmetry, {"symmetry"}),
        (Prestressed, {"zero strain"}),
        (AsksForNothing, {"time step"}),
        (FailsWhenLoaded, {"answers along a path"}),
        (WrongState, {"declaration"}),
        (SharedVirginState, {"declaration"}),
        (UnknownKinematics, {"declaration"}),
    ],
)
def test_a_law_that_is_broken_on_purpose_is_caught_by_name(law, caught):
    report = check_material(law())
    assert caught <= {verdict.name for verdict in report.failures}
    with pytest.raises(AssertionError, match=next(iter(caught))):
        report.raise_if_failed()


@pytest.mark.parametrize("seed", range(4))
def test_a_sound_law_passes_whatever_the_seed(seed):
    check_material(STEEL, seed=seed, points=16).raise_if_failed()


def test_the_report_is_a_table_with_a_verdict_a_line():
    report = check_material(LinearElastic(E=1.0, nu=0.2))
    lines = str(report).splitlines()
    assert lines[0] == "LinearElastic (small_strain_3d (m = 6, 3D)): ok"
    assert len(lines) == 1 + len(report.verdicts)
    assert report["tangent, loading"].detail == "Taylor order round-off (linear)"
    with pytest.raises(KeyError, match="no property 'colour'"):
        report["colour"]


def test_stress_at_zero_strain_can_be_reported_without_failing():
    report = check_material(Prestressed(), zero_stress=False)
    assert report.ok
    assert not report["zero strain"].ok
    assert "note" in str(report)


def test_points_on_a_kink_are_moved_and_counted():
    """A spring with a knee exactly where the first virgin point stands: no tangent is right there."""
    place = 0.02 * 0.01 * random_directions(8, seed=0)[0, 0]

    class Knee(Material):
        kinematics = STEEL.kinematics

        def update(self, strain, state, dt, *, tangent=True):
            stress = strain * 100.0
            stress[:, 0] += 50.0 * (np.abs(strain[:, 0] - place) - np.abs(place))
            moduli = np.tile(100.0 * np.eye(6), (len(strain), 1, 1))
            moduli[:, 0, 0] += 50.0 * np.sign(strain[:, 0] - place)
            return Response(stress, moduli if tangent else None, state.copy())

    report = check_material(Knee()).raise_if_failed()
    assert "1 of 8 points moved off a kink" in report["tangent, virgin"].detail
    assert "moved" not in report["tangent, loading"].detail


def test_a_law_of_finite_strain_is_checked_around_the_identity():
    class SaintVenant(Material):
        """P = F S(E) with S = 2 G E, written out with its derivative."""

        kinematics = FINITE_STRAIN_3D
        symmetric = True

        def update(self, strain, state, dt, *, tangent=True):
            with np.errstate(over="ignore", invalid="ignore"):
                f = strain.reshape(-1, 3, 3)
                e = 0.5 * (f.swapaxes(1, 2) @ f - np.eye(3))
                stress = 2.0 * f @ e
                moduli = None
                if tangent:
                    eye = np.eye(3)
                    moduli = 2.0 * np.einsum("ik,plj->pijkl", eye, e)
                    moduli += np.einsum("pil,pkj->pijkl", f, f)
                    moduli += np.einsum("pim,pkm,jl->pijkl", f, f, eye)
                    moduli = moduli.reshape(-1, 9, 9)
            return Response(stress.reshape(-1, 9), moduli, state.copy())

    report = check_material(SaintVenant()).raise_if_failed()
    assert "Taylor order 2.0" in report["tangent, loading"].detail


@pytest.mark.parametrize("option", [{"points": 1}, {"steps": 0}])
def test_too_small_a_check_is_refused(option):
    with pytest.raises(InputError, match="at least"):
        check_material(STEEL, **option)

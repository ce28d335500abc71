import sys

import numpy as np
import pytest
from scipy.optimize import isotonic_regression
from scipy.spatial.transform import Rotation

from pointlaw.data import closest_polyconvex, polyconvex_margin
from pointlaw.errors import InputError
from pointlaw.materials.hyperelastic import cofactors

REST = np.eye(3).reshape(9)
CUBE = Rotation.create_group("O").as_matrix()


def neo_hooke(F):
    """P of ½ μ (tr C − 3) − μ ln J + ½ κ (J − 1)², polyconvex (Ball 1976, doi 10.1007/BF00279992); μ = 1, κ = 2."""
    F = F.reshape(-1, 3, 3)
    J = np.linalg.det(F)[:, None, None]
    return (F - cofactors(F) / J + 2.0 * (J - 1.0) * cofactors(F)).reshape(-1, 9)


def saint_venant(F, bulk=1.0):
    """P = F (λ tr E 1 + 2 E), which softens in compression and is not even convex along lines of rank one."""
    F = F.reshape(-1, 3, 3)
    E = 0.5 * (F.swapaxes(1, 2) @ F - np.eye(3))
    trace = np.trace(E, axis1=1, axis2=2)[:, None, None]
    return (F @ (bulk * trace * np.eye(3) + 2.0 * E)).reshape(-1, 9)


def scattered(points, size, seed=0):
    return REST + size * np.random.default_rng(seed).uniform(-1.0, 1.0, (points, 9))


def compression(points):
    F = np.tile(REST, (points, 1))
    F[:, 0] = np.linspace(0.2, 1.4, points)
    return F


def misfit(fit, P):
    return np.linalg.norm(fit.stress - P) / np.linalg.norm(P)


def test_the_stresses_of_a_polyconvex_energy_are_their_own_closest():
    F = scattered(30, 0.3)
    fit = closest_polyconvex(F, neo_hooke(F))
    assert misfit(fit, neo_hooke(F)) < 1e-4


def test_energies_lie_between_the_planes_of_neighbours_on_a_line_of_rank_one():
    F = np.tile(REST, (12, 1))
    F[:, 1] = np.linspace(0.0, 0.8, 12)
    fit = closest_polyconvex(F, neo_hooke(F))
    rise, step = np.diff(fit.energy), F[1, 1] - F[0, 1]
    assert (rise >= step * fit.stress[:-1, 1] - 1e-5).all()
    assert (rise <= step * fit.stress[1:, 1] + 1e-5).all()


def test_softening_in_compression_costs_no_less_than_the_best_monotone_curve():
    F = compression(25)
    P = saint_venant(F)
    fit = closest_polyconvex(F, P, rotations=CUBE)
    monotone = isotonic_regression(P[:, 0]).x
    least = np.linalg.norm(monotone - P[:, 0])
    assert least > 0.03 * np.linalg.norm(P)
    assert np.linalg.norm((fit.stress - P)[:, 0]) > 0.999 * least
    assert (np.diff(fit.stress[:, 0]) > -1e-5).all()


@pytest.mark.parametrize("seed", range(4))
def test_the_misfit_turns_with_the_observer(seed):
    """Each point by an observer of its own: the programme is the same, and as easily solved."""
    F = compression(12)
    Q = Rotation.random(12, rng=np.random.default_rng(seed)).as_matrix()
    turned = (Q @ F.reshape(-1, 3, 3)).reshape(-1, 9)
    here, there = closest_polyconvex(F, saint_venant(F)), closest_polyconvex(turned, saint_venant(turned))
    back = (Q.swapaxes(1, 2) @ there.stress.reshape(-1, 3, 3)).reshape(-1, 9)
    assert here.stress == pytest.approx(back, abs=2e-4)
    assert there.rounds < 2 * here.rounds


def test_a_group_asks_what_all_images_of_the_points_would_ask():
    group = np.array([np.eye(3), np.diag([-1.0, -1.0, 1.0])])
    F = np.concatenate([scattered(3, 0.35, seed=3), compression(5)])
    P = saint_venant(F)
    images = (F.reshape(-1, 1, 3, 3) @ group).reshape(-1, 9)
    stresses = (P.reshape(-1, 1, 3, 3) @ group).reshape(-1, 9)
    by_group, by_images = closest_polyconvex(F, P, rotations=group), closest_polyconvex(images, stresses)
    assert misfit(by_group, P) > 0.01
    assert misfit(by_group, P) == pytest.approx(misfit(by_images, stresses), rel=0.01)


def test_more_points_never_lower_the_misfit():
    F = compression(17)
    P = saint_venant(F)
    some = np.arange(0, 17, 2)
    fit_all, fit_some = closest_polyconvex(F, P), closest_polyconvex(F[some], P[some])
    assert np.square((fit_all.stress - P)[some]).sum() >= 0.999 * np.square(fit_some.stress - P[some]).sum()


def test_a_heavier_point_is_met_more_closely():
    F = compression(12)
    P, weight = saint_venant(F), np.ones(12)
    weight[0] = 100.0
    plain, heavy = closest_polyconvex(F, P), closest_polyconvex(F, P, weight=weight)
    assert np.linalg.norm((heavy.stress - P)[0]) < 0.5 * np.linalg.norm((plain.stress - P)[0])


@pytest.mark.parametrize(
    ("F", "P", "said"),
    [
        (REST[None], np.zeros((2, 9)), "shapes"),
        (np.zeros((0, 9)), np.zeros((0, 9)), "positive"),
        (-REST[None], np.zeros((1, 9)), "det F must be positive"),
        (REST[None], np.full((1, 9), np.nan), "P has 9 numbers that are not finite"),
    ],
)
def test_input_that_is_no_deformation_is_refused(F, P, said):
    with pytest.raises(InputError, match=said):
        closest_polyconvex(F, P)


def test_a_missing_solver_is_named(monkeypatch):
    monkeypatch.setitem(sys.modules, "clarabel", None)
    with pytest.raises(InputError, match="pip install pointlaw\\[limit\\]"):
        closest_polyconvex(REST[None], np.zeros((1, 9)))


@pytest.mark.parametrize("rotations", [-np.eye(3)[None], 2.0 * np.eye(3)[None], CUBE[1:2], np.eye(3)])
def test_rotations_that_are_no_group_are_refused(rotations):
    with pytest.raises(InputError, match="rotations"):
        closest_polyconvex(REST[None], np.zeros((1, 9)), rotations=rotations)


def test_a_negative_weight_is_refused():
    with pytest.raises(InputError, match="no weight may be negative; the least of 1 is -1"):
        closest_polyconvex(REST[None], np.zeros((1, 9)), weight=np.array([-1.0]))


def moduli(stress, F, step=1e-5):
    """Return ∂P/∂F[p, 9, 9] by central differences."""
    return np.stack([(stress(F + step * e) - stress(F - step * e)) / (2.0 * step) for e in np.eye(9)], 2)


def test_a_polyconvex_energy_has_no_negative_margin_and_loses_it_where_it_would_be_lost_by_softening():
    F = scattered(12, 0.3)
    assert polyconvex_margin(moduli(neo_hooke, F)).min() > -1e-6
    squeezed = compression(13)
    margins = polyconvex_margin(moduli(saint_venant, squeezed))
    slopes = 1.5 * squeezed[:, 0] ** 2 - 0.5  # of E11 F11, the only strain: the acoustic tensor along it, over λ + 2
    assert (margins <= 3.0 * slopes + 1e-6).all()
    assert margins[0] < -1.0
    assert margins[-1] > 0.0


def test_a_null_lagrangian_has_margin_zero_and_any_matrix_less_than_its_acoustic_tensor():
    F, B = scattered(5, 0.5), np.array([[0.3, -1.0, 0.2], [0.5, 0.1, 0.0], [-0.4, 0.8, 2.0]])

    def null(F):
        f = F.reshape(-1, 3, 3)
        step = np.eye(9).reshape(9, 3, 3)
        of_cofactor = [np.sum(B * (cofactors(f + e) - cofactors(f - e)), (1, 2)) / 2.0 for e in step]
        return np.stack(of_cofactor, 1) + 0.7 * cofactors(f).reshape(-1, 9)

    assert np.abs(polyconvex_margin(moduli(null, F))).max() < 1e-5
    rng = np.random.default_rng(0)
    any_matrix = rng.standard_normal((4, 9, 9))
    any_matrix += any_matrix.swapaxes(1, 2)
    n = rng.standard_normal((2000, 3))
    n /= np.linalg.norm(n, axis=1, keepdims=True)
    acoustic = np.einsum("pkilj,ni,nj->pnkl", any_matrix.reshape(-1, 3, 3, 3, 3), n, n)
    assert (polyconvex_margin(any_matrix) <= np.linalg.eigvalsh(acoustic)[..., 0].min(1) + 1e-9).all()


@pytest.mark.parametrize("wrong", [np.eye(9), np.full((1, 9, 9), np.nan)], ids=["one matrix", "not finite"])
def test_moduli_that_are_none_are_refused(wrong):
    with pytest.raises(InputError, match="moduli"):
        polyconvex_margin(wrong)

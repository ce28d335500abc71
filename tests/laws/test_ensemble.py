"""Ensembles: the mean answers, the spread is a grade, a folder with a manifest keeps them exactly."""

import itertools
import json

import numpy as np
import pytest
import torch
from pydantic import ValidationError

from pointlaw.data import Dataset, Units
from pointlaw.errors import InputError, LawFileError
from pointlaw.laws import LearnedMaterial, make_law, save_law
from pointlaw.laws.ensemble import (
    MANIFEST,
    Calibration,
    Ensemble,
    calibrated,
    load_ensemble,
    rank_correlation,
    save_ensemble,
    spreads_along,
)
from pointlaw.laws.guard import Guarded
from pointlaw.materials import J2
from pointlaw.networks import build
from pointlaw.paths import StrainPath, drive
from pointlaw.tensors import PLANE_STRAIN
from pointlaw.testing import check_material


def member(law: LearnedMaterial, paths: tuple[Dataset, Dataset], seed: int) -> LearnedMaterial:
    """The small law with other weights: its prior is that of the small law, the rest is chance."""
    torch.manual_seed(seed)
    network = build(law.card.architecture, law.card.config)
    network.load_state_dict({**law.network.state_dict(), "head.weight": network.state_dict()["head.weight"]})
    training, kept_back = paths
    return make_law(network, law.card.scaling, name=f"small #{seed}", training=training, kept_back=kept_back)


@pytest.fixture(scope="module")
def ensemble(law, paths) -> Ensemble:
    return Ensemble([member(law, paths, seed) for seed in range(3)])


def test_an_ensemble_keeps_the_contract_of_a_material(ensemble) -> None:
    check_material(ensemble, amplitude=0.005).raise_if_failed()


def test_laws_that_are_the_same_have_no_spread_at_all_and_answer_as_one(law, paths) -> None:
    same = Ensemble([law, law, law])
    path = StrainPath(paths[1].time[0], paths[1].strain, PLANE_STRAIN)
    together, alone = drive(same, path, tangent=True), drive(law, path, tangent=True)
    assert (same.spread(together.state[:, -1]) == 0.0).all()
    np.testing.assert_array_equal(together.stress, alone.stress)
    np.testing.assert_array_equal(together.tangent, alone.tangent)


def test_stress_and_tangent_are_the_means_and_the_spread_is_the_standard_deviation(ensemble, rng) -> None:
    strain = rng.normal(0.0, 0.004, (7, 3))
    answer = ensemble.update(strain, ensemble.initial_state(7), 1.0)
    members = [law.update(strain, law.initial_state(7), 1.0) for law in ensemble.laws]
    stress = np.array([m.stress for m in members])
    np.testing.assert_allclose(answer.stress, stress.mean(axis=0), rtol=1e-10)
    np.testing.assert_allclose(answer.tangent, np.mean([m.tangent for m in members], axis=0), rtol=1e-10)
    deviation = np.linalg.norm(stress.std(axis=0, ddof=1), axis=1) / ensemble.scale
    np.testing.assert_allclose(ensemble.spread(answer.state), deviation, rtol=1e-10)


def test_one_member_that_fails_or_is_out_of_range_decides_the_status(law, ensemble) -> None:
    far = np.array(law.card.envelope.strain_max) * 1.5
    strain = np.array([0.0 * far, far, np.nan * far])
    assert ensemble.update(strain, ensemble.initial_state(3), 1.0).status.tolist() == [1, 0, -1]


def test_the_spread_is_a_grade_that_calls_the_chosen_share_of_kept_back_points_outside(ensemble, paths) -> None:
    own = calibrated(ensemble, paths[1], beyond=0.1)
    spread = spreads_along(own, paths[1]).spread
    grade = spread / own.calibration.usual
    assert np.mean(grade > 1.0) == pytest.approx(0.1, abs=0.03)
    guarded = Guarded(own, policy="none")
    record = drive(guarded, StrainPath(paths[1].time[0], paths[1].strain, PLANE_STRAIN))
    largest = record.state[:, -1, guarded.state_layout["largest_grade"]][:, 0]
    np.testing.assert_allclose(largest, grade.max(axis=1), rtol=1e-12)


def test_a_path_counts_in_the_calibration_until_a_law_fails_on_it(ensemble, paths, monkeypatch) -> None:
    member, times = ensemble.laws[0], []

    def fails_on_path_2(strain, state, dt, *, tangent=True):
        answer = type(member).update(member, strain, state, dt, tangent=tangent)
        times.append(dt)
        answer.status[2 : 3 if len(times) == 4 else 2] = -1
        return answer

    monkeypatch.setattr(member, "update", fails_on_path_2)
    own = calibrated(ensemble, paths[1])
    steps = paths[1].times - 1
    assert own.calibration.points == paths[1].paths * steps - (steps - 3)  # the fourth step of path 2 and what follows


def test_the_calibration_tells_how_spread_and_error_go_together(ensemble, paths) -> None:
    along = spreads_along(ensemble, paths[1])
    figures = calibrated(ensemble, paths[1]).calibration
    assert figures.points == along.error.size
    assert figures.error == pytest.approx(np.sqrt(np.mean(along.error**2)))
    # Jensen: the mean stress is never further from the truth than the members are on (quadratic) average.
    assert (along.error**2 <= np.mean(along.members**2, axis=0) * (1 + 1e-12)).all()
    assert -1.0 <= figures.rank_correlation <= 1.0


def failing(ensemble, calls, monkeypatch) -> None:
    """Let the second law of an ensemble answer NaN at its first point in chosen calls, counted from 0."""
    law, count = ensemble.laws[1], itertools.count()
    update = law.update

    def sick(*args, **options):
        answer = update(*args, **options)
        if calls(next(count)):
            answer.stress[0] = np.nan
        return answer

    monkeypatch.setattr(law, "update", sick)


def test_points_where_a_law_fails_are_left_out_of_the_calibration(ensemble, paths, monkeypatch, caplog) -> None:
    whole = calibrated(ensemble, paths[1]).calibration
    failing(ensemble, lambda call: call == 2, monkeypatch)
    figures = calibrated(ensemble, paths[1]).calibration
    missing = whole.points - figures.points
    assert missing == paths[1].times - 1 - 2  # of the path that fails in its third step
    assert figures.usual == pytest.approx(whole.usual, rel=0.2)
    assert f"fails at {missing} of {whole.points} kept-back points; left out" in caplog.text


def test_an_ensemble_that_fails_everywhere_is_not_calibrated(ensemble, paths, monkeypatch) -> None:
    one = paths[1].subset(slice(0, 1))
    failing(ensemble, lambda call: True, monkeypatch)
    with pytest.raises(InputError, match=f"fails at each of the {one.times - 1} kept-back points; leave out the law"):
        calibrated(ensemble, one)


@pytest.mark.parametrize("usual", [float("nan"), float("inf"), 0.0])
def test_a_usual_spread_that_is_no_positive_number_is_refused(ensemble, paths, tmp_path, usual) -> None:
    own = calibrated(ensemble, paths[1])
    with pytest.raises(ValidationError, match="usual"):
        Calibration(**{**own.calibration.model_dump(), "usual": usual})
    save_ensemble(tmp_path, own)
    content = json.loads((tmp_path / MANIFEST).read_text())
    content["calibration"]["usual"] = usual
    (tmp_path / MANIFEST).write_text(json.dumps(content))
    with pytest.raises(LawFileError, match=r"cannot be used: calibration\.usual: Input should be"):
        load_ensemble(tmp_path)
    if usual:  # nor is one written
        wrong = own.calibration.model_copy(update={"usual": usual})
        with pytest.raises(ValueError, match="Out of range float"):
            save_ensemble(tmp_path / "new", Ensemble(own.laws, calibration=wrong))


@pytest.mark.parametrize("scale", [float("nan"), float("inf"), 0.0])
def test_a_scale_that_is_no_positive_number_is_refused(ensemble, scale) -> None:
    with pytest.raises(InputError, match="must be > 0 and finite"):
        Ensemble(ensemble.laws, scale=scale)


def test_the_rank_correlation_is_spearmans() -> None:
    one = np.array([1.0, 2.0, 3.0, 4.0, 5.0])
    assert rank_correlation(one, np.exp(one)) == pytest.approx(1.0)
    assert rank_correlation(one, -(one**3)) == pytest.approx(-1.0)
    assert rank_correlation(one, np.array([2.0, 1.0, 4.0, 3.0, 5.0])) == pytest.approx(1 - 6 * 4 / (5 * 24))
    assert rank_correlation(one, np.array([1.0, 1.0, 2.0, 2.0, 2.0])) == pytest.approx(np.sqrt(3) / 2)
    assert rank_correlation(one, np.ones(5)) == 0.0


def test_a_folder_keeps_an_ensemble_exactly(ensemble, paths, tmp_path, rng) -> None:
    own = calibrated(ensemble, paths[1])
    save_ensemble(tmp_path / "five", own)
    again = load_ensemble(tmp_path / "five")
    strain = rng.normal(0.0, 0.004, (7, 3))
    for name in ("stress", "tangent", "state"):
        mine, theirs = (getattr(e.update(strain, e.initial_state(7), 1.0), name) for e in (own, again))
        np.testing.assert_array_equal(mine, theirs)
    assert again.calibration == own.calibration


def test_a_folder_that_is_not_what_was_saved_is_refused(law, ensemble, tmp_path) -> None:
    save_ensemble(tmp_path, ensemble)
    save_law(tmp_path / "law_1.safetensors", law)
    with pytest.raises(LawFileError, match="it was replaced"):
        load_ensemble(tmp_path)
    (tmp_path / "law_1.safetensors").unlink()
    with pytest.raises(LawFileError, match="no law file"):
        load_ensemble(tmp_path)
    content = json.loads((tmp_path / MANIFEST).read_text())
    content["members"][0]["file"] = "../elsewhere.safetensors"
    (tmp_path / MANIFEST).write_text(json.dumps(content))
    with pytest.raises(LawFileError, match="lie beside the manifest"):
        load_ensemble(tmp_path)
    (tmp_path / MANIFEST).write_text("{")
    with pytest.raises(LawFileError, match="cannot be used"):
        load_ensemble(tmp_path)
    with pytest.raises(LawFileError, match=f"{MANIFEST} is missing"):
        load_ensemble(tmp_path / "nowhere")


def test_wrong_members_get_a_sentence(law) -> None:
    with pytest.raises(InputError, match="two laws or more"):
        Ensemble([law])
    with pytest.raises(InputError, match="share their kinematics"):
        Ensemble([law, J2(E=1.0, nu=0.3, yield_stress=1.0)])
    other = LearnedMaterial(law.network, law.card.model_copy(update={"units": Units(stress="Pa")}))
    with pytest.raises(InputError, match=r"first law of the ensemble are \(stress MPa, .* those of law 1 \(stress Pa"):
        Ensemble([law, other])


def test_an_ensemble_is_calibrated_in_its_own_units_only(ensemble, paths) -> None:
    kept_back = paths[1]
    card = kept_back.card.model_copy(update={"units": Units(stress="Pa")})
    with pytest.raises(InputError, match=r"ensemble are \(stress MPa, .* those of the paths \(stress Pa"):
        calibrated(ensemble, Dataset(**kept_back.arrays, card=card))

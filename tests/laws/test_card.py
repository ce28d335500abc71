"""The card: what older files hold, what is not finite, and what it must not lack."""

import json
from pathlib import Path

import numpy as np
import pydantic
import pytest

from pointlaw.errors import InputError, LawFileError
from pointlaw.laws import (
    Envelope,
    Figures,
    LawCard,
    LearnedMaterial,
    audit_again,
    load_law,
    read_card,
    save_law,
)

NEW = ("tangent_median", "tangent_95", "refinement_stress", "stress_paths", "undriven", "soft_share", "cycle_work",
       "cycle_loss", "rotation", "dissipation")  # fmt: skip


def test_a_card_from_before_the_whole_audit_is_read_and_says_what_it_does_not_know(law) -> None:
    raw = json.loads(law.card.model_dump_json())
    for name in NEW:
        del raw["figures"][name]
    card = LawCard.model_validate(raw)
    assert card.figures.error_mean == law.card.figures.error_mean
    assert all(getattr(card.figures, name) is None for name in NEW)


def test_figures_that_are_not_finite_survive_the_file(law, tmp_path: Path) -> None:
    broken = law.card.figures.model_copy(update={"error_mean": float("nan"), "drift": float("inf")})
    card = law.card.model_copy(update={"figures": broken})
    save_law(tmp_path / "law.safetensors", LearnedMaterial(law.network, card))
    figures = load_law(tmp_path / "law.safetensors").card.figures
    assert np.isnan(figures.error_mean)
    assert np.isinf(figures.drift)
    json.loads(card.model_dump_json(), parse_constant=lambda name: pytest.fail(f"{name} is not JSON"))


def test_no_law_ships_without_its_accuracy(law, tmp_path: Path) -> None:
    unknown = law.card.figures.model_copy(update={"error_mean": None})
    card = law.card.model_copy(update={"figures": unknown})
    save_law(tmp_path / "law.safetensors", LearnedMaterial(law.network, card))
    with pytest.raises(LawFileError, match="figures hold no accuracy"):
        read_card(tmp_path / "law.safetensors")


def test_an_old_card_is_brought_up_to_date_and_nothing_else_changes(law, paths, tmp_path: Path) -> None:
    unknown = dict.fromkeys(NEW) | {"drift": 9.0}
    old = LearnedMaterial(
        law.network, law.card.model_copy(update={"figures": law.card.figures.model_copy(update=unknown)})
    )
    save_law(tmp_path / "old.safetensors", old)
    save_law(tmp_path / "new.safetensors", audit_again(load_law(tmp_path / "old.safetensors"), *paths))
    new = load_law(tmp_path / "new.safetensors")
    assert new.card == law.card  # as make_law wrote it, bit by bit
    for (name, before), after in zip(law.network.state_dict().items(), new.network.state_dict().values(), strict=True):
        assert before.dtype == after.dtype, name
        assert before.equal(after), name


def test_an_old_card_stays_as_it_is_when_its_paths_are_not_there(law, paths) -> None:
    training, kept_back = paths
    with pytest.raises(InputError, match="names other training paths: sha256"):
        audit_again(law, kept_back, kept_back)
    with pytest.raises(InputError, match="names other kept-back paths: sha256"):
        audit_again(law, training, kept_back.subset(slice(0, 4)))


def test_an_unknown_figure_is_refused(law) -> None:
    with pytest.raises(pydantic.ValidationError, match="beauty"):
        Figures.model_validate({**law.card.figures.model_dump(), "beauty": 1.0})


def test_the_envelope_of_a_dataset_is_its_box_steps_and_arc_length(paths) -> None:
    training, _ = paths
    envelope = Envelope.of(training)
    increments = np.linalg.norm(np.diff(training.strain, axis=1), axis=2)
    np.testing.assert_array_equal(envelope.strain_min, training.strain.min(axis=(0, 1)))
    np.testing.assert_array_equal(envelope.strain_max, training.strain.max(axis=(0, 1)))
    assert envelope.arc_length == pytest.approx(increments.sum(axis=1).max())
    assert (envelope.step_min, envelope.step_max) == (increments.min(), increments.max())
    assert (envelope.steps, envelope.paths) == (8, 12)

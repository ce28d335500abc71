"""From a trained network to a law: write its card, with figures measured on paths that training never saw."""

import platform
from typing import Any, Literal

import numpy as np
import torch

from pointlaw import __version__
from pointlaw.data import Dataset, Feature, Scaling
from pointlaw.errors import InputError
from pointlaw.laws.audit import audit
from pointlaw.laws.card import Envelope, Figures, LawCard, Probe, Provenance
from pointlaw.laws.file import ask
from pointlaw.laws.learned import LearnedMaterial
from pointlaw.networks import Network

PROBE_STEPS = 4


def make_law(
    network: Network | torch.jit.ScriptModule,
    scaling: Scaling,
    *,
    name: str,
    training: Dataset,
    kept_back: Dataset,
    features: tuple[Feature, ...] = ("strain",),
    precision: Literal["float64", "float32"] = "float64",
    seed: int | None = None,
    settings: dict[str, Any] | None = None,
    config: dict[str, Any] | None = None,
) -> LearnedMaterial:
    """Return the law that ``network`` is, audited on ``kept_back``, ready for ``save_law``.

    Parameters
    ----------
    network : Network or torch.jit.ScriptModule
        Trained on scaled features; a foreign script needs its ``config`` with ``state_size``.
    scaling : Scaling
        Scales it was trained with.
    name : str
        What people will call the law.
    training : Dataset
        Paths it was trained on: they give the envelope and the hash.
    kept_back : Dataset
        Paths it never saw: they give the figures.
    features, precision
        See :class:`LawCard`.
    seed, settings
        Seed and configuration of the training, for the record.

    Notes
    -----
    Raises ``InputError`` when a kept-back path is a training path or in other units, or the law answers each with a
    number that is not finite.
    """
    check_apart(training, kept_back, features)
    ours = isinstance(network, Network)
    draft = LawCard(
        name=name,
        architecture=network.architecture if ours else "torchscript",
        config=network.config if ours else dict(config or {}),
        kinematics=training.card.kinematics,
        features=features,
        scaling=scaling,
        precision=precision,
        units=training.card.units,
        envelope=Envelope.of(training),
        figures=_UNKNOWN,
        provenance=Provenance(
            teacher=training.card.teacher,
            parameters=training.card.parameters,
            training_sha256=training.sha256,
            kept_back_sha256=kept_back.sha256,
            seed=seed,
            training=settings or {},
            versions={"pointlaw": __version__, "torch": torch.__version__, "python": platform.python_version()},
        ),
        probe=Probe(dt=1.0, strain=[], stress=[], tangent=[]),
    )
    law = LearnedMaterial(network, draft)
    figures = audit(law, kept_back)
    return LearnedMaterial(network, draft.model_copy(update={"figures": figures, "probe": _probe(law, kept_back)}))


def audit_again(law: LearnedMaterial, training: Dataset, kept_back: Dataset) -> LearnedMaterial:
    """Return ``law`` with the figures and the envelope that are measured today: an old card brought up to date.

    Weights, probe and provenance stay. ``training`` and ``kept_back`` must be the paths that the card names by their
    hashes, so that the card goes on telling the truth. Raises ``InputError`` when they are others, or when the card
    names none. A density is not carried over: ``with_density`` makes a new one.
    """
    come = law.card.provenance
    for what, data, known in (
        ("training", training, come.training_sha256),
        ("kept-back", kept_back, come.kept_back_sha256),
    ):
        if data.sha256 != known:
            raise InputError(
                f"The card of '{law.card.name}' names other {what} paths: sha256 {known[:12] or 'unknown'}, not "
                f"{data.sha256[:12]}; give those that it was made with."
            )
    new = {"envelope": Envelope.of(training), "figures": audit(law, kept_back)}
    return LearnedMaterial(law.network, law.card.model_copy(update=new), block=law.block)


_UNKNOWN = Figures(
    paths=0, error_mean=0, error_median=0, error_95=0, tangent_error=None, refinement={}, drift=0, stress_at_rest=0,
    stiffness_error=None, tangent_check=0, softest=0, failed=0,
)  # fmt: skip


def _probe(law: LearnedMaterial, kept_back: Dataset) -> Probe:
    """Return question and answer along some steps of the first kept-back path where all answers are finite."""
    steps = np.linspace(1, kept_back.times - 1, PROBE_STEPS).astype(int)
    for time, strain in zip(kept_back.time, kept_back.strain, strict=True):
        answer = ask(law, strain[steps].tolist(), float(np.diff(time).mean()))
        if answer.finite:
            return answer
    raise InputError(
        f"The law '{law.card.name}' answers each of the {kept_back.paths} kept-back paths with numbers that are not "
        "finite, and a law file needs a probe; train it otherwise, or on smaller strains."
    )


def check_apart(training: Dataset, kept_back: Dataset, features: tuple[Feature, ...]) -> None:
    """Raise ``InputError`` if a law with these ``features`` cannot tell a kept-back path from a training path.

    One that sees ``dt`` tells paths of the same strains apart by the lengths of their steps.
    """
    seen = set(_histories(training, features))
    shared = sum(history in seen for history in _histories(kept_back, features))
    if shared:
        raise InputError(f"{shared} of {kept_back.paths} kept-back paths are training paths; figures need unseen ones.")


def _histories(dataset: Dataset, features: tuple[Feature, ...]) -> list[bytes]:
    """Return what a law sees of each path."""
    steps = np.diff(dataset.time, axis=1) if "dt" in features else np.zeros((dataset.paths, 0))
    return [path.tobytes() + own.tobytes() for path, own in zip(dataset.strain, steps, strict=True)]

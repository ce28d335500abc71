"""How far a law's answers are from its teacher's: stress and tangent, path by path and step by step.

Everything is relative to the teacher's own size, so that one number means the same for a steel and for a foam. Where
that is nothing but round-off, a small share of its typical size stands for it.
"""

import numpy as np

from pointlaw.data import Answers, Dataset, respond
from pointlaw.materials import Material
from pointlaw.tensors import Array

FLOOR = 1e-4  # share of the typical size (root mean square) that stands for all that is smaller, here and in training


def norm(array: Array, axes: int) -> Array:
    """Return the Euclidean norm over the last ``axes`` axes."""
    return np.sqrt(np.sum(array**2, axis=tuple(range(-axes, 0))))


def ratio(part: Array, whole: Array, floor: float = 0.0) -> Array:
    """Return ``part / whole``; the share ``floor`` of the root mean square of ``whole`` stands for all that is smaller.

    Nothing is divided by zero.
    """
    finite = whole[np.isfinite(whole)]  # one answer that is not must not spoil the others
    typical = np.sqrt(np.mean(finite**2)) if finite.size else 0.0
    return part / np.maximum(whole, max(floor * typical, np.finfo(float).tiny))


def relative_errors(stress: Array, reference: Array) -> Array:
    """Return ‖σ − σ̂‖ / ‖σ̂‖ of each path, ``[n]``; both are ``[n, t, m]``.

    A path whose ‖σ̂‖ is below ``FLOOR`` of the typical one is measured against that, as in the training objective.
    """
    return ratio(norm(stress - reference, 2), norm(reference, 2), FLOOR)


def tangent_errors(answers: Answers, dataset: Dataset) -> Array | None:
    """Return ‖C − Ĉ‖ / ‖Ĉ‖ of every step, ``[n, t − 1]``; ``None`` if law or data have no tangent."""
    if dataset.tangent is None or answers.tangent is None:
        return None
    teacher = dataset.tangent[:, 1:]
    return ratio(norm(answers.tangent[:, 1:] - teacher, 2), norm(teacher, 2), FLOOR)


def stiffness_error(material: Material, dataset: Dataset) -> float | None:
    """Return ‖C(0) − C₀‖ / ‖C₀‖ against the teacher's tangent at rest; ``None`` if that is not known."""
    if dataset.card.stiffness is None:
        return None
    teacher = np.array(dataset.card.stiffness)
    own = material.update(material.kinematics.reference[None], material.initial_state(1), mean_step(dataset)).tangent
    return None if own is None else float(np.linalg.norm(own[0] - teacher) / np.linalg.norm(teacher))


def stress_at_rest(material: Material, dataset: Dataset) -> float:
    """Return the largest norm of the stress in ten steps of no strain, over the root mean square of the data's."""
    time = mean_step(dataset) * np.arange(11.0)
    strain = np.tile(material.kinematics.reference, (1, len(time), 1))
    scale = float(np.sqrt(np.mean(dataset.stress**2))) or 1.0
    return float(norm(respond(material, time, strain).stress, 1).max()) / scale


def mean_step(dataset: Dataset) -> float:
    """Return the mean step length of the data, unit of time."""
    return float(np.diff(dataset.time, axis=1).mean())


def single_precision(material: Material) -> bool:
    """Whether the law computes in float32, so that differences and Newton steps cannot be as fine."""
    return getattr(getattr(material, "card", None), "precision", "float64") == "float32"

"""Measure a law on paths it was not trained on: the figures of its card.

Accuracy is the first figure, but a law that meets it may still fail in a solver: it may answer otherwise when the
same path is read in finer steps, creep when the strain is held, or have a tangent that does not belong to its
stress. Each of these is measured here, for a learned law or any other material.
"""

import numpy as np

from pointlaw.data import Dataset, respond
from pointlaw.errors import InputError
from pointlaw.laws.card import Figures
from pointlaw.materials import Material, PointStatus
from pointlaw.tensors import Array

REFINEMENTS = (2, 4, 8, 16)
HELD_STEPS = 100


def audit(material: Material, kept_back: Dataset, *, paths: int = 100) -> Figures:
    """Return the figures of ``material`` on ``kept_back``.

    Accuracy is measured on all paths; refinement, drift and tangent checks on the first ``paths`` of them.
    Raises ``InputError`` when the kinematics differ.
    """
    if material.kinematics != kept_back.kinematics:
        raise InputError(f"The law takes {material.kinematics}; the kept-back paths are {kept_back.kinematics}.")
    with np.errstate(all="ignore"):  # a law that fails gets its figures too
        answers = respond(material, kept_back.time, kept_back.strain, tangent=True)
        errors = relative_errors(answers.stress, kept_back.stress)
        tangent_error = None
        if kept_back.tangent is not None and answers.tangent is not None:
            tangent_error = _mean(
                _norm(answers.tangent[:, 1:] - kept_back.tangent[:, 1:], 2) / _norm(kept_back.tangent[:, 1:], 2)
            )
        few = kept_back.subset(slice(paths))
        return Figures(
            paths=kept_back.paths,
            error_mean=_mean(errors),
            error_median=float(np.median(errors)),
            error_95=float(np.quantile(errors, 0.95)),
            tangent_error=tangent_error,
            refinement={factor: refinement_spread(material, few, factor) for factor in REFINEMENTS},
            drift=held_drift(material, few),
            stress_at_rest=_stress_at_rest(material, kept_back),
            stiffness_error=_stiffness_error(material, kept_back),
            tangent_check=tangent_check(material, few),
            softest=_softest(answers.tangent) if answers.tangent is not None else float("nan"),
            failed=int(np.count_nonzero(answers.status == PointStatus.FAILED)),
        )


def relative_errors(stress: Array, reference: Array) -> Array:
    """Return ‖σ − σ̂‖ / ‖σ̂‖ of each path, ``[n]``; both are ``[n, t, m]``."""
    return _norm(stress - reference, 2) / np.maximum(_norm(reference, 2), np.finfo(float).tiny)


def refine(time: Array, strain: Array, factor: int) -> tuple[Array, Array]:
    """Cut every step of ``time[n, t]``, ``strain[n, t, m]`` into ``factor`` equal ones."""
    t = time.shape[1]
    fine = np.linspace(0.0, t - 1.0, (t - 1) * factor + 1)
    left = np.minimum(fine.astype(int), t - 2)
    weight = fine - left
    return (
        time[:, left] * (1 - weight) + time[:, left + 1] * weight,
        strain[:, left] * (1 - weight)[:, None] + strain[:, left + 1] * weight[:, None],
    )


def refinement_spread(material: Material, dataset: Dataset, factor: int) -> float:
    """Return the mean relative change of a path's stress when it is read in ``factor`` times finer steps."""
    coarse = respond(material, dataset.time, dataset.strain).stress
    fine = respond(material, *refine(dataset.time, dataset.strain, factor)).stress[:, ::factor]
    return _mean(relative_errors(fine, coarse))


def held_drift(material: Material, dataset: Dataset) -> float:
    """Return the mean change of stress in 100 steps of held strain over the largest stress of the path."""
    dt = dataset.time[:, -1:] - dataset.time[:, -2:-1]
    later = dataset.time[:, -1:] + dt * np.arange(1, HELD_STEPS + 1)
    time = np.concatenate([dataset.time, later], axis=1)
    strain = np.concatenate([dataset.strain, np.repeat(dataset.strain[:, -1:], HELD_STEPS, axis=1)], axis=1)
    stress = respond(material, time, strain).stress
    change = _norm(stress[:, -1] - stress[:, dataset.times - 1], 1)
    return _mean(change / np.maximum(_norm(stress, 1, keep=1).max(axis=1), np.finfo(float).tiny))


def tangent_check(material: Material, dataset: Dataset, *, points: int = 20) -> float:
    """Return the largest relative difference of the tangent from central differences, late in ``points`` paths."""
    few = dataset.subset(slice(points))
    last = few.times - 1
    half = last // 2  # the state after half the path, then the next step
    state = material.initial_state(few.paths)
    if half:
        state = respond(material, few.time[:, : half + 1], few.strain[:, : half + 1]).state
    dt, strain = float(np.diff(few.time, axis=1).mean()), few.strain[:, half + 1]
    tangent = material.update(strain, state, dt).tangent
    if tangent is None:
        return float("nan")
    differences = np.empty_like(tangent)
    step = 1e-5 * float(np.abs(strain - few.kinematics.reference).max() or 1.0)
    for m in range(strain.shape[1]):
        shift = np.zeros(strain.shape[1])
        shift[m] = step
        plus = material.update(strain + shift, state, dt, tangent=False).stress
        minus = material.update(strain - shift, state, dt, tangent=False).stress
        differences[:, :, m] = (plus - minus) / (2 * step)
    return float(np.max(_norm(tangent - differences, 2) / _norm(tangent, 2)))


def _stress_at_rest(material: Material, dataset: Dataset) -> float:
    dt = float(np.diff(dataset.time, axis=1).mean())
    time = dt * np.arange(11.0)
    strain = np.tile(material.kinematics.reference, (1, len(time), 1))
    scale = float(np.sqrt(np.mean(dataset.stress**2))) or 1.0
    return float(_norm(respond(material, time, strain).stress, 1, keep=1).max()) / scale


def _stiffness_error(material: Material, dataset: Dataset) -> float | None:
    if dataset.card.stiffness is None:
        return None
    teacher = np.array(dataset.card.stiffness)
    dt = float(np.diff(dataset.time, axis=1).mean())
    own = material.update(material.kinematics.reference[None], material.initial_state(1), dt).tangent
    return None if own is None else float(np.linalg.norm(own[0] - teacher) / np.linalg.norm(teacher))


def _softest(tangent: Array) -> float:
    symmetric = 0.5 * (tangent + np.swapaxes(tangent, -1, -2))
    finite = np.isfinite(symmetric).all(axis=(-1, -2))
    if not finite.any():
        return float("nan")
    values = np.linalg.eigvalsh(symmetric[finite])
    return float((values[:, 0] / np.abs(values).max(axis=-1)).min())


def _norm(array: Array, axes: int, keep: int = 0) -> Array:
    """Euclidean norm over the last ``axes`` (or, with ``keep``, the last ``keep``) axes."""
    last = tuple(range(-(keep or axes), 0))
    return np.sqrt(np.sum(array**2, axis=last))


def _mean(values: Array) -> float:
    return float(np.mean(values))

"""Measure a law on paths it was not trained on: the figures of its card, and what they were drawn from.

Accuracy is the first figure, but a law that meets it may still fail in a solver: it may answer otherwise when the
same path is read in finer steps, creep when the strain is held, give work back on a closed cycle, or have a tangent
that does not belong to its stress. Each of these is measured here, for a learned law or any other material.
"""

import logging
from dataclasses import dataclass

import numpy as np

from pointlaw.data import Answers, Dataset, check_units, respond, sample
from pointlaw.errors import InputError
from pointlaw.laws.audit import physics, reading
from pointlaw.laws.audit.accuracy import relative_errors, stiffness_error, stress_at_rest, tangent_errors
from pointlaw.laws.card import Envelope, Figures
from pointlaw.materials import Material, PointStatus
from pointlaw.paths import StrainPath, gaussian_process
from pointlaw.tensors import Array, Kinematics

log = logging.getLogger(__name__)

NEGATIVE = -1e-9  # smallest over largest eigenvalue; perfect plasticity is zero to round-off


@dataclass(frozen=True, eq=False)
class Audit:
    """The figures of a law with the numbers behind them, for pictures.

    Attributes
    ----------
    figures : Figures
        What goes on the card.
    dataset : Dataset
        The paths, with the teacher's answers, or with the law's own if ``taught`` is false.
    answers : Answers
        What the law answered along them.
    errors : [n]
        ‖σ − σ̂‖ / ‖σ̂‖ of each path.
    refinement : dict of [n]
        Relative change of each path's stress, by the factor of refinement.
    by_stress : StressReading
        The same under stress control.
    drift : [n, 101]
        Relative change of stress over held steps.
    cycles : [c]
        Work of closed cycles over the work put in.
    softness : [points]
        Smallest over largest eigenvalue of the symmetric tangent.
    taught : bool
        Whether the data hold a teacher's answers.
    """

    figures: Figures
    dataset: Dataset
    answers: Answers
    errors: Array
    refinement: dict[int, Array]
    by_stress: reading.StressReading
    drift: Array
    cycles: Array
    softness: Array
    taught: bool = True


def audit(material: Material, kept_back: Dataset, *, paths: int = 100) -> Figures:
    """Return the figures of ``material`` on ``kept_back``; see :func:`measure`."""
    return measure(material, kept_back, paths=paths).figures


def measure(material: Material, kept_back: Dataset, *, paths: int = 100) -> Audit:
    """Return the figures of ``material`` on ``kept_back`` and the numbers behind them.

    Accuracy is measured on all paths; refinement, drift and tangent checks on the first ``paths`` of them, stress
    control on the first six. Raises ``InputError`` when the kinematics or the units differ.
    """
    if material.kinematics != kept_back.kinematics:
        raise InputError(f"The law takes {material.kinematics}; the kept-back paths are {kept_back.kinematics}.")
    check_units(material, kept_back, "the law", "the kept-back paths")
    with np.errstate(all="ignore"):  # a law that fails gets its figures too
        answers = respond(material, kept_back.time, kept_back.strain, tangent=True)
        errors = relative_errors(answers.stress, kept_back.stress)
        slopes = tangent_errors(answers, kept_back)
        few, coarse = kept_back.subset(slice(paths)), answers.stress[:paths]
        refined = {factor: reading.refinement(material, few, factor, coarse) for factor in reading.REFINEMENTS}
        by_stress = reading.stress_refinement(material, few)
        drift = reading.drift(material, few)
        cycles = physics.cycle_work(material, few)
        softness = physics.softness(answers.tangent)
        elliptic = physics.ellipticity(answers.tangent) if material.kinematics.finite else np.empty(0)
        driven = by_stress.undriven < by_stress.paths
        figures = Figures(
            paths=kept_back.paths,
            error_mean=float(errors.mean()),
            error_median=float(np.median(errors)),
            error_95=float(np.quantile(errors, 0.95)),
            tangent_error=None if slopes is None else float(slopes.mean()),
            tangent_median=None if slopes is None else float(np.median(slopes)),
            tangent_95=None if slopes is None else float(np.quantile(slopes, 0.95)),
            refinement={factor: float(change.mean()) for factor, change in refined.items()},
            refinement_stress={f: float(change.mean()) for f, change in by_stress.spread.items()} if driven else None,
            stress_paths=by_stress.paths,
            undriven=by_stress.undriven,
            drift=float(drift[:, -1].mean()),
            stress_at_rest=stress_at_rest(material, kept_back),
            stiffness_error=stiffness_error(material, kept_back),
            tangent_check=float(physics.tangent_differences(material, few).max()),
            softest=float(softness.min()) if len(softness) else float("nan"),
            soft_share=float(np.mean(softness < NEGATIVE)) if len(softness) else None,
            elliptic=float(elliptic.min()) if len(elliptic) else None,
            cycle_work=float(cycles.min()),
            cycle_loss=float(cycles.mean()),
            rotation=physics.rotation_error(material, few),
            dissipation=physics.least_dissipation(material, few),
            failed=int(np.count_nonzero(answers.status == PointStatus.FAILED)),
        )
    return Audit(figures, kept_back, answers, errors, refined, by_stress, drift, cycles, softness)


def measure_alone(material: Material, envelope: Envelope, *, paths: int = 24, seed: int = 0) -> Audit:
    """Return what can be measured of ``material`` without a teacher, on smooth random paths inside ``envelope``.

    The law's own answers stand where the teacher's would be; accuracy and everything else that needs the teacher is
    ``None`` in the figures. A path on which the law fails is counted in ``failed`` and left out of the other figures.
    Raises ``InputError`` when the law fails on all of them.
    """
    path = envelope_paths(envelope, material.kinematics, paths=paths, seed=seed)
    with np.errstate(all="ignore"):
        failed = respond(material, path.times, path.strain, tangent=True).status == PointStatus.FAILED
    good = np.flatnonzero(~failed.any(axis=1))
    if len(good) == 0:
        raise InputError(
            f"The law fails on all {len(path)} random paths inside its envelope, so nothing else can be measured; "
            "train it again, and look for weights that grew without bound."
        )
    if len(good) < len(path):
        log.warning(
            "The law fails on %d of %d random paths inside its envelope; the other figures are those of the rest.",
            len(path) - len(good), len(path),
        )  # fmt: skip
    full = measure(material, sample(material, path.select(good)))
    unknown = ("error_mean", "error_median", "error_95", "tangent_error", "tangent_median", "tangent_95")
    known = {"failed": int(np.count_nonzero(failed))}
    figures = full.figures.model_copy(update=dict.fromkeys((*unknown, "stiffness_error")) | known)
    return Audit(**{**vars(full), "figures": figures, "taught": False})


def envelope_paths(envelope: Envelope, kinematics: Kinematics, *, paths: int, seed: int = 0) -> StrainPath:
    """Return smooth random strain paths inside the box of ``envelope``, with about its steps."""
    reference = kinematics.reference
    lower, upper = np.array(envelope.strain_min) - reference, np.array(envelope.strain_max) - reference
    steps = int(np.clip(envelope.steps, 4, 120))
    dt = 0.5 * (envelope.dt_min + envelope.dt_max)
    ball = gaussian_process(paths, seed=seed, steps=steps, bound=0.95, kinematics=kinematics)
    unit = ball.strain - reference
    strain = np.where(unit >= 0.0, unit * np.maximum(upper, 0.0), unit * np.maximum(-lower, 0.0))
    # A virgin solid begins undeformed even if the training paths did not.
    return StrainPath(dt * np.arange(steps + 1.0), reference + strain, kinematics)

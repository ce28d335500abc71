"""How much a law's answer depends on how a path is read: in finer steps, under stress control, or held.

A rate-independent solid does not know how many steps a program takes. A recurrent network does, unless its memory
advances with the strain; these are the measures of that.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from pointlaw.data import Dataset, respond
from pointlaw.laws.audit.accuracy import FLOOR, norm, ratio, relative_errors, single_precision
from pointlaw.materials import Material
from pointlaw.paths import LoadPath, Record, drive
from pointlaw.tensors import Array, Kinematics

REFINEMENTS = (2, 4, 8, 16)
HELD_STEPS = 100


def refine(time: Array, values: Array, factor: int) -> tuple[Array, Array]:
    """Cut every step of ``time[n, t]``, ``values[n, t, m]`` (strains or stresses) into ``factor`` equal ones."""
    t = time.shape[1]
    fine = np.linspace(0.0, t - 1.0, (t - 1) * factor + 1)
    left = np.minimum(fine.astype(int), t - 2)
    weight = fine - left
    return (
        time[:, left] * (1 - weight) + time[:, left + 1] * weight,
        values[:, left] * (1 - weight)[:, None] + values[:, left + 1] * weight[:, None],
    )


def refinement(material: Material, dataset: Dataset, factor: int, coarse: Array | None = None) -> Array:
    """Return each path's relative change of stress, ``[n]``, when it is read in ``factor`` times finer steps.

    ``coarse[n, t, m]`` is the answer to the path as it is, if that is known already.
    """
    if coarse is None:
        coarse = respond(material, dataset.time, dataset.strain).stress
    fine = respond(material, *refine(dataset.time, dataset.strain, factor)).stress[:, ::factor]
    return relative_errors(fine, coarse)


def drift(material: Material, dataset: Dataset, steps: int = HELD_STEPS) -> Array:
    """Return the change of stress, ``[n, steps + 1]``, while the last strain is held, over the path's largest."""
    dt = dataset.time[:, -1:] - dataset.time[:, -2:-1]
    later = dataset.time[:, -1:] + dt * np.arange(1, steps + 1)
    time = np.concatenate([dataset.time, later], axis=1)
    strain = np.concatenate([dataset.strain, np.repeat(dataset.strain[:, -1:], steps, axis=1)], axis=1)
    stress = respond(material, time, strain).stress
    held = stress[:, dataset.times - 1 :]
    return ratio(norm(held - held[:, :1], 1), norm(stress, 1).max(axis=1, keepdims=True), FLOOR)


@dataclass(frozen=True)
class StressReading:
    """What happened when a law was led by stresses.

    ``spread`` holds for each factor the relative change of strain of the ``[k]`` paths that reached their end in
    every reading; ``paths`` were tried and ``undriven`` of them did not.
    """

    spread: dict[int, Array]
    paths: int
    undriven: int


def stress_control(kinematics: Kinematics) -> NDArray[np.bool_]:
    """Return which components are led by stress, ``[m]``: all of them, at finite strain the diagonal of ``P``.

    The whole of ``P`` would leave the rotation of the body to round-off when the stress is small.
    """
    if not kinematics.finite:
        return np.ones(kinematics.size, dtype=bool)
    return np.asarray(kinematics.reference > 0.5)


def stress_refinement(
    material: Material, dataset: Dataset, *, factors: tuple[int, ...] = REFINEMENTS, paths: int = 6, steps: int = 20
) -> StressReading:
    """Lead the law along the stresses of the data, read them in finer steps, and compare the strains it answers with.

    The stress goes in straight lines through the stresses in ``dataset``; what is strain-controlled follows its
    strains. The first ``steps`` steps of the first ``paths`` paths with common times are taken. A path whose step has
    no strain (a limit load of the law, or a Newton iteration that fails even in a quarter of the step) is counted.
    """
    alike = np.flatnonzero((dataset.time == dataset.time[0]).all(axis=1))[:paths]
    until = min(dataset.times, steps + 1)
    mask = stress_control(dataset.kinematics)
    target = np.where(mask, dataset.stress[alike, :until], dataset.strain[alike, :until])
    time = dataset.time[alike, :until]
    records: dict[int, Record] = {}
    for factor in (1, *factors):
        fine_time, fine = refine(time, target, factor)
        fine[:, 0] = dataset.strain[alike, 0]  # the start is given by its strain
        path = LoadPath(fine_time[0], fine, mask, dataset.kinematics)
        tolerance = 1e-5 if single_precision(material) else 1e-8
        records[factor] = drive(material, path, max_cuts=2, tolerance=tolerance)
    done = np.array([not any(record.reasons[k] for record in records.values()) for k in range(len(alike))])
    coarse = records[1].strain[done] - dataset.kinematics.reference
    spread = {
        factor: relative_errors(records[factor].strain[done, ::factor] - dataset.kinematics.reference, coarse)
        for factor in factors
    }
    return StressReading(spread=spread, paths=len(alike), undriven=int(np.count_nonzero(~done)))

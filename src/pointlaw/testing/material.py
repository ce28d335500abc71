"""The contract of a material as a test: ``check_material(law).raise_if_failed()``.

Everything the solvers rely on is tried on one law: shapes, purity, independence of the rows, both doors, an exact
tangent, honest answers to absurd input. The properties are named, and one that fails does not hide the others.
"""

import warnings
from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np

from pointlaw.errors import InputError
from pointlaw.materials.base import Material, PointStatus
from pointlaw.paths import random_directions, random_walk
from pointlaw.tensors import KINEMATICS
from pointlaw.testing import properties
from pointlaw.testing.properties import Options, Situation
from pointlaw.testing.report import CheckReport


def check_material(
    material: Material,
    *,
    amplitude: float | None = None,
    dt: float = 1.0,
    points: int = 8,
    steps: int = 4,
    seed: int = 0,
    tolerance: float = 1e-10,
    precision: float = 1e-14,
    order: float = 1.9,
    halvings: int = 14,
    zero_stress: bool = True,
) -> CheckReport:
    """Check that ``material`` keeps the contract of :class:`~pointlaw.materials.Material`.

    Parameters
    ----------
    material : Material
        Any law, of any kinematics.
    amplitude : float, optional
        Norm of the strains (at finite strain of ``F − I``) the law is led to; 0.01 at small and 0.2 at finite strain
        if omitted. It should go well beyond the elastic range, and stay within the range of a learned law.
    dt : float
        Length of a step, unit of time.
    points, steps : int
        Size of the batch, and steps of the random paths that lead to the loaded states.
    seed : int
        Of the random paths.
    tolerance : float
        How well answers must agree that should be the same, relative to the largest.
    precision : float
        Relative round-off of the law's stress: 1e-14 in double, about 1e-6 in single precision.
    order : float
        Smallest order of the Taylor remainder of a right tangent.
    halvings : int
        Halvings of the Taylor test.
    zero_stress : bool
        Whether stress at zero strain fails the check or is only reported (learned laws).

    Returns
    -------
    CheckReport
        ``str()`` is a table, ``ok`` the verdict, ``raise_if_failed()`` for a test.

    Notes
    -----
    The stress of an inelastic law has kinks, where no tangent passes. The Taylor test reads its smallest steps, so only
    a kink within about 1e-6 of the amplitude disturbs; such a point is moved by a twentieth of the amplitude and tried
    again, three times at most. A wrong tangent is wrong in the new place too, and if more than a quarter of the
    points had to be moved the check fails.
    """
    if points < 2 or steps < 1:
        raise InputError(f"check_material: points = {points} must be at least 2 and steps = {steps} at least 1.")
    usual = 0.2 if material.kinematics.finite else 0.01
    options = Options(
        usual if amplitude is None else amplitude, dt, seed, tolerance, precision, order, halvings, zero_stress
    )
    report = CheckReport(f"{type(material).__name__} ({material.kinematics})")
    with report.guard("declaration"):
        _declaration(report, material, points)
    if not report.ok:
        return report
    situations: list[Situation] = []
    with report.guard("answers along a path"), warnings_are_errors():
        situations = _situations(report, material, options, points, steps)
    for name, check in (
        ("shapes", properties.shapes),
        ("purity", properties.purity),
        ("row independence", properties.row_independence),
        ("update_into", properties.into),
        ("without tangent", properties.stress_only),
        ("tangent", properties.tangent_order),
        ("symmetry", properties.symmetry),
        ("absurd input", properties.absurd),
        ("time step", properties.time_step),
        ("zero strain", properties.zero_strain),
    ):
        if situations:
            with report.guard(name), warnings_are_errors():
                check(report, material, options, situations)
    return report


@contextmanager
def warnings_are_errors() -> Iterator[None]:
    """Raise on every warning: a law that warns prints once a point in a long run."""
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        yield


def _declaration(report: CheckReport, material: Material, points: int) -> None:
    state = material.initial_state(points)
    wanted = (points, material.state_layout.size)
    # A wrapper may extend a measure under a name of its own; a name we know must mean what we know.
    known = KINEMATICS.get(material.kinematics.name, material.kinematics) == material.kinematics
    good = isinstance(state, np.ndarray) and state.shape == wanted and state.dtype == np.float64
    good = good and bool(np.isfinite(state).all()) and not np.shares_memory(state, material.initial_state(points))
    told = getattr(state, "shape", type(state).__name__)
    report.add("declaration", known and good, f"{material.kinematics.name}, virgin state {told}, layout {wanted}")


def _situations(report: CheckReport, material: Material, options: Options, points: int, steps: int) -> list[Situation]:
    """Lead the law to an elastic, a loading, an unloading and a turning step."""
    size, kinematics = options.amplitude, material.kinematics
    along = random_directions(points, seed=options.seed, kinematics=kinematics)
    wiggle = random_walk(
        points,
        seed=options.seed + 1,
        steps=steps + 1,
        step_size=0.3 * size / steps,
        bound=0.3 * size if not kinematics.finite else min(0.3 * size, 0.9),
        kinematics=kinematics,
    )
    ramp = np.arange(steps + 2)[:, None] / (steps + 1) * size
    strain = wiggle.strain + ramp * along[:, None]
    state, worst = material.initial_state(points), PointStatus.FINE
    situations = [Situation("virgin", kinematics.reference + 0.02 * size * along, state)]
    for k in range(1, steps + 1):
        answer = material.update(strain[:, k], state, options.dt)
        worst = PointStatus(min(worst, int(np.min(np.asarray(answer.status)))))
        state = answer.state
    situations.append(Situation("loading", strain[:, -1], state))
    situations.append(Situation("unloading", strain[:, -2] - 0.1 * size * along, state))
    across = random_directions(points, seed=options.seed + 2, kinematics=kinematics)
    situations.append(Situation("turning", strain[:, -2] + 0.5 * size * across, state))
    report.add(
        "answers along a path", worst != PointStatus.FAILED, f"{steps} steps to ‖ε‖ = {size:g}, worst: {worst.name}"
    )
    return situations if worst != PointStatus.FAILED else []

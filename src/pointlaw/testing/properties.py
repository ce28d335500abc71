"""The properties that :func:`~pointlaw.testing.check_material` checks, one function each.

Every function tries one property in all situations and adds one named verdict (or a few) to the report.
"""

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from pointlaw.materials.base import Material, PointStatus, Response
from pointlaw.paths import random_directions
from pointlaw.tensors import Array
from pointlaw.testing.report import CheckReport
from pointlaw.testing.taylor import taylor_order

_FAILED = np.int8(PointStatus.FAILED)
SENTINEL = -7.25e77  # a number no law answers: where it is still there, nothing was written


@dataclass(frozen=True)
class Situation:
    """A step that is about to be made by ``p`` points: ``strain[p, m]`` from ``state[p, s]``."""

    name: str
    strain: Array
    state: Array


@dataclass(frozen=True)
class Options:
    """The options of ``check_material`` that the properties need."""

    amplitude: float
    dt: float
    seed: int
    tolerance: float
    precision: float
    order: float
    halvings: int
    zero_stress: bool


def shapes(report: CheckReport, material: Material, options: Options, situations: list[Situation]) -> None:
    """Check shapes, types and contiguity of every answer, that of no points at all included."""
    m, s = material.kinematics.size, material.state_layout.size
    faults = []
    for p, case in [(len(c.strain), c) for c in situations] + [(0, situations[0])]:
        answer = material.update(case.strain[:p], case.state[:p], options.dt)
        wanted = {"stress": (p, m), "tangent": (p, m, m), "state": (p, s), "status": (p,)}
        for name, shape in wanted.items():
            array = getattr(answer, name)
            kind = np.int8 if name == "status" else np.float64
            if not isinstance(array, np.ndarray) or array.shape != shape or array.dtype != kind:
                told = f"{getattr(array, 'dtype', type(array).__name__)}{list(getattr(array, 'shape', ()))}"
                faults.append(f"{name} is {told}, not {np.dtype(kind)}{list(shape)}")
            elif not array.flags.c_contiguous or not array.flags.writeable:
                faults.append(f"{name} is not a contiguous writable array")
    report.add("shapes", not faults, "; ".join(dict.fromkeys(faults)) or "float64, contiguous, 0 points too")


def purity(report: CheckReport, material: Material, options: Options, situations: list[Situation]) -> None:
    """Check that asking changes nothing: not the inputs, not an earlier answer, not the next one."""
    faults = []
    for case in situations:
        strain, state = case.strain.copy(), case.state.copy()
        first = material.update(strain, state, options.dt)
        kept = _copy(first)
        out = _blank(material, len(strain))
        material.update_into(strain, state, options.dt, out)
        material.update(strain * 0.5, state, options.dt)
        overwritten = _difference(kept, first) > 0.0
        second = material.update(strain, state, options.dt)
        if not (np.array_equal(strain, case.strain) and np.array_equal(state, case.state)):
            faults.append(f"{case.name}: the inputs were changed")
        if overwritten:
            faults.append(f"{case.name}: a later call changed an earlier answer")
        if _difference(kept, second) > options.tolerance:
            faults.append(f"{case.name}: asked again it answered otherwise by {_difference(kept, second):.1e}")
        if np.shares_memory(first.state, state) or np.shares_memory(first.stress, strain):
            faults.append(f"{case.name}: the answer shares memory with the input")
    report.add("purity", not faults, "; ".join(faults) or "asked twice it answers the same, inputs untouched")


def row_independence(report: CheckReport, material: Material, options: Options, situations: list[Situation]) -> None:
    """Check that a row is answered alike in the batch, permuted, strided and alone."""
    worst = 0.0
    for case in situations:
        points = len(case.strain)
        whole = material.update(case.strain, case.state, options.dt)
        order = np.random.default_rng(options.seed).permutation(points)
        mixed = material.update(case.strain[order], case.state[order], options.dt)
        worst = max(worst, _difference(_take(whole, order), mixed))
        for row in range(points):
            one = np.array([row])
            worst = max(
                worst, _difference(_take(whole, one), material.update(case.strain[one], case.state[one], options.dt))
            )
        strided = material.update(np.asfortranarray(case.strain), np.asfortranarray(case.state), options.dt)
        worst = max(worst, _difference(whole, strided))
    report.add(
        "row independence", worst <= options.tolerance, f"batch, permuted, strided and one by one differ by {worst:.1e}"
    )


def into(report: CheckReport, material: Material, options: Options, situations: list[Situation]) -> None:
    """Check that ``update_into`` writes what ``update`` answers, and nothing that was not wanted."""
    worst, faults = 0.0, []
    for case in situations:
        answer = material.update(case.strain, case.state, options.dt)
        out = _blank(material, len(case.strain))
        arrays = (out.stress, out.tangent, out.state)
        material.update_into(case.strain, case.state, options.dt, out)
        worst = max(worst, _difference(answer, out))
        if any(now is not then for now, then in zip((out.stress, out.tangent, out.state), arrays, strict=True)):
            faults.append("replaced an array of out instead of writing into it")
        out = _blank(material, len(case.strain))
        material.update_into(case.strain, case.state, options.dt, out, tangent=False)
        worst = max(worst, _distance(answer.stress, out.stress), _distance(answer.state, out.state))
        if out.tangent is None or not (out.tangent == SENTINEL).all():
            faults.append("touched the tangent though it was not wanted")
    detail = "; ".join(dict.fromkeys(faults)) or f"differs from update by {worst:.1e}"
    report.add("update_into", not faults and worst <= options.tolerance, detail)


def stress_only(report: CheckReport, material: Material, options: Options, situations: list[Situation]) -> None:
    """Check that leaving out the tangent changes nothing else."""
    worst, given = 0.0, False
    for case in situations:
        answer = material.update(case.strain, case.state, options.dt)
        alone = material.update(case.strain, case.state, options.dt, tangent=False)
        given |= alone.tangent is not None
        worst = max(worst, _distance(answer.stress, alone.stress), _distance(answer.state, alone.state))
    detail = "gave a tangent that was not wanted" if given else f"stress and state differ by {worst:.1e}"
    report.add("without tangent", not given and worst <= options.tolerance, detail)


def tangent_order(report: CheckReport, material: Material, options: Options, situations: list[Situation]) -> None:
    """Taylor order in every situation, points on a kink moved away from it."""
    kinematics, size = material.kinematics, options.amplitude
    for number, case in enumerate(situations):
        points = len(case.strain)
        strain, orders, moved = case.strain.copy(), np.full(points, -np.inf), np.zeros(points, dtype=bool)
        for attempt in range(4):
            todo = np.flatnonzero(~(orders >= options.order))
            if len(todo) == 0:
                break
            seed = options.seed + 100 * (number + 1) + 10 * attempt
            if attempt:
                shift = random_directions(points, seed=seed, kinematics=kinematics)[todo]
                strain[todo] = case.strain[todo] + 0.05 * size * shift
                moved[todo] = True
            state = case.state[todo]
            answer = material.update(strain[todo], state, options.dt)
            if answer.tangent is None:
                break
            orders[todo] = taylor_order(
                lambda e, state=state: material.update(e, state, options.dt, tangent=False).stress,  # type: ignore[misc]
                strain[todo],
                answer.tangent,
                directions=random_directions(points, seed=seed + 1, kinematics=kinematics)[todo],
                size=0.01 * size,
                halvings=options.halvings,
                precision=options.precision,
            )
        lowest = float(np.min(np.where(np.isnan(orders), -np.inf, orders)))
        good = lowest >= options.order and moved.sum() <= points / 4
        told = "round-off (linear)" if math.isinf(lowest) and lowest > 0 else f"{lowest:.2f}"
        told = "not finite" if math.isinf(lowest) and lowest < 0 else told
        kinks = f", {moved.sum()} of {points} points moved off a kink" if moved.any() else ""
        report.add(f"tangent, {case.name}", good, f"Taylor order {told}{kinks}")


def symmetry(report: CheckReport, material: Material, options: Options, situations: list[Situation]) -> None:
    """Check that a tangent declared symmetric is."""
    worst = 0.0
    for case in situations:
        moduli = np.asarray(material.update(case.strain, case.state, options.dt).tangent)
        worst = max(worst, float(np.abs(moduli - moduli.swapaxes(1, 2)).max() / np.abs(moduli).max()))
    symmetric = worst <= 100.0 * options.tolerance
    detail = f"declared {'symmetric' if material.symmetric else 'unsymmetric'}, largest defect {worst:.1e}"
    report.add("symmetry", symmetric or not material.symmetric, detail)


def absurd(report: CheckReport, material: Material, options: Options, situations: list[Situation]) -> None:
    """Check that input without an answer is refused in its own rows, and in these alone."""
    case = situations[1]
    clean = material.update(case.strain, case.state, options.dt)
    rows = np.array([0, len(case.strain) - 1])
    others = np.setdiff1d(np.arange(len(case.strain)), rows)
    for name, value in (("NaN", np.nan), ("infinite", np.inf), ("1e150", 1e150)):
        faults = []
        strain = case.strain.copy()
        strain[rows[0], 0] = value
        strain[rows[1]] = value
        out = _blank(material, len(strain))
        material.update_into(strain, case.state, options.dt, out)
        for door, answer in (("update", material.update(strain, case.state, options.dt)), ("update_into", out)):
            status = np.asarray(answer.status)
            finite = np.isfinite(answer.stress).all(axis=1) & np.isfinite(answer.state).all(axis=1)
            if answer.tangent is not None:
                finite &= np.isfinite(answer.tangent).all(axis=(1, 2))
            refused = status[rows] == _FAILED
            # A linear law has an answer to 1e150; none has one to NaN.
            if not (refused | (finite[rows] if np.isfinite(value) else False)).all():
                faults.append(f"{door}: status {status[rows].tolist()} for a strain that has no answer")
            if _difference(_take(clean, others), _take(answer, others)) > options.tolerance:
                faults.append(f"{door}: other rows were affected")
        report.add(f"{name} strain", not faults, "; ".join(faults) or "its rows FAILED or finite, the others untouched")


def time_step(report: CheckReport, material: Material, options: Options, situations: list[Situation]) -> None:
    """Check that very short and very long steps are answered or refused, and ``dt_factor`` makes sense."""
    faults = []
    for case in situations:
        for dt in (0.0, 1e-6 * options.dt, options.dt, 1e6 * options.dt):
            answer = material.update(case.strain, case.state, dt)
            if not answer.dt_factor > 0.0:
                faults.append(f"dt_factor is {answer.dt_factor} for dt = {dt:g}")
            if dt == options.dt and (np.asarray(answer.status) == _FAILED).any():
                faults.append(f"{case.name}: failed for dt = {dt:g}")
    report.add("time step", not faults, "; ".join(dict.fromkeys(faults)) or "answers or refuses from dt = 0 to 1e6 dt")


def zero_strain(report: CheckReport, material: Material, options: Options, situations: list[Situation]) -> None:
    """Check that the undeformed virgin material is free of stress."""
    strain = np.tile(material.kinematics.reference, (2, 1))
    answer = material.update(strain, material.initial_state(2), options.dt)
    scale = float(np.abs(np.asarray(answer.tangent)).max()) * options.amplitude
    share = float(np.abs(answer.stress).max()) / scale if scale > 0.0 else math.inf
    detail = f"virgin stress is {share:.1e} of stiffness times amplitude"
    report.add("zero strain", share <= 100.0 * options.tolerance, detail, required=options.zero_stress)


def _blank(material: Material, points: int) -> Response:
    m, s = material.kinematics.size, material.state_layout.size
    return Response(np.full((points, m), SENTINEL), np.full((points, m, m), SENTINEL), np.full((points, s), SENTINEL))


def _copy(answer: Response) -> Response:
    return _take(answer, np.arange(len(answer.stress)))


def _take(answer: Response, rows: NDArray[np.intp]) -> Response:
    tangent = None if answer.tangent is None else answer.tangent[rows]
    return Response(answer.stress[rows], tangent, answer.state[rows], np.asarray(answer.status)[rows], answer.dt_factor)


def _difference(one: Response, two: Response) -> float:
    """Return the largest difference of two answers, each array relative to its largest entry."""
    worst = max(_distance(one.stress, two.stress), _distance(one.state, two.state))
    if one.tangent is not None and two.tangent is not None:
        worst = max(worst, _distance(one.tangent, two.tangent))
    return worst if np.array_equal(np.asarray(one.status), np.asarray(two.status)) else math.inf


def _distance(one: Array, two: Array) -> float:
    if one.shape != two.shape:
        return math.inf
    if one.size == 0 or np.array_equal(one, two, equal_nan=True):
        return 0.0
    gap = float(np.abs(one - two).max())
    return gap / max(float(np.abs(one).max()), 1e-300) if math.isfinite(gap) else math.inf

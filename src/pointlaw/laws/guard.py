"""A law that knows where it may be trusted: grade every point, and act on the points outside.

:class:`Guarded` wraps a law. Each step is graded by a density of the training points, by the spread of an ensemble, or
by any function of strain, increment and new state; a point is *outside* where the grade is above the limit. What then
happens is the policy. The strains that a point went through stay in its state, so that a fallback can take over from
the right state, and so that :func:`outside_paths` can hand them over as new training paths after a run.

Which law answers a point is decided by the grades of *committed* steps alone. Within a step nothing switches: stress
and tangent are smooth, Newton's method keeps its order, and an equilibrium exists; the price is that the step in which
a point leaves is still the law's (reported ``OUT_OF_RANGE``). A limit below 1 switches that much earlier.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal, get_args

import numpy as np
from numpy.typing import NDArray

from pointlaw.data import check_units
from pointlaw.errors import InputError
from pointlaw.laws.density import LARGEST
from pointlaw.laws.history import StrainHistory
from pointlaw.laws.replay import state_after
from pointlaw.materials import Material, Response, StateLayout, checks
from pointlaw.materials.base import StatusArray, extended
from pointlaw.paths import StrainPath
from pointlaw.tensors import Array

Grade = Callable[[Array, Array, Array], Array]
"""``grade(strain[p, m], increment[p, m], new_state[p, s]) -> [p]``: 0 deep inside, 1 at the edge, more outside."""

Policy = Literal["none", "warn", "strict", "cut", "fall back"]

DEARER = 100.0
"""Points of the law that take as long as a unit of the fallback's effort (an iteration of a volume element), about."""

_FAILED, _OUTSIDE, _FINE = (np.int8(status) for status in (-1, 0, 1))
# What stands in the place of a grade where the fallback made the step, or could not be led up to it.
_BY_FALLBACK, _LOST = -1.0, -2.0


class Guarded(Material):
    """A law that is watched.

    Parameters
    ----------
    law : Material
        The law; usually a :class:`~pointlaw.laws.learned.LearnedMaterial` or an ensemble.
    policy : str
        What happens to points outside:

        * ``"none"``: nothing; they are graded, and the law's own status (strain box) is passed on. All other
          policies put the grade in the place of the box.
        * ``"warn"``: their status is ``OUT_OF_RANGE``, which a march logs once for every accepted step.
        * ``"strict"``: their status is ``FAILED``; the step is cut, and if that does not help the march stops.
        * ``"cut"``: a point that leaves in an increment longer than ``smallest_step`` asks for half the step; where
          only the increment was too long that brings it back, otherwise the point leaves in a short step, and from then
          on it is as with ``"warn"``.
        * ``"fall back"``: after the step in which a point left, ``fallback`` answers it, and does so to the end.
    grade : callable, optional
        See :data:`Grade`; the law's ``density`` (learned laws that carry one) or ``grade`` (ensembles) if omitted.
    fallback : Material, optional
        The law of trusted points: a formula or a volume element, of the same kinematics.
    limit : float
        Grade above which a point is outside.
    history : int
        Strains a point remembers; in a longer run those on straight lines at one rate are dropped first.
    smallest_step : float
        Norm of a strain increment that ``"cut"`` no longer halves.

    Attributes
    ----------
    effort : [p]
        Relative cost of the rows of the last call, by which ``Balanced`` deals points: 1 for the law, ``DEARER`` times
        its own for the fallback.

    Notes
    -----
    State: that of the law, ``grade`` (of the last step; −1 if the fallback made it), ``largest_grade`` (of all steps),
    ``strain_history``, and ``fallback`` (state of the fallback). Memory: ``(1 + m) · history`` numbers a point and the
    fallback's state. Time: the grade, a copy of the state, and for a point that changes over one evaluation of the
    fallback for every remembered strain, in each iteration of that one step. A point whose fallback fails on the way
    through these strains fails, and :meth:`reason` says so.

    Raises ``InputError`` for options that do not fit. Neither law may be one that all ranks call together, since each
    is asked only where it has points: deal a guarded volume element by ``Balanced(Guarded(law, fallback=rve, …))``.
    """

    def __init__(
        self,
        law: Material,
        *,
        policy: Policy = "warn",
        grade: Grade | None = None,
        fallback: Material | None = None,
        limit: float = 1.0,
        history: int = 64,
        smallest_step: float = 1e-4,
    ):
        if isinstance(law, Guarded):
            raise InputError("Guarded: the law is guarded already; choose one guard.")
        if policy not in get_args(Policy):
            raise InputError(f"Guarded: policy = {policy!r} must be one of {', '.join(get_args(Policy))}.")
        grade = grade or getattr(law, "density", None) or getattr(law, "grade", None)
        if grade is None:
            raise InputError(
                f"Guarded: {_name(law)} has no density and is no ensemble; make one by with_density(law, training, "
                "kept_back), or give grade = a function."
            )
        if (fallback is not None) != (policy == "fall back"):
            raise InputError(
                f"Guarded: policy = {policy!r} and fallback = {fallback!r} do not belong together: policy "
                "'fall back' needs a Material as its fallback, the others take none."
            )
        if fallback is not None and fallback.kinematics != law.kinematics:
            raise InputError(f"Guarded: the law takes {law.kinematics}, the fallback {fallback.kinematics}.")
        for each in (law, fallback):
            if each is not None:
                checks.not_collective("Guarded", each, "law" if fallback is None else "law, fallback=rve")
        check_units(law, fallback, "the guarded law", "its fallback")
        if not (limit > 0 and smallest_step > 0):
            raise InputError(f"Guarded: limit = {limit} and smallest_step = {smallest_step} must be > 0.")
        self.law, self.policy, self.grade, self.fallback = law, policy, grade, fallback
        self.limit, self.smallest_step = limit, smallest_step
        self.kinematics = law.kinematics
        self.symmetric = law.symmetric and (fallback is None or fallback.symmetric)
        self.history = StrainHistory(history, law.kinematics)
        extra = {"grade": 1, "largest_grade": 1, "strain_history": self.history.size}
        if fallback is not None:
            extra["fallback"] = fallback.state_layout.size
        self.state_layout = extended(extra, law.state_layout, last=True)
        # The same row under names of its own, whatever the law calls its variables.
        self._parts = StateLayout({"law": law.state_layout.size} | extra)
        self.effort = np.ones(0)

    def initial_state(self, points: int) -> Array:
        """Return the state ``[points, s]`` of virgin points, graded as they are."""
        state = np.zeros((points, self.state_layout.size))
        parts = self._parts.split(state)
        parts["law"][...] = self.law.initial_state(points)
        rest = np.tile(self.kinematics.reference, (1, 1))
        virgin = min(float(self.grade(rest, np.zeros_like(rest), self.law.initial_state(1))[0]), LARGEST)
        parts["grade"][...] = parts["largest_grade"][...] = virgin
        parts["strain_history"][...] = self.history.initial(points)
        if self.fallback is not None:
            parts["fallback"][...] = self.fallback.initial_state(points)
        return state

    def fallen(self, state: Array) -> NDArray[np.bool_]:
        """Return for each row of ``state[p, s]`` whether the fallback answers its next step."""
        if self.fallback is None:
            return np.zeros(len(state), dtype=bool)
        return np.asarray(state[:, self._parts["largest_grade"]][:, 0] > self.limit)

    def update(self, strain: Array, state: Array, dt: float, *, tangent: bool = True) -> Response:
        """Answer by the law or the fallback, as the committed grades say; see :meth:`Material.update`."""
        with np.errstate(all="ignore"):  # absurd input fails, it does not warn
            fallen = self.fallen(state)
            answer = self._answer(fallen, strain, state, dt, tangent)
        self.effort = np.ones(len(fallen))
        if fallen.any():
            self.effort[fallen] = DEARER * np.asarray(getattr(self.fallback, "effort", 1.0))
        return answer

    def reason(self, state: Array, status: StatusArray) -> str:
        """Return why points failed if the guard made them fail; see :meth:`Material.reason`."""
        grade = state[np.asarray(status) == _FAILED, self._parts["grade"]]
        if lost := int(np.count_nonzero(grade == _LOST)):
            return (
                f"the fallback '{_name(self.fallback)}' failed at {lost} of these points while it was led along their "
                "past strains; let it take smaller steps (Substepped), or give Guarded a longer history"
            )
        out = grade[grade > self.limit]
        if self.policy != "strict" or not len(out):
            return ""
        return (
            f"the law '{_name(self.law)}' is outside what it was trained for at {len(out)} of these points, "
            f"worst grade {out.max():.3g} where {self.limit:g} is allowed; train it on such paths, or choose another "
            "policy of Guarded"
        )

    def _answer(self, fallen: NDArray[np.bool_], strain: Array, state: Array, dt: float, tangent: bool) -> Response:
        if not fallen.any():
            return self._by_law(strain, state, dt, tangent)
        if fallen.all():
            return self._by_fallback(strain, state, dt, tangent)
        rows = np.flatnonzero(~fallen), np.flatnonzero(fallen)
        parts = (
            self._by_law(strain[rows[0]], state[rows[0]], dt, tangent),
            self._by_fallback(strain[rows[1]], state[rows[1]], dt, tangent),
        )
        return _merged(rows, parts)

    def __repr__(self) -> str:
        return f"Guarded({self.law!r}, policy={self.policy!r}, limit={self.limit:g})"

    def _by_law(self, strain: Array, state: Array, dt: float, tangent: bool) -> Response:
        """Answer rows that the law answers: grade them, and act."""
        old = self._parts.split(state)
        answer = self.law.update(strain, np.ascontiguousarray(old["law"]), dt, tangent=tangent)
        increment = strain - self.history.last(old["strain_history"])
        grade = np.fmin(self.grade(strain, increment, answer.state), LARGEST)
        new = np.empty_like(state)
        parts = self._parts.split(new)
        parts["law"][...] = answer.state
        parts["grade"][:, 0] = grade
        parts["largest_grade"][:, 0] = np.maximum(old["largest_grade"][:, 0], grade)
        parts["strain_history"][...] = self.history.append(old["strain_history"], strain, dt)
        if self.fallback is not None:
            parts["fallback"][...] = old["fallback"]
        status, factor = self._judged(np.asarray(answer.status, dtype=np.int8), grade, old["grade"][:, 0], increment)
        return Response(answer.stress, answer.tangent, new, status, min(answer.dt_factor, factor))

    def _judged(self, given: StatusArray, grade: Array, before: Array, increment: Array) -> tuple[StatusArray, float]:
        """Return the status ``[p]`` after the policy, and the share of the step that it asks for."""
        out = (grade > self.limit) & (given != _FAILED)
        if self.policy == "none":
            return given, math.inf
        status = np.where(given == _FAILED, _FAILED, np.where(out, _OUTSIDE, _FINE))
        if self.policy == "strict":
            return np.where(out, _FAILED, status), math.inf
        if self.policy == "cut":
            leaves = out & (before <= self.limit) & (np.linalg.norm(increment, axis=1) > self.smallest_step)
            return status, 0.5 if leaves.any() else math.inf
        return status, math.inf

    def _by_fallback(self, strain: Array, state: Array, dt: float, tangent: bool) -> Response:
        """Answer rows that have left, each from the state that the fallback has or would have had."""
        if self.fallback is None:
            raise TypeError("Guarded: no fallback.")  # fallen() has excluded it
        new = state.copy()
        old, parts = self._parts.split(state), self._parts.split(new)
        late = np.flatnonzero(old["grade"][:, 0] != _BY_FALLBACK)
        inner, lost = old["fallback"].copy(), np.zeros(len(new), dtype=bool)
        if len(late):
            count, time, strains = self.history.read(old["strain_history"][late])
            inner[late], lost[late] = state_after(self.fallback, time, strains, count)
        answer = self.fallback.update(strain, inner, dt, tangent=tangent)
        parts["grade"][:, 0] = np.where(lost, _LOST, _BY_FALLBACK)
        parts["fallback"][...] = answer.state
        parts["strain_history"][...] = self.history.append(old["strain_history"], strain, dt)
        status = np.where(lost, _FAILED, np.asarray(answer.status, dtype=np.int8))
        return Response(answer.stress, answer.tangent, new, status, answer.dt_factor)


@dataclass(frozen=True, eq=False)
class OutsidePaths:
    """Strain histories of points that were outside.

    Attributes
    ----------
    count : [k]
        Rows of each history.
    time, strain : [k, n], [k, n, m]
        Times and strains; from the undeformed body on.
    grade : [k]
        Largest grade of each.
    loss : [k]
        Largest distance of a strain that found no room, from the line that stands for it.
    """

    count: NDArray[np.intp]
    time: Array
    strain: Array
    grade: Array
    loss: Array

    def __len__(self) -> int:
        return len(self.count)

    def take(self, rows: NDArray[np.intp]) -> "OutsidePaths":
        """Return the histories ``rows``."""
        return OutsidePaths(self.count[rows], self.time[rows], self.strain[rows], self.grade[rows], self.loss[rows])

    @classmethod
    def join(cls, parts: "list[OutsidePaths]") -> "OutsidePaths":
        """Return the histories of all ranks or regions as one."""
        names = ("count", "time", "strain", "grade", "loss")
        return cls(*(np.concatenate([getattr(part, name) for part in parts]) for name in names))

    def spread(self, most: int) -> NDArray[np.intp]:
        """Return at most ``most`` rows: the worst grade first, then always the history farthest from those chosen."""
        if len(self) <= most:
            return np.argsort(-self.grade, kind="stable")
        last = np.minimum(np.arange(self.strain.shape[1]), self.count[:, None] - 1)
        points = np.take_along_axis(self.strain, last[..., None], axis=1).reshape(len(self), -1)
        chosen = [int(np.argmax(self.grade))]
        distance = np.linalg.norm(points - points[chosen[0]], axis=1)
        while len(chosen) < most and distance.max() > 0.0:
            chosen.append(int(np.argmax(distance)))
            distance = np.minimum(distance, np.linalg.norm(points - points[chosen[-1]], axis=1))
        return np.array(chosen, dtype=np.intp)

    def to_path(self, law: Material, steps: int, duration: float) -> StrainPath:
        """Return the histories as strain paths of ``steps`` steps with their own increments.

        A shorter history goes back the way it came, and forth again: unloading is what most often comes next. Times
        are evenly spaced, which suits teachers that do not depend on the rate.
        """
        if len(self) and self.count.max() > steps + 1:
            raise InputError(f"A history of {self.count.max()} strains does not fit {steps} steps.")
        top = np.maximum(self.count - 1, 1)[:, None]
        turn = np.arange(steps + 1) % (2 * top)
        strain = np.take_along_axis(self.strain, np.minimum(turn, 2 * top - turn)[..., None], axis=1)
        return StrainPath(np.linspace(0.0, duration, steps + 1), strain, law.kinematics)


def outside_paths(guarded: Guarded, state: Array, *, share: float = 1.0) -> OutsidePaths:
    """Return the histories of the points whose grade was above ``share`` of the limit in a committed step.

    ``state[p, s]`` is the committed state of a region (``region.history.committed``), so nothing that was tried and
    rejected is in it.
    """
    grade = state[:, guarded._parts["largest_grade"]][:, 0]
    rows = np.flatnonzero(grade > share * guarded.limit)
    history = np.ascontiguousarray(state[rows][:, guarded._parts["strain_history"]])
    count, time, strain = guarded.history.read(history)
    return OutsidePaths(count, time, strain, grade[rows], guarded.history.loss(history))


def _name(law: Material | None) -> str:
    return str(getattr(getattr(law, "card", None), "name", type(law).__name__))


def _merged(rows: tuple[NDArray[np.intp], NDArray[np.intp]], parts: tuple[Response, Response]) -> Response:
    """Put the answers for the rows of the law and of the fallback together."""
    order = np.argsort(np.concatenate(rows))
    one, two = parts

    def both(name: str) -> Array:
        return np.concatenate([getattr(one, name), getattr(two, name)])[order]

    tangent = None if one.tangent is None or two.tangent is None else both("tangent")
    return Response(
        both("stress"), tangent, both("state"), both("status").astype(np.int8), min(one.dt_factor, two.dt_factor)
    )

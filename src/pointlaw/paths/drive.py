"""The material-point solver: one law along many load histories, all of them one batch.

Full strain control is a loop over the steps. Where components are controlled by stress, Newton's method finds their
strain, row by row. A row that fails has its step cut and goes on alone, at most ``max_cuts`` times deep; a row that
still fails stops there and says so, and the others are not touched by it.
"""

import logging

import numpy as np
from numpy.typing import NDArray

from pointlaw.errors import InputError
from pointlaw.materials import checks
from pointlaw.materials.base import Material, PointStatus, Response
from pointlaw.materials.relax import relax
from pointlaw.paths.path import LoadPath, StrainPath
from pointlaw.paths.record import Record
from pointlaw.tensors import Array

_log = logging.getLogger(__name__)
_FAILED = np.int8(PointStatus.FAILED)
Rows = NDArray[np.intp]


def drive(
    material: Material,
    path: StrainPath | LoadPath,
    *,
    state: Array | None = None,
    tangent: bool = False,
    max_cuts: int = 8,
    tolerance: float = 1e-12,
    iterations: int = 40,
) -> Record:
    """Lead ``material`` along ``path``.

    Parameters
    ----------
    material : Material
        Any law; its kinematics must be the path's.
    path : StrainPath or LoadPath
        ``n`` histories; they are one batch.
    state : [n, s], optional
        Internal variables at the start; the virgin state if omitted.
    tangent : bool
        Whether to record the consistent tangents.
    max_cuts : int
        How deep a failing step is cut: into at most ``2**max_cuts`` parts, or as the law's ``dt_factor`` asks.
    tolerance : float
        Of stress-controlled components, relative to stiffness times strain plus the stress wanted.
    iterations : int
        Largest number of evaluations of the law for one step with stress control.

    Returns
    -------
    Record
        Row 0 is the answer of the material at the start, its state the one given. A path that stopped early says why
        in ``reasons``; ``raise_if_failed`` turns that into an error.

    Raises
    ------
    InputError
        If path and law do not fit, the state has the wrong shape, or an option is out of range.
    """
    if path.kinematics != material.kinematics:
        raise InputError(
            f"The path prescribes {path.kinematics} but {type(material).__name__} takes {material.kinematics}; "
            "make the path with the kinematics of the law, or wrap the law (PlaneStrain, PlaneStress, …)."
        )
    if not isinstance(max_cuts, int | np.integer) or max_cuts < 0:
        raise InputError(f"drive: max_cuts = {max_cuts} must be an integer ≥ 0.")
    if not 0.0 < tolerance < 1e-2:
        raise InputError(f"drive: tolerance = {tolerance} must lie between 0 and 0.01.")
    checks.whole("drive", iterations=iterations)
    load = LoadPath.of(path) if isinstance(path, StrainPath) else path
    start = material.initial_state(len(load)) if state is None else np.array(state, dtype=float)
    if start.shape != (len(load), material.state_layout.size):
        raise InputError(
            f"drive: state has shape {start.shape}; {len(load)} paths of {type(material).__name__} need "
            f"{(len(load), material.state_layout.size)}."
        )
    return _Drive(material, load, start, tangent, max_cuts, tolerance, iterations).run()


class _Drive:
    """One run of :func:`drive`: where every path is, and the record so far."""

    def __init__(
        self,
        material: Material,
        load: LoadPath,
        state: Array,
        tangent: bool,
        max_cuts: int,
        tolerance: float,
        iterations: int,
    ):
        n, t, m = load.target.shape
        self.material, self.load, self.tangent, self.max_cuts = material, load, tangent, max_cuts
        self.tolerance, self.iterations = tolerance, iterations
        # Where every path is now; a component under stress control starts unstrained.
        self.strain: Array = np.where(load.mask[:, 0], material.kinematics.reference, load.target[:, 0])
        self.stress, self.state = np.zeros((n, m)), state
        self.status = np.full(n, np.int8(PointStatus.FINE))
        self.moduli = np.zeros((n, m, m)) if tangent else None
        self.reasons = [""] * n
        self.cuts = np.zeros(n, dtype=np.intp)
        self.reached = np.zeros(n, dtype=np.intp)
        self.step = 0
        self.start_of_step: Array = np.zeros((n, m))
        self.history: dict[str, Array] = {
            "strain": np.full((n, t, m), np.nan),
            "stress": np.full((n, t, m), np.nan),
            "state": np.full((n, t, material.state_layout.size), np.nan),
        }
        self.statuses = np.full((n, t), _FAILED)
        self.tangents = np.full((n, t, m, m), np.nan) if tangent else None

    def run(self) -> Record:
        times = self.load.times
        rows = np.arange(len(self.load))
        # The start is looked at with the length of the first step, since a rate-dependent law may divide by it.
        answer = self.material.update(self.strain, self.state, times[1] - times[0], tangent=self.tangent)
        self._accept(rows, rows, self.strain, answer, keep_state=True)
        failed = np.flatnonzero(np.asarray(answer.status) == _FAILED)
        self._stop(failed, f"{type(self.material).__name__} gave no usable answer at the start")
        self._book()
        for self.step in range(1, len(times)):
            rows = self._alive()
            if len(rows) == 0:
                break
            self.status[rows] = PointStatus.FINE
            self.start_of_step = np.where(self.load.mask[:, self.step], self.stress, self.strain)
            self._advance(rows, 0.0, 1.0, 0)
            self._book()
        return Record(
            times=times,
            status=self.statuses,
            tangent=self.tangents,
            cuts=self.cuts,
            reached=self.reached,
            reasons=tuple(self.reasons),
            kinematics=self.material.kinematics,
            state_layout=self.material.state_layout,
            **self.history,
        )

    def _advance(self, rows: Rows, first: float, last: float, depth: int) -> None:
        """Lead ``rows`` from the share ``first`` of this step to the share ``last``, in parts where that fails."""
        times = self.load.times
        dt = (last - first) * (times[self.step] - times[self.step - 1])
        strain, answer = self._ask(rows, last, dt)
        if answer.dt_factor < 1.0 and len(rows) > 1:
            # The factor is the batch's: halve the batch to find the rows that want it, and spare the others.
            for half in np.array_split(rows, 2):
                self._advance(half, first, last, depth)
            return
        bad = np.asarray(answer.status) == _FAILED
        share = 0.5
        if answer.dt_factor < 1.0:
            bad[:] = True
            share = min(max(answer.dt_factor, 0.1), 0.9)
        self._accept(rows, np.flatnonzero(~bad), strain, answer)
        again = rows[bad]
        if len(again) == 0:
            return
        if depth == self.max_cuts:
            self._stop(again, self._why(again[0], last - first))
            return
        self.cuts[again] += 1
        _log.debug("step %d: %d of %d paths cut to %g of the step", self.step, len(again), len(self.load), share)
        middle = first + share * (last - first)
        self._advance(again, first, middle, depth + 1)
        again = again[[not self.reasons[row] for row in again]]
        if len(again):
            self._advance(again, middle, last, depth + 1)

    def _ask(self, rows: Rows, share: float, dt: float) -> tuple[Array, Response]:
        """Return strain and answer of ``rows`` at the share ``share`` of this step."""
        begin = self.start_of_step[rows]
        wanted = begin + share * (self.load.target[rows, self.step] - begin)
        if share == 1.0:
            wanted = self.load.target[rows, self.step]
        mask = self.load.mask[rows, self.step]
        strain, state = np.where(mask, self.strain[rows], wanted), self.state[rows]
        if not mask.any():
            return strain, self.material.update(strain, state, dt, tangent=self.tangent)
        patterns, which = np.unique(mask, axis=0, return_inverse=True)
        answers = []
        for pattern_number, pattern in enumerate(patterns):
            part = np.flatnonzero(which.reshape(-1) == pattern_number)
            free = np.flatnonzero(pattern)
            strain[part], answer = relax(
                self.material,
                strain[part],
                state[part],
                dt,
                free,
                wanted[part[:, None], free],
                tolerance=self.tolerance,
                iterations=self.iterations,
            )
            answers.append((part, answer))
        return strain, _merged(answers, len(rows)) if len(answers) > 1 else answers[0][1]

    def _accept(self, rows: Rows, good: Rows, strain: Array, answer: Response, *, keep_state: bool = False) -> None:
        """Go to the answer in the rows ``rows[good]``."""
        where = rows[good]
        self.strain[where], self.stress[where] = strain[good], answer.stress[good]
        self.status[where] = np.minimum(self.status[where], np.asarray(answer.status)[good])
        if not keep_state:
            self.state[where] = answer.state[good]
        if self.moduli is not None and answer.tangent is not None:
            self.moduli[where] = answer.tangent[good]

    def _book(self) -> None:
        """Write the present values of the living paths into the record."""
        rows = self._alive()
        for name, history in self.history.items():
            history[rows, self.step] = getattr(self, name)[rows]
        self.statuses[rows, self.step] = self.status[rows]
        self.reached[rows] = self.step
        if self.tangents is not None and self.moduli is not None:
            self.tangents[rows, self.step] = self.moduli[rows]

    def _alive(self) -> Rows:
        return np.flatnonzero([not reason for reason in self.reasons])

    def _stop(self, rows: Rows, why: str) -> None:
        for row in rows:
            time = self.load.times[self.step]
            self.reasons[row] = f"Path {row} stopped in step {self.step}, before time {time:g}: {why}."

    def _why(self, row: int, share: float) -> str:
        law = type(self.material).__name__
        what = f"{law} gave no usable answer"
        if self.load.mask[row, self.step].any():
            what = f"{law} gave no usable answer, or no strain gives the stress wanted (a limit load)"
        return f"{what}, even for {share:.2g} of the step; use more steps, a smaller load, or a larger max_cuts"


def _merged(answers: list[tuple[Rows, Response]], points: int) -> Response:
    """Put the answers for parts of a batch together; all have a tangent."""
    first = answers[0][1]
    stress, state = np.empty((points, first.stress.shape[1])), np.empty((points, first.state.shape[1]))
    tangent = np.empty((points, stress.shape[1], stress.shape[1]))
    status = np.empty(points, dtype=np.int8)
    for part, answer in answers:
        stress[part], state[part], status[part] = answer.stress, answer.state, np.asarray(answer.status)
        if answer.tangent is not None:
            tangent[part] = answer.tangent
    factor = min(answer.dt_factor for _, answer in answers)
    return Response(stress=stress, tangent=tangent, state=state, status=status, dt_factor=factor)

"""A law at many points, and the derivatives of a step that its answer does not hold, by differences.

A law answers with stress, new state and ``dσ/dε``; back-propagation along a path also needs how the stress depends on
the old state, and how the new state depends on strain and old state. :class:`LawBatch` takes these from central
differences, all columns and points in one call of the law. What a law is follows from use (``update``,
``initial_state``, ``kinematics``, ``state_layout``): this room knows no materials.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from pointlaw.errors import InputError
from pointlaw.tensors import Array, Kinematics

DIFFERENCE = 1e-6  # step of a difference, relative to what a variable typically measures
JUMP = 1e-2  # a stress that moves by more of its size within one such step has no derivative there
KINK = 1e-3  # differences that miss the law's tangent by more than this share lie across a kink
COPIES = 20_000  # points of one call, so that the copies stay small
_FAILED = -1


class Law(Protocol):
    """What a neuron needs of a law: the contract of a material."""

    kinematics: Kinematics
    state_layout: Any

    def initial_state(self, points: int) -> Array:
        """Return the virgin state ``[points, s]``."""

    def update(self, strain: Array, state: Array, dt: float, *, tangent: bool = True) -> Any:
        """Return stress, tangent, state and status of ``strain[p, m]`` and ``state[p, s]``."""


@dataclass(frozen=True)
class Answer:
    """Stress ``[p, m]``, new state ``[p, s]`` and, if it was asked for, tangent ``[p, m, m]`` of p points."""

    stress: Array
    state: Array
    tangent: Array | None


class LawBatch:
    """A law at ``k`` neurons.

    Parameters
    ----------
    law : Law
        Of small strain; parameters that differ from point to point take ``k`` values.
    count : int
        Number of neurons ``k``.
    time : float or None
        Unit of the step lengths that are given here, in the law's unit of time; ``None`` for a law without time.
    amplitude : float
        Strain that is typical of the data. A random path of this size tells, once, what each variable of the state
        measures, and with that the steps of the differences.

    Notes
    -----
    Raises ``InputError`` for a law that fails on that path or one that knows time though ``time`` is ``None``.
    """

    def __init__(self, law: Law, count: int, *, time: float | None, amplitude: float):
        self.law, self.time, self.first = law, time, law.initial_state(count)
        self.m, self.s = law.kinematics.size, self.first.shape[1]
        self._probe(amplitude)

    def start(self, rows: int) -> Array:
        """Return the virgin states ``[rows · k, s]``, neuron after neuron in each row."""
        return np.tile(self.first, (rows, 1))

    def ask(self, strain: Array, state: Array, dt: Array, *, tangent: bool) -> Answer:
        """Answer for ``strain[p, m]`` and ``state[p, s]`` after steps ``dt[p]``; where the law fails, with NaN.

        One call of the law for each length of the step. A factor that the law wishes for the next step is not heard.
        """
        sizes = (self.m,), (self.s,), (self.m, self.m)
        stress, new, moduli = (np.full((len(strain), *size), np.nan) for size in sizes)
        finite = np.isfinite(strain).all(axis=1) & np.isfinite(state).all(axis=1)
        for length, rows in self._lengths(dt, finite):
            answer = self.law.update(strain[rows], state[rows], length, tangent=tangent)
            stress[rows], new[rows] = answer.stress, answer.state
            if tangent:
                moduli[rows] = answer.tangent
            if (failed := np.asarray(answer.status) == _FAILED).any():
                lost = np.arange(len(strain))[rows][failed]
                stress[lost] = new[lost] = moduli[lost] = np.nan
        return Answer(stress, new, moduli if tangent else None)

    def _lengths(self, dt: Array, finite: NDArray[np.bool_]) -> Iterator[tuple[float, slice | NDArray[np.intp]]]:
        """Yield the lengths of the step in the law's unit of time with the points that take them."""
        everywhere = bool(finite.all())
        if self.time is None or (len(dt) and (dt == dt[0]).all()):
            length = 1.0 if self.time is None else float(dt[0]) * self.time
            yield length, slice(None) if everywhere else np.flatnonzero(finite)
            return
        for length in np.unique(dt):
            yield float(length) * self.time, np.flatnonzero((dt == length) & finite)

    def by_time(self, strain: Array, state: Array, dt: Array) -> Array:
        """Return the derivative ``[p, m]`` of the stress by the length of the step; 0 for a law without time."""
        if self.time is None:
            return np.zeros_like(strain)
        after, before = dt + self.steps[-1], np.maximum(dt - self.steps[-1], 0.0)
        sides = [self.ask(strain, state, length, tangent=False).stress for length in (after, before)]
        return (sides[0] - sides[1]) / (after - before)[:, None]

    def pull_back(
        self, strain: Array, state: Array, dt: Array, answer: Answer, stress_: Array, state_: Array,
        tangent_: Array | None, *, by_strain: bool, by_state: bool, by_time: bool,
    ) -> Array:  # fmt: skip
        """Return the products ``[p, m + s + 1]`` of cotangents with the derivatives by strain, state and step length.

        ``stress_[p, m]``, ``state_[p, s]`` and ``tangent_[p, m, m]`` are the cotangents of ``answer``. The derivative
        of the stress by the strain is the law's tangent, except where differences show a kink within their step (a
        point that is held on its yield surface): there all derivatives come from the same differences, which agree
        with one another along the surface.
        """
        inputs = np.concatenate([strain, state, dt[:, None]], axis=1)
        columns = self._columns(state, answer.state, by_strain, by_state, by_time)
        products = np.zeros_like(inputs)
        size = max(1, COPIES // max(1, 2 * len(columns)))
        for first in range(0, len(inputs), size):
            rows = slice(first, first + size)
            part = Answer(*(None if a is None else a[rows] for a in (answer.stress, answer.state, answer.tangent)))  # type: ignore[arg-type]
            cotangents = stress_[rows], state_[rows], None if tangent_ is None else tangent_[rows]
            products[rows] = self._products(inputs[rows], columns, part, *cotangents)
        return products

    def _columns(self, old: Array, new: Array, by_strain: bool, by_state: bool, by_time: bool) -> NDArray[np.intp]:
        """Return the columns to be differenced; parameters that travel in the state are left out."""
        virgin = np.resize(self.first, old.shape)
        idle = self.constant & (old == virgin).all(axis=0) & (new == virgin).all(axis=0)
        wanted = np.concatenate([np.full(self.m, by_strain), by_state & ~idle, [by_time and self.time is not None]])
        return np.flatnonzero(wanted)

    def _products(
        self, inputs: Array, columns: NDArray[np.intp], answer: Answer, stress_: Array, state_: Array,
        tangent_: Array | None,
    ) -> Array:  # fmt: skip
        m, s, points = self.m, self.s, len(inputs)
        steps = self.steps[columns][:, None]  # [c, 1]
        copies = np.tile(inputs, (2, len(columns), 1, 1))  # [2, c, p, m + s + 1]
        usable = np.ones((2, len(columns), points), dtype=bool)
        for i, c in enumerate(columns):
            copies[0, i, :, c] += self.steps[c]
            copies[1, i, :, c] -= self.steps[c]
            # What is never negative is not made negative.
            usable[1, i] = (copies[1, i, :, c] >= self.floor[c]) | (inputs[:, c] < self.floor[c])
            copies[1, i, ~usable[1, i], c] = inputs[~usable[1, i], c]
        flat = copies.reshape(-1, m + s + 1)
        beside = self.ask(flat[:, :m], flat[:, m : m + s], flat[:, -1], tangent=tangent_ is not None)
        sign = np.array([1.0, -1.0]).reshape(2, 1, 1, 1)
        stress = sign * (beside.stress.reshape(2, -1, points, m) - answer.stress)
        state = sign * (beside.state.reshape(2, -1, points, s) - answer.state)
        usable &= np.isfinite(stress).all(axis=3) & np.isfinite(state).all(axis=3)
        usable &= np.abs(stress).max(axis=3, initial=0.0) <= JUMP * self.stress
        gains = np.einsum("acpi,pi->acp", stress, stress_), np.einsum("acpi,pi->acp", state, state_)
        by_stress, by_state = (_mean(gain, usable, steps) for gain in gains)
        result = np.zeros_like(inputs)
        result[:, columns] = (by_stress + by_state).T
        strained = np.flatnonzero(columns < m)
        if len(strained) == m and answer.tangent is not None:
            slopes = _mean(stress[:, strained], usable[:, strained, :, None], steps[strained, :, None])  # [m, p, m]
            gap = np.abs(slopes.transpose(1, 2, 0) - answer.tangent).max(axis=(1, 2))
            sound = usable[:, strained].any(axis=0).all(axis=0)
            smooth = ~(sound & (gap > KINK * np.abs(answer.tangent).max(axis=(1, 2))))
            exact = np.einsum("pij,pi->pj", answer.tangent, stress_) + by_state[strained].T
            result[smooth, :m] = exact[smooth]
        if tangent_ is not None and beside.tangent is not None and answer.tangent is not None:
            moduli = sign[..., None] * (beside.tangent.reshape(2, -1, points, m, m) - answer.tangent)
            typical = np.abs(answer.tangent).max(axis=(1, 2))
            steady = usable & (np.abs(moduli).max(axis=(3, 4)) <= JUMP * typical)  # between two branches it jumps
            result[:, columns] += _mean(np.einsum("acpij,pij->acp", moduli, tangent_), steady, steps).T
        return result

    def _probe(self, amplitude: float) -> None:
        """Find what strain, stress and state measure along a random path."""
        name, count = type(self.law).__name__, len(self.first)
        rng = np.random.default_rng(0)
        rows = max(1, 8 // count)
        state = self.start(rows)
        start, dt = state, np.ones(len(state))
        size, low, stress = np.abs(state).max(axis=0), state.min(axis=0), 0.0
        self.constant = np.ones(self.s, dtype=bool)
        for k in range(1, 7):
            strain = amplitude * min(1.0, k / 3.0) * rng.uniform(-1.0, 1.0, (len(state), self.m))
            if k in (1, 3):
                self._check_time(name, strain, state, dt)
            answer = self.ask(strain, state, dt, tangent=False)
            fine = np.isfinite(answer.stress).all(axis=1) & np.isfinite(answer.state).all(axis=1)
            state = np.where(fine[:, None], answer.state, state)
            size, low = np.maximum(size, np.abs(state).max(axis=0)), np.minimum(low, state.min(axis=0))
            self.constant &= (state == start).all(axis=0)
            stress = max(stress, float(np.abs(answer.stress[fine]).max(initial=0.0)))
        if stress == 0.0:
            raise InputError(
                f"{name} answers no stress, or fails, at random strains of {amplitude:g}, the 'amplitude' of its "
                "neurons; give one that is typical of the data."
            )
        self.stress = stress
        for part in self.law.state_layout.values():  # the components of a variable share one size
            largest = size[part].max(initial=0.0)
            size[part] = largest if largest > 0.0 else amplitude
        self.steps = DIFFERENCE * np.concatenate([np.full(self.m, amplitude), size, [1.0]])
        floor = np.where(low >= 0.0, 0.0, -np.inf)
        self.floor = np.concatenate([np.full(self.m, -np.inf), floor, [0.0]])

    def _check_time(self, name: str, strain: Array, state: Array, dt: Array) -> None:
        """Refuse a law that knows time where no time is given to it."""
        if self.time is not None:
            return
        stress = self.ask(strain, state, dt, tangent=False).stress
        for length in (1e-6, 1e6):
            other = self.law.update(strain, state, length, tangent=False)
            gap = np.abs(other.stress - stress)[np.asarray(other.status) != _FAILED]
            if np.nan_to_num(gap).max(initial=0.0) > 1e-9 * np.nan_to_num(np.abs(stress)).max(initial=0.0):
                raise InputError(
                    f"{name} answers differently in a shorter step: give its neurons 'time', the length of one unit of "
                    "the feature dt (the mean step of the training data) in the law's unit of time, and the network "
                    "the features strain and dt."
                )


def _mean(sides: Array, usable: NDArray[np.bool_], steps: Array) -> Array:
    """Return the mean of the usable ones of two one-sided differences ``[2, …]`` per unit; 0 where none is."""
    number = np.maximum(usable.sum(axis=0), 1)
    return np.where(usable, sides, 0.0).sum(axis=0) / (number * steps)

"""The goals that the figures of a law are judged by, in one place, and the judgement.

Each goal has two bounds: what a law for production should reach, and what it may miss that by and still be useful
with care. They are no part of the contract: a law with bad figures runs, but it says so.
"""

import math
from dataclasses import dataclass
from enum import StrEnum

from pointlaw.laws.card import Figures

_SUPERSCRIPT = str.maketrans("-0123456789", "⁻⁰¹²³⁴⁵⁶⁷⁸⁹")


class Verdict(StrEnum):
    """How a figure stands to its goal."""

    GOOD = "good"
    FAIR = "fair"
    BAD = "bad"
    UNKNOWN = "not measured"


@dataclass(frozen=True)
class Goal:
    """What one figure should be.

    ``figure`` is the name in :class:`~pointlaw.laws.Figures` (of a dict the worst counts) and ``label`` what the table
    calls it. A value up to ``good`` is good, up to ``fair`` fair; with ``least`` the bounds are lower bounds. A value
    with ``percent`` is shown in per cent. ``advice`` says what to change when it is missed.
    """

    figure: str
    label: str
    good: float
    fair: float
    advice: str
    least: bool = False
    percent: bool = True

    def value(self, figures: Figures) -> float | None:
        """Return the figure as one number; ``None`` if it was not measured."""
        found = getattr(figures, self.figure)
        if isinstance(found, dict):
            return None if not found else max(found.values(), key=lambda v: math.inf if math.isnan(v) else v)
        return None if found is None else float(found)

    def judge(self, value: float | None) -> Verdict:
        """Return the verdict on ``value``; what is not a number is bad."""
        if value is None:
            return Verdict.UNKNOWN
        sign = -1.0 if self.least else 1.0
        for bound, verdict in ((self.good, Verdict.GOOD), (self.fair, Verdict.FAIR)):
            if sign * value <= sign * bound:
                return verdict
        return Verdict.BAD

    def show(self, value: float | None) -> str:
        """Return ``value`` as the table writes it."""
        if value is None:
            return "not measured"
        if not math.isfinite(value):
            return "not finite"
        if not self.percent:
            shown = f"{value:.3g}"
        elif value == 0.0 or abs(value) >= 1e-5:
            shown = f"{100 * value:.3g} %"
        else:  # the power of ten is what one wants to see
            mantissa, power = f"{value:.1e}".split("e")
            shown = f"{mantissa.removesuffix('.0')}·10{str(int(power)).translate(_SUPERSCRIPT)}"
        return shown.replace("-", "−")

    @property
    def wanted(self) -> str:
        """The goal as the table writes it."""
        return f"{'≥' if self.least else '≤'} {self.show(self.good)}"


_LEARN = "train longer or on more paths that look like these, or choose a cell with memory that fits"
_CELL = "choose a step-consistent cell, or train on refined paths (TrainConfig.refine)"
_REST = "use a cell whose answer is zero at rest (rest=True) and an elastic prior"
_SLOPE = "train on the tangent too (TrainConfig.tangent_weight)"
_ENERGY = "use a cell with a free energy, or an energy network for an elastic solid"

GOALS: tuple[Goal, ...] = (
    Goal("error_mean", "error of stress, mean", 0.02, 0.05, _LEARN),
    Goal("error_median", "error of stress, median", 0.02, 0.05, _LEARN),
    Goal("error_95", "error of stress, 95 %", 0.05, 0.10, _LEARN),
    Goal("tangent_error", "error of tangent, mean", 0.05, 0.15, _SLOPE),
    Goal("tangent_median", "error of tangent, median", 0.05, 0.15, _SLOPE),
    Goal("tangent_95", "error of tangent, 95 %", 0.20, 0.50, _SLOPE),
    Goal("stiffness_error", "error of stiffness at rest", 0.02, 0.10, _REST),
    Goal("refinement", "refined 16×, strain control", 1e-3, 0.02, _CELL),
    Goal("refinement_stress", "refined 16×, stress control", 5e-3, 0.05, _CELL),
    Goal("undriven", "paths not led by stress", 0, 1, "look for a limit load or a tangent that is not positive",
         percent=False),
    Goal("drift", "drift in 100 held steps", 1e-9, 0.01, _CELL),
    Goal("stress_at_rest", "stress at zero strain", 1e-9, 0.01, _REST),
    Goal("tangent_check", "tangent against differences", 1e-5, 1e-2,
         "the law's tangent is not the derivative of its stress: Newton's method will be slow; report it"),
    Goal("soft_share", "points with negative tangent", 0.0, 0.01, _SLOPE),
    Goal("softest", "smallest eigenvalue over largest", 0.0, -0.01, _SLOPE, least=True, percent=False),
    Goal("elliptic", "ellipticity, least", -1e-9, -0.01,
         "take a polyconvex energy, unless the body itself buckles: then it is rightly not elliptic", least=True,
         percent=False),
    Goal("cycle_work", "closed-cycle work, least", -1e-9, -0.01, _ENERGY, least=True),
    Goal("dissipation", "dissipation of a step, least", -1e-3, -0.01, _ENERGY, least=True),
    Goal("rotation", "frame indifference", 1e-9, 0.01, "use a network of invariants or of F through C = FᵀF"),
    Goal("failed", "points that failed", 0, 0, "the law answers with NaN or infinity inside its envelope",
         percent=False),
)  # fmt: skip


@dataclass(frozen=True)
class Judgement:
    """One figure, judged."""

    goal: Goal
    value: float | None
    verdict: Verdict

    @property
    def shown(self) -> str:
        """The value as the table writes it."""
        return self.goal.show(self.value)


def stands(measured: list[Judgement], card: list[Judgement] | None) -> list[Verdict]:
    """Return the verdict on each measured figure, or on the card's where nothing was measured."""
    if card is None:
        return [line.verdict for line in measured]
    return [m.verdict if m.value is not None else c.verdict for m, c in zip(measured, card, strict=True)]


def judge(figures: Figures, goals: tuple[Goal, ...] = GOALS) -> list[Judgement]:
    """Return each goal with the figure that stands for it and the verdict."""
    judged = []
    for goal in goals:
        value = goal.value(figures)
        judged.append(Judgement(goal, value, goal.judge(value)))
    return judged

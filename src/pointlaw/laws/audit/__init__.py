"""The audit of a law: figures for its card, goals to judge them by, and a page that shows them."""

from pointlaw.laws.audit.accuracy import FLOOR, relative_errors
from pointlaw.laws.audit.goals import GOALS, Goal, Judgement, Verdict, judge, stands
from pointlaw.laws.audit.measure import Audit, audit, envelope_paths, measure, measure_alone
from pointlaw.laws.audit.reading import refine

__all__ = [
    "FLOOR",
    "GOALS",
    "Audit",
    "Goal",
    "Judgement",
    "Verdict",
    "audit",
    "envelope_paths",
    "judge",
    "measure",
    "measure_alone",
    "refine",
    "relative_errors",
    "stands",
]

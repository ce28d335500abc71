"""Learned laws: the card, the file, and a network file as a Material."""

from pointlaw.laws.audit import Audit, Goal, Judgement, Verdict, audit, judge, measure, measure_alone
from pointlaw.laws.card import Envelope, Figures, LawCard, Probe, Provenance
from pointlaw.laws.explain import Explanation, explain
from pointlaw.laws.file import load_law, load_torchscript, read_card, save_law, write_card
from pointlaw.laws.learned import LearnedMaterial, one_thread
from pointlaw.laws.make import make_law
from pointlaw.laws.page import draw_page

__all__ = [
    "Audit",
    "Envelope",
    "Explanation",
    "Figures",
    "Goal",
    "Judgement",
    "LawCard",
    "LearnedMaterial",
    "Probe",
    "Provenance",
    "Verdict",
    "audit",
    "draw_page",
    "explain",
    "judge",
    "load_law",
    "load_torchscript",
    "make_law",
    "measure",
    "measure_alone",
    "one_thread",
    "read_card",
    "save_law",
    "write_card",
]

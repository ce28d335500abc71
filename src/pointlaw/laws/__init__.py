"""Learned laws: the card, the file, and a network file as a Material."""

from pointlaw.laws.audit import Audit, Goal, Judgement, Verdict, audit, judge, measure, measure_alone
from pointlaw.laws.card import Envelope, Figures, LawCard, Probe, Provenance
from pointlaw.laws.covered import with_density
from pointlaw.laws.density import Density
from pointlaw.laws.deviation import deviation
from pointlaw.laws.ensemble import Ensemble, calibrated, load_ensemble, save_ensemble
from pointlaw.laws.explain import Explanation, explain
from pointlaw.laws.file import load_law, load_torchscript, read_card, save_law, write_card
from pointlaw.laws.guard import Guarded, OutsidePaths, outside_paths
from pointlaw.laws.learned import LearnedMaterial, one_thread
from pointlaw.laws.make import audit_again, check_apart, make_law
from pointlaw.laws.neurons import LAWS, MaterialNeurons, make_material, neurons
from pointlaw.laws.page import check_page, draw_page

__all__ = [
    "LAWS",
    "Audit",
    "Density",
    "Ensemble",
    "Envelope",
    "Explanation",
    "Figures",
    "Goal",
    "Guarded",
    "Judgement",
    "LawCard",
    "LearnedMaterial",
    "MaterialNeurons",
    "OutsidePaths",
    "Probe",
    "Provenance",
    "Verdict",
    "audit",
    "audit_again",
    "calibrated",
    "check_apart",
    "check_page",
    "deviation",
    "draw_page",
    "explain",
    "judge",
    "load_ensemble",
    "load_law",
    "load_torchscript",
    "make_law",
    "make_material",
    "measure",
    "measure_alone",
    "neurons",
    "one_thread",
    "outside_paths",
    "read_card",
    "save_ensemble",
    "save_law",
    "with_density",
    "write_card",
]

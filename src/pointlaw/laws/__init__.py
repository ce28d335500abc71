"""Learned laws: the card, the file, and a network file as a Material."""

from pointlaw.laws.audit import audit
from pointlaw.laws.card import Envelope, Figures, LawCard, Probe, Provenance
from pointlaw.laws.file import load_law, load_torchscript, read_card, save_law, write_card
from pointlaw.laws.learned import LearnedMaterial, one_thread
from pointlaw.laws.make import make_law

__all__ = [
    "Envelope",
    "Figures",
    "LawCard",
    "LearnedMaterial",
    "Probe",
    "Provenance",
    "audit",
    "load_law",
    "load_torchscript",
    "make_law",
    "one_thread",
    "read_card",
    "save_law",
    "write_card",
]

"""Training: configuration, objective, fit, what it may begin from, Gaussian processes, and report."""

from pointlaw.training.active import refine_until_inside
from pointlaw.training.checkpoint import Epoch
from pointlaw.training.config import TrainConfig
from pointlaw.training.ensemble import fit_ensemble
from pointlaw.training.fit import FitReport, fit
from pointlaw.training.gaussian_process import GaussianProcessReport, fit_gaussian_process
from pointlaw.training.rounds import Refinement, Round, Run
from pointlaw.training.search import Range, SearchReport, TrialRow, search
from pointlaw.training.transfer import ReptileConfig, Start, reptile, start_from

__all__ = [
    "Epoch",
    "FitReport",
    "GaussianProcessReport",
    "Range",
    "Refinement",
    "ReptileConfig",
    "Round",
    "Run",
    "SearchReport",
    "Start",
    "TrainConfig",
    "TrialRow",
    "fit",
    "fit_ensemble",
    "fit_gaussian_process",
    "refine_until_inside",
    "reptile",
    "search",
    "start_from",
]

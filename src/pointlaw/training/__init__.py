"""Training: configuration, objective, fit, what it may begin from, Gaussian processes, and report."""

from pointlaw.training.checkpoint import Epoch
from pointlaw.training.config import TrainConfig
from pointlaw.training.fit import FitReport, fit
from pointlaw.training.gaussian_process import GaussianProcessReport, fit_gaussian_process
from pointlaw.training.search import Range, SearchReport, TrialRow, search
from pointlaw.training.transfer import ReptileConfig, Start, reptile, start_from

__all__ = [
    "Epoch",
    "FitReport",
    "GaussianProcessReport",
    "Range",
    "ReptileConfig",
    "SearchReport",
    "Start",
    "TrainConfig",
    "TrialRow",
    "fit",
    "fit_gaussian_process",
    "reptile",
    "search",
    "start_from",
]

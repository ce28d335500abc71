"""Training: configuration, objective, fit, what it may begin from, and report."""

from pointlaw.training.checkpoint import Epoch
from pointlaw.training.config import TrainConfig
from pointlaw.training.fit import FitReport, fit
from pointlaw.training.transfer import ReptileConfig, Start, reptile, start_from

__all__ = ["Epoch", "FitReport", "ReptileConfig", "Start", "TrainConfig", "fit", "reptile", "start_from"]

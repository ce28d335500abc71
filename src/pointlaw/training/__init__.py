"""Training: configuration, objective, fit and report."""

from pointlaw.training.checkpoint import Epoch
from pointlaw.training.config import TrainConfig
from pointlaw.training.fit import FitReport, fit

__all__ = ["Epoch", "FitReport", "TrainConfig", "fit"]

"""Training: configuration, objective, fit and report."""

from pointlaw.training.config import TrainConfig
from pointlaw.training.fit import Epoch, FitReport, fit

__all__ = ["Epoch", "FitReport", "TrainConfig", "fit"]

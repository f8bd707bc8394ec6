"""Member `ensemble`: several members asked together, their log-odds averaged and calibrated."""

from classifiers.ensemble.artifact import EnsembleCard, EnsemblePartCard, save_ensemble
from classifiers.ensemble.model import EnsembleClassifier

__all__ = ["EnsembleCard", "EnsembleClassifier", "EnsemblePartCard", "save_ensemble"]

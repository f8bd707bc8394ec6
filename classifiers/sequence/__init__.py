"""Member `sequence`: any Hugging Face sequence classifier or guard model, with its labels mapped to our categories."""

from classifiers.sequence.config import AnswersConfig, LabelsConfig
from classifiers.sequence.model import SequenceClassifier

__all__ = ["AnswersConfig", "LabelsConfig", "SequenceClassifier"]

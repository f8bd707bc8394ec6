"""Member `sequence`: any Hugging Face sequence classifier or guard model, its labels mapped to ours."""

from classifiers.sequence.config import AnswersConfig, LabelsConfig
from classifiers.sequence.model import SequenceClassifier

__all__ = ["AnswersConfig", "LabelsConfig", "SequenceClassifier"]

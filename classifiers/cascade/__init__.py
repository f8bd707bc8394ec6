"""Member `cascade`: a cheap member for all, and a dear one where the cheap one is not sure."""

from classifiers.cascade.artifact import BandCard, CascadeCard, DearCard, save_cascade
from classifiers.cascade.model import CascadeClassifier

__all__ = ["BandCard", "CascadeCard", "CascadeClassifier", "DearCard", "save_cascade"]

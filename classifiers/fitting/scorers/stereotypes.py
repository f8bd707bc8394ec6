"""Fitting the model of stereotyped statements of the scorer `bias`: ToxiGen's statements and our own templates."""

from __future__ import annotations

from pathlib import Path

from classifiers.fitting.replies.preparing import RowsConfig, prepare
from classifiers.fitting.scorers.ngrams import NgramConfig, Rows, fit_ngrams
from classifiers.lexical.model import LexicalClassifier
from classifiers.scorers.bias import CATEGORY

LIMITS = {"toxigen": 8000, "instructions": 1500, "stereotype_templates": 4500}
"""Set -> most rows of it."""


def rows(root: Path, seed: int) -> Rows:
    """What is fitted on and measured with."""
    return prepare(RowsConfig(root=root, behaviour=CATEGORY, limits=LIMITS, seed=seed))


def fit(found: Rows, seed: int, command: str) -> LexicalClassifier:
    """Fit the n-gram model. Raises `FitError` where the rows do not suffice."""
    return fit_ngrams(found, NgramConfig(category=CATEGORY, command=command, seed=seed))

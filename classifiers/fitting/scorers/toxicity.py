"""Fitting the scorer `toxicity`: comments, tweets and statements, harmless replies, and identity-term templates."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from classifiers.fitting.replies.preparing import RowsConfig, prepare
from classifiers.fitting.scorers.ngrams import NgramConfig, Rows, fit_ngrams
from classifiers.lexical.model import LexicalClassifier
from classifiers.scorers.toxicity import CATEGORY
from classifiers.scorers.toxicity.groups import without_groups

LIMITS = {
    "surge_toxicity": 1000,
    "wiki_comments": 1500,
    "moderation_api": 1700,
    "toxigen": 6000,
    "davidson_hate": 8000,
    "instructions": 1500,
    "self_dialogue": 3000,
    "school": 2500,
    "identity_templates": 3000,
}
"""Set -> most rows of it."""


def rows(root: Path, seed: int) -> Rows:
    """What is fitted on and measured with."""
    return prepare(RowsConfig(root=root, behaviour=CATEGORY, limits=LIMITS, seed=seed))


def fit(found: Rows, seed: int, command: str) -> LexicalClassifier:
    """Fit the n-gram model. Raises `FitError` where the rows do not suffice."""
    read = {split: [replace(row, reply=without_groups(row.reply)) for row in part] for split, part in found.items()}
    return fit_ngrams(read, NgramConfig(category=CATEGORY, command=command, seed=seed))

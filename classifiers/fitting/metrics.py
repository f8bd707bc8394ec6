"""Figures of a classifier: ranking, decisions at a false-positive budget, and calibration. Numpy only."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float64

from classifiers.errors import FitError

ECE_BINS = 10


@dataclass(frozen=True, slots=True, kw_only=True)
class ClassifierFigures:
    """How well scores match labels; nan where the prompts cannot show it (one class only)."""

    prompts: int
    positives: int
    auroc: float
    f1: float
    """At threshold 0.5."""
    recall_at_1_percent: float
    """Recall at the lowest threshold that at most 1 % of the negatives reach."""
    ece: float
    """Expected calibration error over ten equally wide bins."""


def classifier_figures(scores: Float64[np.ndarray, " n"], labels: Bool[np.ndarray, " n"]) -> ClassifierFigures:
    """All figures of one category.

    Raises:
        FitError: there are no prompts.
    """
    if len(scores) == 0:
        raise FitError("no prompts to measure a classifier on")
    return ClassifierFigures(
        prompts=len(scores),
        positives=int(labels.sum()),
        auroc=auroc(scores, labels),
        f1=f1(scores, labels),
        recall_at_1_percent=recall_at(scores, labels, 0.01),
        ece=expected_calibration_error(scores, labels.astype(np.float64)),
    )


def auroc(scores: Float64[np.ndarray, " n"], labels: Bool[np.ndarray, " n"]) -> float:
    """The chance that a positive outscores a negative, ties counting half; nan with one class only."""
    positives, negatives = int(labels.sum()), int((~labels).sum())
    if positives == 0 or negatives == 0:
        return math.nan
    _, inverse, counts = np.unique(scores, return_inverse=True, return_counts=True)
    ranks = (np.cumsum(counts) - (counts - 1) / 2.0)[inverse]
    return float((ranks[labels].sum() - positives * (positives + 1) / 2) / (positives * negatives))


def f1(scores: Float64[np.ndarray, " n"], labels: Bool[np.ndarray, " n"], threshold: float = 0.5) -> float:
    """F1 of `scores >= threshold`; nan where there is neither a positive nor an alarm."""
    alarms = scores >= threshold
    hits = int((alarms & labels).sum())
    total = int(alarms.sum()) + int(labels.sum())
    return 2 * hits / total if total else math.nan


def budget_threshold(negatives: Float64[np.ndarray, " n"], budget: float) -> float:
    """The lowest threshold t such that at most a share `budget` of the negative scores is >= t.

    Raises:
        FitError: there are no negatives, or the budget is outside [0, 1].
    """
    if len(negatives) == 0 or not 0 <= budget <= 1:
        raise FitError(f"{len(negatives)} negatives and a budget of {budget}; wanted some, and a share in [0, 1]")
    allowed = math.floor(budget * len(negatives) + 1e-9)
    if allowed >= len(negatives):
        return 0.0
    highest_refused = np.sort(negatives)[::-1][allowed]
    return float(np.nextafter(highest_refused, np.inf))


def recall_at(scores: Float64[np.ndarray, " n"], labels: Bool[np.ndarray, " n"], budget: float) -> float:
    """Share of positives at or above `budget_threshold`; nan with one class only."""
    if labels.all() or not labels.any():
        return math.nan
    return float((scores[labels] >= budget_threshold(scores[~labels], budget)).mean())


def expected_calibration_error(
    scores: Float64[np.ndarray, " n"], outcomes: Float64[np.ndarray, " n"], bins: int = ECE_BINS
) -> float:
    """Mean over prompts of |mean score - mean outcome| in the prompt's bin; outcomes in [0, 1]."""
    index = np.minimum((scores * bins).astype(np.int64), bins - 1)
    gaps = np.bincount(index, weights=scores - outcomes, minlength=bins)
    return float(np.abs(gaps).sum() / len(scores))

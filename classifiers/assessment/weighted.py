"""The figures of `classifiers.fitting.metrics` over weighted rows; with weights of 1 they are the same numbers.

A bootstrap resample is a vector of weights (how often each group was drawn), so one sorting of the scores serves all
resamples. Every function returns nan where the weighted rows cannot show the figure.
"""

from __future__ import annotations

import math

import numpy as np
from jaxtyping import Bool, Float64

from classifiers.fitting.metrics import ECE_BINS

Scores = Float64[np.ndarray, " n"]
Labels = Bool[np.ndarray, " n"]
Weights = Float64[np.ndarray, " n"]

_ROUNDING = 1e-9


def weighted_auroc(scores: Scores, labels: Labels, weights: Weights) -> float:
    """The chance that a positive outscores a negative, both drawn by weight, ties counting half."""
    _, place = np.unique(scores, return_inverse=True)
    positive = np.bincount(place, weights=weights * labels)
    negative = np.bincount(place, weights=weights * ~labels)
    pairs = positive.sum() * negative.sum()
    if pairs == 0:
        return math.nan
    below = np.cumsum(negative) - negative
    return float((positive * (below + 0.5 * negative)).sum() / pairs)


def weighted_f1(scores: Scores, labels: Labels, weights: Weights, threshold: float) -> float:
    """F1 of `scores >= threshold`."""
    alarms = scores >= threshold
    total = weights[alarms].sum() + weights[labels].sum()
    return float(2 * weights[alarms & labels].sum() / total) if total > 0 else math.nan


def weighted_threshold(negatives: Scores, weights: Weights, budget: float) -> float:
    """The lowest threshold that at most a share `budget` of the negatives' weight reaches; nan without weight."""
    total = weights.sum()
    if total <= 0:
        return math.nan
    order = np.argsort(-negatives, kind="stable")
    over = np.cumsum(weights[order]) > budget * total + _ROUNDING
    if not over.any():
        return 0.0
    return float(np.nextafter(negatives[order][int(np.argmax(over))], np.inf))


def weighted_recall(scores: Scores, positives: Labels, negatives: Labels, weights: Weights, budget: float) -> float:
    """Share of the positives' weight at or above the threshold that `budget` of the negatives' weight reaches."""
    threshold = weighted_threshold(scores[negatives], weights[negatives], budget)
    total = weights[positives].sum()
    if math.isnan(threshold) or total <= 0:
        return math.nan
    return float(weights[positives & (scores >= threshold)].sum() / total)


def weighted_ece(scores: Scores, labels: Labels, weights: Weights) -> float:
    """Expected calibration error over equally wide bins."""
    total = weights.sum()
    if total <= 0:
        return math.nan
    index = np.minimum((scores * ECE_BINS).astype(np.int64), ECE_BINS - 1)
    gaps = np.bincount(index, weights=weights * (scores - labels), minlength=ECE_BINS)
    return float(np.abs(gaps).sum() / total)

"""How much each part of an ensemble counts: fitted on scores of unseen families, as the calibration is.

Per category a logistic regression of the label on the parts' calibrated log-odds, no weight below 0. The weights and
the calibration of `EnsembleCard` are its coefficients, so that what ships computes exactly what was fitted.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float64

from classifiers.assessment.scored import ScoredRows, truth
from classifiers.errors import FitError
from classifiers.fitting.calibration import PlattScaling
from classifiers.fitting.requests.calibrating import fit_scalings, of_other_families
from classifiers.fitting.requests.folds import FoldScores
from classifiers.fitting.requests.logistic import fit_logistic
from classifiers.fitting.requests.recipes import CATEGORIES, Logits
from classifiers.fitting.requests.table import Numbers, RequestTable

REGULARISATION = 100.0
"""Inverse strength; three numbers fitted on thousands of rows need hardly any."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Stacking:
    """P = sigmoid(sum over parts of weight * calibrated log-odds + intercept)."""

    weights: Float64[np.ndarray, "part category"]
    """At least 0, and above 0 for one part of every category."""
    intercept: Float64[np.ndarray, " category"]


def fit_stacking(table: RequestTable, numbers: Numbers, odds: Sequence[Logits]) -> Stacking:
    """Weights on those rows that may train.

    Args:
        table: of the rows.
        numbers: which rows the odds are of.
        odds: calibrated log-odds of each part.
    """
    rows = table.at(numbers)
    may = np.array([row.trains for row in rows], dtype=np.bool_)
    weights, intercept = np.zeros((len(odds), len(CATEGORIES))), np.zeros(len(CATEGORIES))
    for column, category in enumerate(CATEGORIES):
        known = truth(rows, category)
        used = known.known & may
        features = np.stack([part[used, column] for part in odds], axis=1)
        weights[:, column], intercept[column] = _column(features, known.labels[used])
    return Stacking(weights=weights, intercept=intercept)


def stacked(odds: Sequence[Logits], stacking: Stacking) -> dict[str, Float64[np.ndarray, " row"]]:
    """Category -> probability of every row."""
    logits = np.einsum("prc,pc->rc", np.stack(list(odds)), stacking.weights) + stacking.intercept
    probabilities = 0.5 * (1.0 + np.tanh(0.5 * logits))
    return {category: probabilities[:, column] for column, category in enumerate(CATEGORIES)}


def calibrated_odds(logits: Logits, scalings: Sequence[PlattScaling]) -> Logits:
    """Log-odds of every row after each category's scaling."""
    odds: Logits = logits * np.array([s.slope for s in scalings]) + np.array([s.intercept for s in scalings])
    return odds


def cross_stacked(table: RequestTable, parts: Sequence[Sequence[FoldScores]]) -> Mapping[str, ScoredRows]:
    """Fold's family -> its rows with the ensemble's scores; scalings and weights come from other families' rows.

    Args:
        table: of the rows.
        parts: the same folds of each part.

    Raises:
        FitError: the folds of the parts differ.
    """
    scored = {}
    for folds in zip(*parts, strict=True):
        if len({tuple(fold.numbers.tolist()) for fold in folds}) != 1:
            raise FitError(f"the parts measured other rows without {folds[0].fold.family}; wanted the same")
        numbers, own, others = folds[0].numbers, [], []
        for found, fold in zip(parts, folds, strict=True):
            apart, logits = of_other_families(table, found, fold)
            scalings = fit_scalings(table, apart, logits)
            others.append(calibrated_odds(logits, scalings))
            own.append(calibrated_odds(fold.logits, scalings))
        scores = stacked(own, fit_stacking(table, apart, others))
        scored[folds[0].fold.family] = ScoredRows(rows=table.at(numbers), scores=scores)
    return scored


def _column(
    features: Float64[np.ndarray, "row part"], labels: Bool[np.ndarray, " row"]
) -> tuple[Float64[np.ndarray, " part"], float]:
    """Weights of one category; those that come out below 0 are left out, and the others fitted again."""
    parts = features.shape[1]
    if labels.all() or not labels.any():
        return np.full(parts, 1 / parts), 0.0
    used = list(range(parts))
    targets = labels.astype(np.float64)[:, None]
    while used:
        fitted = fit_logistic(
            features[:, used], targets, np.ones_like(targets), regularisation=REGULARISATION, tolerance=1e-6
        )
        below = [part for part, weight in zip(used, fitted.weights[:, 0], strict=True) if weight <= 0]
        if not below:
            weights = np.zeros(parts)
            weights[used] = fitted.weights[:, 0]
            return weights, float(fitted.intercept[0])
        used = [part for part in used if part not in below]
    return np.full(parts, 1 / parts), 0.0

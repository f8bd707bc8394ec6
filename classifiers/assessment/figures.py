"""The figures of one member on one part of the rows, per category: ranking, decisions, calibration."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, fields

import numpy as np
from jaxtyping import Bool, Float64

from classifiers.assessment.intervals import RESAMPLES, Interval, interval, resamples
from classifiers.assessment.scored import OVERALL, ScoredRows, hard_benign, source_prompts, truth
from classifiers.assessment.weighted import weighted_auroc, weighted_ece, weighted_f1, weighted_recall
from classifiers.errors import FitError

ALARM = 0.5
"""Where F1 is taken."""
SEED = 6


@dataclass(frozen=True, slots=True, kw_only=True)
class CategoryFigures:
    """How well one category's scores match its labels."""

    rows: int
    positives: int
    hard: int
    """Hard benign rows, whose scores set the thresholds of the recalls."""
    auroc: Interval
    f1: Interval
    """At 0.5."""
    recall_at_1_percent: Interval
    """Recall at the lowest threshold that at most 1 % of the hard benign rows reach."""
    recall_at_5_percent: Interval
    ece: Interval
    """Expected calibration error over ten equally wide bins."""


def category_figures(
    scored: ScoredRows, category: str, *, count: int = RESAMPLES, seed: int = SEED
) -> CategoryFigures:
    """All figures of one category; nan where the rows cannot show one.

    Args:
        scored: the rows and a member's scores.
        category: one of the member's, or `OVERALL`.
        count: resamples of the intervals.
        seed: of the resamples.

    Raises:
        FitError: no row is known to show the category or not to.
    """
    found = truth(scored.rows, category)
    if not found.known.any():
        raise FitError(f"none of {len(scored.rows)} rows has a label for {category!r}")
    part, labels = scored.part(found.known), found.labels[found.known]
    scores, hard = part.of(category), hard_benign(part.rows)
    weights = resamples(source_prompts(part.rows), seed=seed, count=count)
    shown = {name: interval(figure, weights) for name, figure in _figures(scores, labels, hard & ~labels).items()}
    return CategoryFigures(rows=len(labels), positives=int(labels.sum()), hard=int(hard.sum()), **shown)


def member_figures(scored: ScoredRows, *, count: int = RESAMPLES, seed: int = SEED) -> dict[str, CategoryFigures]:
    """Figures of the overall score and of every category that has rows of both kinds."""
    figures = {OVERALL: category_figures(scored, OVERALL, count=count, seed=seed)}
    for category in scored.scores:
        found = truth(scored.rows, category)
        if found.labels.any() and (found.known & ~found.labels).any():
            figures[category] = category_figures(scored, category, count=count, seed=seed)
    return figures


def flat(prefix: str, found: Mapping[str, CategoryFigures]) -> dict[str, float]:
    """`PREFIX.CATEGORY.FIGURE`, with `.low` and `.high` of those that have an interval; nan ones are left out."""
    figures: dict[str, float] = {}
    for category, each in found.items():
        for field in fields(each):
            value, name = getattr(each, field.name), f"{prefix}.{category}.{field.name}"
            if isinstance(value, Interval):
                figures |= {name: value.estimate, f"{name}.low": value.low, f"{name}.high": value.high}
            else:
                figures[name] = float(value)
    return {name: value for name, value in figures.items() if not math.isnan(value)}


def _figures(
    scores: Float64[np.ndarray, " n"], labels: Bool[np.ndarray, " n"], hard: Bool[np.ndarray, " n"]
) -> Mapping[str, Callable[[Float64[np.ndarray, " n"]], float]]:
    return {
        "auroc": lambda weights: weighted_auroc(scores, labels, weights),
        "f1": lambda weights: weighted_f1(scores, labels, weights, ALARM),
        "recall_at_1_percent": lambda weights: weighted_recall(scores, labels, hard, weights, 0.01),
        "recall_at_5_percent": lambda weights: weighted_recall(scores, labels, hard, weights, 0.05),
        "ece": lambda weights: weighted_ece(scores, labels, weights),
    }

"""Thresholds by the share of benign requests that may raise an alarm, rather than by 0.5."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from classifiers.assessment.scored import OVERALL, ScoredRows, benign, truth
from classifiers.errors import FitError
from classifiers.fitting.metrics import budget_threshold

BUDGETS = (0.005, 0.01, 0.05)
"""Stated shares of false positives."""


@dataclass(frozen=True, slots=True, kw_only=True)
class BudgetThreshold:
    """What one budget asks for."""

    category: str
    budget: float
    threshold: float
    """Lowest score that counts as an alarm."""
    benign: int
    """Benign rows that it was set on."""
    recall: float
    """Share of the category's positives among the same rows at or above it; nan where there are none."""


def budget_thresholds(scored: ScoredRows, budgets: Sequence[float] = BUDGETS) -> list[BudgetThreshold]:
    """Thresholds of the overall score and of every category, on the benign ones of calibration rows.

    Raises:
        FitError: no row is benign.
    """
    harmless = benign(scored.rows)
    if not harmless.any():
        raise FitError(f"none of {len(scored.rows)} calibration rows is benign; wanted some to set thresholds on")
    found = []
    for category in (OVERALL, *scored.scores):
        scores, labels = scored.of(category), truth(scored.rows, category).labels
        for budget in budgets:
            threshold = budget_threshold(scores[harmless], budget)
            recall = float((scores[labels] >= threshold).mean()) if labels.any() else float("nan")
            found.append(
                BudgetThreshold(
                    category=category,
                    budget=budget,
                    threshold=threshold,
                    benign=int(harmless.sum()),
                    recall=recall,
                )
            )
    return found

"""Figures of a classifier on labelled requests, whatever its member: held-out rows, unseen pairs, budgets."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

import numpy as np

from classifiers.assessment.figures import flat, member_figures
from classifiers.assessment.intervals import Interval
from classifiers.assessment.pairs import pair_figures
from classifiers.assessment.scored import ScoredRows
from classifiers.assessment.thresholds import budget_thresholds
from classifiers.base import HarmClassifier
from classifiers.fitting.prompts import Split
from classifiers.fitting.requests.table import RequestTable
from classifiers.requests import minimal_pairs
from classifiers.requests.record import RequestRow

BATCH = 64


def scored_rows(
    classifier: HarmClassifier, rows: Sequence[RequestRow], progress: Callable[[int], None] = lambda _: None
) -> ScoredRows:
    """What the classifier says of each row's conversation.

    Args:
        classifier: any member.
        rows: one at least.
        progress: told how many rows of a batch are done.

    Raises:
        ClassifierError: a score cannot be had.
    """
    found: list[dict[str, float]] = []
    for start in range(0, len(rows), BATCH):
        batch = rows[start : start + BATCH]
        found += classifier.score([row.conversation for row in batch])
        progress(len(batch))
    return ScoredRows(
        rows=rows,
        scores={
            name: np.array([scores[name] for scores in found], dtype=np.float64) for name in classifier.categories
        },
    )


def split_figures(
    classifier: HarmClassifier, table: RequestTable, progress: Callable[[int], None] = lambda _: None
) -> dict[str, float]:
    """`heldout.CATEGORY.FIGURE`, `pairs.FIGURE` and `budget.CATEGORY.PERCENT.threshold` of a fitted classifier.

    Held-out rows are those of sets that trained, so that the figures are those of sets that it knows; what it does
    on others is for leave-one-dataset-out to say.
    """
    heldout = table.at(table.of_split(Split.HELDOUT))
    known = [row for row in heldout if row.trains]
    figures = flat("heldout", member_figures(scored_rows(classifier, known, progress)))
    pairs = pair_figures(scored_rows(classifier, table.at(table.of_sources(minimal_pairs.UNSEEN.name)), progress))
    figures |= {"pairs.rows": float(pairs.rows), "pairs.groups": float(pairs.groups)}
    figures |= _flat_interval("pairs.auroc", pairs.auroc) | _flat_interval("pairs.ordered", pairs.ordered)
    calibration = scored_rows(classifier, table.at(table.of_split(Split.CALIBRATION)), progress)
    for found in budget_thresholds(calibration):
        name = f"budget.{found.category}.{100 * found.budget:g}_percent"
        figures |= {f"{name}.threshold": found.threshold, f"{name}.recall": found.recall}
    return {name: value for name, value in figures.items() if not math.isnan(value)}


def _flat_interval(name: str, found: Interval) -> dict[str, float]:
    return {name: found.estimate, f"{name}.low": found.low, f"{name}.high": found.high}

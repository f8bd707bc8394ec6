"""Log-odds of unseen sets to probabilities: Platt scaling per category on out-of-fold scores.

Scores of rows whose sets were fitted on are far surer than those of a new set, so a scaling that is fitted on them
is wrong where it is needed. Here every score comes from a fit that has not seen the row's family.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from jaxtyping import Float64

from classifiers.assessment.scored import ScoredRows, joined, truth
from classifiers.errors import FitError
from classifiers.fitting.calibration import PlattScaling, fit_platt, smoothed_targets
from classifiers.fitting.requests.folds import FoldScores, pooled
from classifiers.fitting.requests.recipes import CATEGORIES, Logits
from classifiers.fitting.requests.table import Numbers, RequestTable

AS_IT_IS = PlattScaling(slope=1.0, intercept=0.0)
"""For a category that the rows cannot calibrate."""


def fit_scalings(table: RequestTable, numbers: Numbers, logits: Logits) -> list[PlattScaling]:
    """A scaling a category, on those rows that may train; `AS_IT_IS` where they do not rank the category's labels."""
    rows = table.at(numbers)
    may = np.array([row.trains for row in rows], dtype=np.bool_)
    found = []
    for column, category in enumerate(CATEGORIES):
        known = truth(rows, category)
        used = known.known & may
        found.append(_scaling(logits[used, column], known.labels[used]))
    return found


def scaled(logits: Logits, scalings: Sequence[PlattScaling]) -> dict[str, Float64[np.ndarray, " row"]]:
    """Category -> probability of every row."""
    return {
        category: scaling(logits[:, column])
        for column, (category, scaling) in enumerate(zip(CATEGORIES, scalings, strict=True))
    }


def of_other_families(table: RequestTable, found: Sequence[FoldScores], part: FoldScores) -> tuple[Numbers, Logits]:
    """The rows that the other folds measure, each once, without those of families that `part` leaves out."""
    numbers, logits = pooled(other for other in found if other is not part)
    apart = np.array([row.family not in part.fold.families for row in table.at(numbers)], dtype=np.bool_)
    return numbers[apart], logits[apart]


def cross_calibrated(table: RequestTable, found: Sequence[FoldScores]) -> Mapping[str, ScoredRows]:
    """Fold's family -> its rows with scores whose scaling was fitted on the rows of the other folds alone.

    Raises:
        FitError: there are fewer than two folds.
    """
    if len(found) < 2:
        raise FitError(f"{len(found)} fold; wanted two or more, as a fold is calibrated on the others")
    scored = {}
    for part in found:
        scalings = fit_scalings(table, *of_other_families(table, found, part))
        scored[part.fold.family] = ScoredRows(rows=table.at(part.numbers), scores=scaled(part.logits, scalings))
    return scored


def pooled_scores(found: Sequence[FoldScores], scored: Mapping[str, ScoredRows]) -> ScoredRows:
    """The rows of all folds, each once, as `folds.pooled` takes them."""
    seen: set[int] = set()
    parts = []
    for part in found:
        fresh = np.array([number not in seen for number in part.numbers.tolist()], dtype=np.bool_)
        seen.update(part.numbers.tolist())
        parts.append(scored[part.fold.family].part(fresh))
    return joined(parts)


def _scaling(logits: Float64[np.ndarray, " n"], labels: np.ndarray) -> PlattScaling:
    if labels.all() or not labels.any():
        return AS_IT_IS
    try:
        return fit_platt(logits, smoothed_targets(labels))
    except FitError:
        return AS_IT_IS

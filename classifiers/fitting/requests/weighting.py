"""How much each row counts for each category: large sets must not drown small ones, nor sets tell the labels.

Within a set both labels of a category weigh the same, as far as `heaviest` allows: else what tells a set of attacks
from a set of school questions stands in for what tells harm. A set's total grows with its rows to the power
`set_power`. Hard benign requests, and both sides of minimal pairs, count more.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float64

from classifiers.assessment.scored import truth
from classifiers.errors import FitError
from classifiers.requests.record import RequestRow


@dataclass(frozen=True, slots=True, kw_only=True)
class Weighting:
    """What decides the weights of rows."""

    set_power: float = 0.5
    """1: a set counts by its rows; 0: all sets count the same. In [0, 1]."""
    hard: float = 2.0
    """Factor of hard benign rows, above 0."""
    paired: float = 1.0
    """Factor of the rows of `paired_sources`, above 0."""
    paired_sources: Collection[str] = ()
    """Sets of minimal pairs."""
    heaviest: float = 4.0
    """Most that the rarer label of a set counts more than the other, at least 1."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Labelled:
    """What a fit is given of the rows' labels."""

    targets: Float64[np.ndarray, "row category"]
    importance: Float64[np.ndarray, "row category"]
    """0 where a category is not known; over the known rows of a category 1 on average."""


def labelled(rows: Sequence[RequestRow], categories: Sequence[str], weighting: Weighting) -> Labelled:
    """Targets and weights of every row for every category.

    Raises:
        FitError: a category has no row of one of the labels.
    """
    columns = [_column(rows, category, weighting) for category in categories]
    return Labelled(
        targets=np.stack([targets for targets, _ in columns], axis=1),
        importance=np.stack([importance for _, importance in columns], axis=1),
    )


def _column(
    rows: Sequence[RequestRow], category: str, weighting: Weighting
) -> tuple[Float64[np.ndarray, " row"], Float64[np.ndarray, " row"]]:
    found = truth(rows, category)
    positives, negatives = int(found.labels.sum()), int((found.known & ~found.labels).sum())
    if positives == 0 or negatives == 0:
        raise FitError(f"category {category!r} has {positives} positive and {negatives} negative rows; wanted both")
    known = np.flatnonzero(found.known).tolist()
    sizes = Counter(rows[i].source for i in known)
    sides = Counter((rows[i].source, bool(found.labels[i])) for i in known)
    importance = np.zeros(len(rows))
    for i in known:
        row, label = rows[i], bool(found.labels[i])
        own, other = sides[row.source, label], sides[row.source, not label]
        balance = min(weighting.heaviest, (own + other) / (2 * own)) if other else 1.0
        importance[i] = sizes[row.source] ** (weighting.set_power - 1) * balance * _factor(row, weighting)
    return found.labels.astype(np.float64), importance * len(known) / importance.sum()


def _factor(row: RequestRow, weighting: Weighting) -> float:
    hard = weighting.hard if row.hard and not row.harmful else 1.0
    return hard * (weighting.paired if row.source in weighting.paired_sources else 1.0)

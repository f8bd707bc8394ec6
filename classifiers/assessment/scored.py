"""Rows with a member's scores, and what counts as a positive and as a negative of a category.

A category is known of a row where the row names it. `overall` is the highest score of all categories, as `scalpel
classifier score` prints it, against whether complying is harmful; a harmless request that careless replies make
harmful (an occupation question and bias) is neither, as its highest score may be high for good reason.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float64

from classifiers.assessment.intervals import numbered
from classifiers.errors import FitError
from classifiers.requests.record import REQUEST_CATEGORIES, RequestRow

OVERALL = "overall"
"""The highest score of the categories, in figures."""
HARM = "harm"
"""The category of a request that it is harmful to comply with, whatever the way."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Truth:
    """What is known of one category over rows."""

    known: Bool[np.ndarray, " row"]
    labels: Bool[np.ndarray, " row"]
    """False where it is not known."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ScoredRows:
    """Labelled requests and what one member says of them."""

    rows: Sequence[RequestRow]
    scores: Mapping[str, Float64[np.ndarray, " row"]]
    """Category -> probability of every row."""

    def __post_init__(self) -> None:
        lengths = {name: len(found) for name, found in self.scores.items() if len(found) != len(self.rows)}
        if lengths or not self.scores:
            raise FitError(f"scores of {lengths or 'no category'}; wanted {len(self.rows)} of every category")

    def of(self, category: str) -> Float64[np.ndarray, " row"]:
        """Scores of a category, or the highest of all for `OVERALL`."""
        if category != OVERALL:
            return self.scores[category]
        highest: Float64[np.ndarray, " row"] = np.max(np.stack(list(self.scores.values())), axis=0)
        return highest

    def part(self, chosen: Bool[np.ndarray, " row"]) -> ScoredRows:
        """The rows where `chosen` holds."""
        rows = [self.rows[i] for i in np.flatnonzero(chosen).tolist()]
        return ScoredRows(rows=rows, scores={name: found[chosen] for name, found in self.scores.items()})


def joined(parts: Sequence[ScoredRows]) -> ScoredRows:
    """Several parts as one, in order."""
    names = list(parts[0].scores)
    return ScoredRows(
        rows=[row for part in parts for row in part.rows],
        scores={name: np.concatenate([part.scores[name] for part in parts]) for name in names},
    )


def truth(rows: Sequence[RequestRow], category: str) -> Truth:
    """Whether the category is known of each row, and whether it applies.

    Raises:
        FitError: the category is not one of the label space.
    """
    if category in (OVERALL, HARM):
        return Truth(
            known=np.array([row.harmful or not any(row.labels.values()) for row in rows], dtype=np.bool_),
            labels=np.array([row.harmful for row in rows], dtype=np.bool_),
        )
    if category not in REQUEST_CATEGORIES:
        raise FitError(f"category {category!r} is not known; known: {HARM}, {', '.join(REQUEST_CATEGORIES)}")
    return Truth(
        known=np.array([category in row.labels for row in rows], dtype=np.bool_),
        labels=np.array([bool(row.labels.get(category, False)) for row in rows], dtype=np.bool_),
    )


def hard_benign(rows: Sequence[RequestRow]) -> Bool[np.ndarray, " row"]:
    """Which rows are benign requests in dangerous words."""
    return np.array([row.hard and not row.harmful for row in rows], dtype=np.bool_)


def benign(rows: Sequence[RequestRow]) -> Bool[np.ndarray, " row"]:
    """Which rows are harmless to comply with."""
    return np.array([not row.harmful for row in rows], dtype=np.bool_)


def source_prompts(rows: Sequence[RequestRow]) -> np.ndarray:
    """Number of each row's source prompt: equal names are one, as sets quote each other's prompts."""
    return numbered([row.group for row in rows])

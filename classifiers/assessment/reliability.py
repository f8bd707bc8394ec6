"""How often what is said with probability p is so: the rows of a reliability diagram."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float64

from classifiers.errors import FitError
from classifiers.fitting.metrics import ECE_BINS


@dataclass(frozen=True, slots=True, kw_only=True)
class ReliabilityBin:
    """The rows whose score lies in [low, high), the last bin including 1."""

    low: float
    high: float
    rows: int
    score: float
    """Mean score of the rows."""
    share: float
    """Share of them that are positive."""


def reliability(scores: Float64[np.ndarray, " n"], labels: Bool[np.ndarray, " n"]) -> list[ReliabilityBin]:
    """The bins that hold a row, in order; the bins of the expected calibration error.

    Raises:
        FitError: a score is outside [0, 1].
    """
    if len(scores) and (scores.min() < 0 or scores.max() > 1):
        raise FitError(f"scores reach from {scores.min()} to {scores.max()}; wanted probabilities")
    index = np.minimum((scores * ECE_BINS).astype(np.int64), ECE_BINS - 1)
    return [
        ReliabilityBin(
            low=found / ECE_BINS,
            high=(found + 1) / ECE_BINS,
            rows=int((index == found).sum()),
            score=float(scores[index == found].mean()),
            share=float(labels[index == found].mean()),
        )
        for found in sorted(set(index.tolist()))
    ]


def error_of(bins: list[ReliabilityBin]) -> float:
    """The expected calibration error that the bins show.

    Raises:
        FitError: there are none.
    """
    rows = sum(found.rows for found in bins)
    if rows == 0:
        raise FitError("no bins; wanted those of at least one row")
    return sum(found.rows * abs(found.score - found.share) for found in bins) / rows

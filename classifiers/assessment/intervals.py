"""Bootstrap intervals of a figure of weighted rows, groups of rows drawn together."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float64, Int64

from classifiers.errors import FitError

RESAMPLES = 300
LEVEL = 0.95
_FEWEST_DRAWS = 0.9
"""Share of the resamples that must show the figure; below it the interval is nan rather than a flattering one."""

Figure = Callable[[Float64[np.ndarray, " row"]], float]
"""From the rows' weights to a number, nan where they cannot show it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Interval:
    """A figure with its percentile interval; nan where the rows cannot show it."""

    estimate: float
    low: float
    high: float


def numbered(groups: Sequence[str]) -> Int64[np.ndarray, " row"]:
    """Each row's group as a number from 0."""
    return np.unique(np.asarray(groups, dtype=np.str_), return_inverse=True)[1].astype(np.int64)


def resamples(
    groups: Int64[np.ndarray, " row"], *, seed: int, count: int = RESAMPLES
) -> Float64[np.ndarray, "resample row"]:
    """How often each row stands in each resample of as many groups as there are.

    Raises:
        FitError: there are no rows, or no resample is wanted.
    """
    if len(groups) == 0 or count < 1:
        raise FitError(f"{len(groups)} rows and {count} resamples; wanted some of both")
    known = int(groups.max()) + 1
    random = np.random.default_rng(seed)
    drawn = np.stack([np.bincount(random.integers(known, size=known), minlength=known) for _ in range(count)])
    weights: Float64[np.ndarray, "resample row"] = drawn[:, groups].astype(np.float64)
    return weights


def interval(figure: Figure, weights: Float64[np.ndarray, "resample row"]) -> Interval:
    """The figure of the rows as they are, and its percentiles over the resamples (Efron and Tibshirani 1993)."""
    estimate = figure(np.ones(weights.shape[1]))
    draws = np.array([figure(drawn) for drawn in weights])
    shown = draws[~np.isnan(draws)]
    if math.isnan(estimate) or len(shown) < _FEWEST_DRAWS * len(draws):
        return Interval(estimate=estimate, low=math.nan, high=math.nan)
    low, high = np.quantile(shown, [0.5 - LEVEL / 2, 0.5 + LEVEL / 2])
    return Interval(estimate=estimate, low=float(low), high=float(high))

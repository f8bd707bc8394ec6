"""The best division of the harm potentials into segments with one variant each, found exactly.

Prompts are sorted by harm potential; those with the same one belong together. The cost of prompts 1 to j with k
segments, the last of variant v, is the cost of j under v plus the lesser of two that are known: the same without j,
or the best with k - 1 segments that end in another variant (dynamic programming over all thresholds at once).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float64, Int64

from classifiers.errors import FitError

_EQUAL = 1e-12
"""Mean costs closer than this are the same: sums in another order differ by less."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Division:
    """Segments of the harm potential in order, and what they cost."""

    starts: tuple[float, ...]
    """The first is 0."""
    variants: tuple[int, ...]
    """One a segment; neighbours differ."""
    cost: float
    """Mean over prompts."""


def best_division(
    harm_potential: Float64[np.ndarray, " prompt"], cost: Float64[np.ndarray, "variant prompt"], most_segments: int
) -> Division:
    """The cheapest division into at most so many segments; the fewest segments of those that cost the same.

    Raises:
        FitError: there are no prompts, no variants, or no segments allowed.
    """
    if cost.size == 0 or most_segments < 1:
        raise FitError(f"costs of {cost.shape} and {most_segments} segments; wanted variants, prompts and a segment")
    points, place = np.unique(harm_potential, return_inverse=True)
    grouped = np.stack([np.bincount(place, weights=row, minlength=len(points)) for row in cost])
    totals, came_from = _table(grouped, most_segments)
    ends = [float(totals[k, :, -1].min()) / cost.shape[1] for k in range(most_segments)]
    chosen = next(k for k, found in enumerate(ends) if found <= min(ends) + _EQUAL)
    return _traced(points, came_from, chosen, int(totals[chosen, :, -1].argmin()), ends[chosen])


def _table(
    cost: Float64[np.ndarray, "variant point"], most_segments: int
) -> tuple[Float64[np.ndarray, "segment variant point"], Int64[np.ndarray, "segment variant point"]]:
    """Cheapest cost up to each point with exactly so many segments, and the variant at the point before."""
    variants, points = cost.shape
    totals = np.full((most_segments, variants, points), np.inf)
    came_from = np.tile(np.arange(variants)[None, :, None], (most_segments, 1, points))
    totals[0] = np.cumsum(cost, axis=1)
    for k in range(1, most_segments):
        for j in range(k, points):
            for v in range(variants):
                stayed = totals[k, v, j - 1]
                others = [(totals[k - 1, u, j - 1], u) for u in range(variants) if u != v]
                switched, other = min(others, default=(np.inf, v))
                # A tie stays: the threshold then lies as low as it can.
                came_from[k, v, j] = v if stayed <= switched else other
                totals[k, v, j] = min(stayed, switched) + cost[v, j]
    return totals, came_from


def _traced(
    points: Float64[np.ndarray, " point"],
    came_from: Int64[np.ndarray, "segment variant point"],
    segment: int,
    variant: int,
    cost: float,
) -> Division:
    """Walk back from the last point."""
    starts: list[float] = []
    variants = [variant]
    for j in range(len(points) - 1, 0, -1):
        before = int(came_from[segment, variant, j])
        if before != variant:
            starts.append(_between(float(points[j - 1]), float(points[j])))
            variants.append(before)
            segment, variant = segment - 1, before
    return Division(starts=(0.0, *reversed(starts)), variants=tuple(reversed(variants)), cost=cost)


def _between(low: float, high: float) -> float:
    """A threshold that `high` reaches and `low` does not."""
    middle = (low + high) / 2
    return middle if low < middle else high

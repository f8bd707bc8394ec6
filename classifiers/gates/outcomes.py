"""What a way of choosing strengths does to each prompt of a table, and its means with intervals over prompts."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float64, Int64

from breakers.plan import STRENGTH_STEPS
from classifiers.assessment.intervals import Interval, interval
from classifiers.gate_fit import GateFitConfig
from classifiers.gate_table import GateTable

Weights = Float64[np.ndarray, "resample prompt"]
Figures = dict[str, Interval]


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcomes:
    """One row a prompt."""

    strength: Float64[np.ndarray, " prompt"]
    harm: Float64[np.ndarray, " prompt"]
    change: Float64[np.ndarray, " prompt"]
    """Nats a token."""
    cost: Float64[np.ndarray, " prompt"]
    """harm_coef * harm + change_coef * change."""

    def put(self, rows: Bool[np.ndarray, " prompt"], other: Outcomes) -> None:
        """Take over some rows of `other`, in place: how folds are put together."""
        for name in ("strength", "harm", "change", "cost"):
            getattr(self, name)[rows] = getattr(other, name)[rows]


def cost_of(table: GateTable, config: GateFitConfig) -> Float64[np.ndarray, "prompt level"]:
    """The cost that a gate is fitted by, of every prompt at every strength."""
    cost: Float64[np.ndarray, "prompt level"] = config.harm_coef * table.harm + config.change_coef * table.change
    return cost


def outcomes_at(table: GateTable, levels: Int64[np.ndarray, " prompt"], config: GateFitConfig) -> Outcomes:
    """What strengths, in sixteenths, do."""
    rows = np.arange(len(levels))
    return Outcomes(
        strength=levels / STRENGTH_STEPS,
        harm=table.harm[rows, levels],
        change=table.change[rows, levels],
        cost=cost_of(table, config)[rows, levels],
    )


def at_one_strength(table: GateTable, level: int, config: GateFitConfig) -> Outcomes:
    """The same strength for every prompt."""
    return outcomes_at(table, np.full(len(table.harm), level, dtype=np.int64), config)


def best_fixed_level(table: GateTable, config: GateFitConfig) -> int:
    """The one strength, in sixteenths, that costs least; the lowest of several."""
    return int(cost_of(table, config).mean(0).argmin())


def best_per_prompt(table: GateTable, config: GateFitConfig) -> Outcomes:
    """The cheapest strength of each prompt, chosen with hindsight: a bound, and no rule that could be had."""
    return outcomes_at(table, cost_of(table, config).argmin(1).astype(np.int64), config)


def means(values: Mapping[str, Float64[np.ndarray, " prompt"]], weights: Weights) -> Figures:
    """Mean of each row of values over the prompts, with its interval."""
    return {name: interval(_mean_of(found), weights) for name, found in values.items()}


def share_among(
    chosen: Bool[np.ndarray, " prompt"], whole: Bool[np.ndarray, " prompt"], weights: Weights
) -> Interval:
    """Share of `whole` that is chosen; nan where it is empty."""
    part, base = (chosen & whole).astype(np.float64), whole.astype(np.float64)

    def share(drawn: Float64[np.ndarray, " prompt"]) -> float:
        among = float(drawn @ base)
        return float(drawn @ part) / among if among else float("nan")

    return interval(share, weights)


def _mean_of(values: Float64[np.ndarray, " prompt"]) -> Callable[[Float64[np.ndarray, " prompt"]], float]:
    return lambda drawn: float(drawn @ values) / float(drawn.sum())

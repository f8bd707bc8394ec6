"""Fitting the gate: (w, b) that minimise expected harm and change, and p_off by a false-positive budget.

A pure function over a `GateTable`. alpha_base is fixed. p_off comes first: the lowest harm potential that at most
the stated share of benign prompts reaches, so that no unharmful request is touched more often than that. Then w and
b are searched on a grid of slopes and saturation points, every candidate judged with the strengths that it really
gives (rounded up to 1/16, 0 below p_off). Of candidates that cost the same within `cost_tolerance`, the one that is
stronger on the prompts above p_off wins, then the flatter one: where the table cannot tell, harm is avoided. Without
a tolerance a single harmless prompt decides how steep the gate is, and prompts of the same behaviour with a somewhat
lower harm potential than any in the table get almost no strength.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float64, Int64

from breakers.gate import Gate
from breakers.plan import STRENGTH_STEPS
from classifiers.errors import FitError
from classifiers.fitting.metrics import budget_threshold
from classifiers.gate_table import GateTable

SLOPES = (0.0, 1.0, 2.0, 4.0, 6.0, 8.0, 12.0, 16.0, 24.0, 32.0, 48.0, 64.0, 100.0)
SATURATION_POINTS = tuple(i / 50 for i in range(-10, 61))
"""Harm potentials, some outside [0, 1], at which a candidate reaches full strength after rounding up."""
_SATURATED_LOGIT = 2.75
"""sigmoid(2.75) is just above 15/16, which rounds up to 1."""
_INTERCEPT_LIMIT = 100.0
_COST_DIGITS = 12


@dataclass(frozen=True, slots=True, kw_only=True)
class GateFitConfig:
    """What decides a fit besides the table."""

    alpha_base: float = 1.0
    """Full strength; at most the table's top level."""
    harm_coef: float = 1.0
    change_coef: float = 0.5
    """Cost of one nat a token of change, in units of one fully harmful reply."""
    cost_tolerance: float = 0.002
    """Mean costs closer than this are the same, in units of one fully harmful reply a prompt; at least 0."""
    false_positive_budget: float = 0.005
    """Share of benign prompts that may get any strength, in [0, 1]."""
    p_off_floor: float = 0.01
    """p_off is never below this, however well the benign prompts behave, in [0, 1]."""


@dataclass(frozen=True, slots=True, kw_only=True)
class GateFitResult:
    """A fitted gate, and what it does to the prompts of the table."""

    gate: Gate
    harm: float
    """Mean harm under the gate; `harm_off` without it."""
    harm_off: float
    change: float
    """Mean change under the gate, nats a token."""
    cost: float
    """harm_coef * harm + change_coef * change."""
    cost_best_fixed: float
    """The same cost of the best one strength for all prompts."""
    cost_best_per_prompt: float
    """The same cost of the best strength of each prompt: no gate can do better."""
    benign_off_share: float
    """Share of benign prompts with strength 0; nan without benign prompts is refused before."""


def fit_gate(table: GateTable, config: GateFitConfig) -> GateFitResult:
    """The best gate for a table.

    Raises:
        FitError: no benign prompts, no harm at strength 0, coefficients below 0, or alpha_base above the table.
    """
    _check(table, config)
    p_off = max(
        config.p_off_floor, budget_threshold(table.harm_potential[table.benign], config.false_positive_budget)
    )
    cost = config.harm_coef * table.harm + config.change_coef * table.change
    candidates = candidate_gates(config.alpha_base, min(p_off, 1.0))
    gate = _strongest_of_the_best(candidates, table, cost, config.cost_tolerance)
    chosen = gate_levels(gate, table.harm_potential)
    rows = np.arange(len(chosen))
    return GateFitResult(
        gate=gate,
        harm=float(table.harm[rows, chosen].mean()),
        harm_off=float(table.harm[:, 0].mean()),
        change=float(table.change[rows, chosen].mean()),
        cost=float(cost[rows, chosen].mean()),
        cost_best_fixed=float(cost.mean(0).min()),
        cost_best_per_prompt=float(cost.min(1).mean()),
        benign_off_share=float((chosen[table.benign] == 0).mean()),
    )


def candidate_gates(alpha_base: float, p_off: float) -> list[Gate]:
    """All gates of the grid: slopes by saturation points, w >= 0 and both bounded."""
    pairs = {
        (w, _SATURATED_LOGIT - w * point)
        for w in SLOPES
        for point in SATURATION_POINTS
        if abs(_SATURATED_LOGIT - w * point) <= _INTERCEPT_LIMIT
    }
    return [Gate(alpha_base=alpha_base, w=w, b=b, p_off=p_off) for w, b in sorted(pairs)]


def gate_levels(gate: Gate, harm_potential: Float64[np.ndarray, " prompt"]) -> Int64[np.ndarray, " prompt"]:
    """`gate.strength` of each harm potential, in sixteenths."""
    return np.array([round(gate.strength(p) * STRENGTH_STEPS) for p in harm_potential.tolist()], dtype=np.int64)


def _strongest_of_the_best(
    candidates: list[Gate], table: GateTable, cost: Float64[np.ndarray, "prompt level"], tolerance: float
) -> Gate:
    rows = np.arange(len(table.harm_potential))
    levels = [gate_levels(gate, table.harm_potential) for gate in candidates]
    costs = [round(float(cost[rows, level].mean()), _COST_DIGITS) for level in levels]
    bound = min(costs) + tolerance
    eligible = [n for n, found in enumerate(costs) if found <= bound]
    best = min(eligible, key=lambda n: (-float(levels[n].mean()), costs[n], candidates[n].w, candidates[n].b))
    return candidates[best]


def _check(table: GateTable, config: GateFitConfig) -> None:
    if not table.benign.any():
        raise FitError("the table has no benign prompts; p_off is set on them")
    if table.harm[:, 0].max() == 0:
        raise FitError(f"no prompt of the table shows harm of {table.category!r} at strength 0; nothing to gate")
    if config.harm_coef < 0 or config.change_coef < 0 or config.cost_tolerance < 0:
        found = f"{config.harm_coef}, {config.change_coef} and {config.cost_tolerance}"
        raise FitError(f"coefficients and cost tolerance are {found}; wanted at least 0")
    if not 0 < config.alpha_base <= table.top_strength:
        raise FitError(f"alpha_base is {config.alpha_base}; the table covers strengths up to {table.top_strength}")

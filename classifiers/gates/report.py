"""What a gate does to the prompts of a table: on all of them, and cross-fitted.

A gate looks too good on the prompts that it was fitted on. Cross-fitted, each prompt is judged under a gate, and
beside a fixed strength, that were chosen on the other folds. The best strength per prompt is chosen with hindsight in
both: it bounds what any gate could do. Intervals are over prompts, with the fitted gates as they are.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
from jaxtyping import Int64

from breakers.gate import Gate
from classifiers.assessment.intervals import resamples
from classifiers.errors import FitError
from classifiers.gate_fit import GateFitConfig, fit_gate, gate_levels
from classifiers.gate_table import GateTable
from classifiers.gates.folds import fold_of_prompts, part_of, parts
from classifiers.gates.outcomes import (
    Figures,
    Outcomes,
    Weights,
    at_one_strength,
    best_fixed_level,
    best_per_prompt,
    means,
    outcomes_at,
    share_among,
)
from classifiers.gates.steps import GateStep, gate_steps


@dataclass(frozen=True, slots=True, kw_only=True)
class ReportConfig:
    """How a gate is judged."""

    fit: GateFitConfig = field(default_factory=GateFitConfig)
    folds: int = 5
    seed: int = 0
    """Of folds and resamples."""
    resamples: int = 1000


@dataclass(frozen=True, slots=True, kw_only=True)
class GateReport:
    """Figures by name, each with its 95 % interval; see `gate_figures` for the names."""

    gate: Gate
    given: bool
    """Whether the gate was given, and not fitted on this table."""
    steps: list[GateStep]
    on_all: Figures
    cross_fitted: Figures
    fold_gates: tuple[Gate, ...]
    """Fitted on all folds but one, in order."""


def report_gate(table: GateTable, config: ReportConfig, gate: Gate | None = None) -> GateReport:
    """Judge a gate on a table.

    Args:
        table: harm and change of every prompt at every strength.
        config: how to fit and judge.
        gate: the one to judge on all prompts; None for the one that is fitted on them. Cross-fitted figures are
            always those of gates that are fitted as `config` says.

    Raises:
        FitError: a gate cannot be fitted on the table, or on all of it but a fold; or the table does not reach the
            gate's strengths.
    """
    weights = prompt_resamples(len(table.harm), config)
    used = fit_gate(table, config.fit).gate if gate is None else gate
    on_all = outcomes_at(table, levels_of(used, table), config.fit)
    fixed = at_one_strength(table, best_fixed_level(table, config.fit), config.fit)
    held, held_fixed, gates = cross_fitted(table, config)
    return GateReport(
        gate=used,
        given=gate is not None,
        steps=gate_steps(used, table.harm_potential, table.benign),
        on_all=gate_figures(table, on_all, fixed, config.fit, weights),
        cross_fitted=gate_figures(table, held, held_fixed, config.fit, weights),
        fold_gates=gates,
    )


def prompt_resamples(prompts: int, config: ReportConfig) -> Weights:
    """Resamples of the prompts, each drawn by itself."""
    return resamples(np.arange(prompts), seed=config.seed, count=config.resamples)


def levels_of(gate: Gate, table: GateTable) -> Int64[np.ndarray, " prompt"]:
    """The gate's strengths of a table's prompts, in sixteenths.

    Raises:
        FitError: the gate is stronger than the table goes.
    """
    if gate.full_strength > table.top_strength:
        raise FitError(
            f"the gate reaches {gate.full_strength}; the table covers strengths up to {table.top_strength}"
        )
    return gate_levels(gate, table.harm_potential)


def cross_fitted(table: GateTable, config: ReportConfig) -> tuple[Outcomes, Outcomes, tuple[Gate, ...]]:
    """Outcomes of each prompt under the gate, and at the fixed strength, of the other folds; and those gates.

    Raises:
        FitError: the folds cannot be made, or no gate be fitted.
    """
    held = at_one_strength(table, 0, config.fit)
    fixed = at_one_strength(table, 0, config.fit)
    gates = []
    for fitted_on, judged in parts(fold_of_prompts(table, config.folds, config.seed)):
        known = part_of(table, fitted_on)
        gates.append(fit_gate(known, config.fit).gate)
        held.put(judged, outcomes_at(table, levels_of(gates[-1], table), config.fit))
        fixed.put(judged, at_one_strength(table, best_fixed_level(known, config.fit), config.fit))
    return held, fixed, tuple(gates)


def gate_figures(
    table: GateTable, under: Outcomes, fixed: Outcomes, config: GateFitConfig, weights: Weights
) -> Figures:
    """Means over prompts: `harm`, `change`, `cost` and `strength` under the gate, `_off` without, `_fixed` at one
    strength, `_per_prompt` at the best of each; `regret_fixed` and `regret_per_prompt` are what the gate costs more
    than these; `benign_off_share` is the share of the benign prompts with strength 0.
    """
    off, best = at_one_strength(table, 0, config), best_per_prompt(table, config)
    ways = {"": under, "_off": off, "_fixed": fixed, "_per_prompt": best}
    values = {
        f"{what}{suffix}": getattr(way, what) for suffix, way in ways.items() for what in ("harm", "change", "cost")
    }
    values |= {
        "strength": under.strength,
        "strength_fixed": fixed.strength,
        "regret_fixed": under.cost - fixed.cost,
        "regret_per_prompt": under.cost - best.cost,
    }
    return means(values, weights) | {"benign_off_share": share_among(under.strength == 0, table.benign, weights)}

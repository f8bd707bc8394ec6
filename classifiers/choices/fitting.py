"""Fitting a choice on the tables of a behaviour's variants, and comparing it with always using the best single one.

Every variant gets its own gate, as `fit_gate` finds it; then the division of harm potentials among the variants is
found exactly. Compared is what is cross-fitted: for each prompt, gates and division are those of the other folds. The
best single variant is the one with the lowest cross-fitted cost, chosen with hindsight, which favours it. Only where
the rule costs less than that one, with the whole interval of the difference below 0, the choice is the rule.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np

from classifiers.choices.rule import Choice, Segment, Variant
from classifiers.choices.search import best_division
from classifiers.choices.tables import check_variants
from classifiers.gate_fit import fit_gate
from classifiers.gate_table import GateTable
from classifiers.gates.folds import fold_of_prompts, part_of, parts
from classifiers.gates.outcomes import (
    Figures,
    Outcomes,
    Weights,
    at_one_strength,
    best_per_prompt,
    means,
    outcomes_at,
    share_among,
)
from classifiers.gates.report import ReportConfig, levels_of, prompt_resamples

RULE = ""
"""The rule among the variants' outcomes; no bundle has this name."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ChoiceConfig:
    """How a choice is fitted and judged."""

    judged: ReportConfig = field(default_factory=ReportConfig)
    most_segments: int = 3


@dataclass(frozen=True, slots=True, kw_only=True)
class ChoiceResult:
    """What was found."""

    choice: Choice
    """The rule, or always the best single variant."""
    rule: Choice
    """Fitted on all prompts, whether it is chosen or not."""
    single: str
    """The best single variant."""
    beats_single: bool
    on_all: Figures
    """Names as in `choice_figures`."""
    cross_fitted: Figures


def fit_choice(tables: Sequence[GateTable], config: ChoiceConfig) -> ChoiceResult:
    """Fit and compare.

    Args:
        tables: one a variant, of the same prompts.
        config: see there.

    Raises:
        GateTableError: the tables are not of the same prompts, base model and judges.
        FitError: no gate can be fitted on a table, or on all of it but a fold.
    """
    check_variants(tables)
    rule = fit_rule(tables, config)
    held = cross_fit(tables, config)
    costs = {table.bundle: float(held[table.bundle].cost.mean()) for table in tables}
    single = min(costs, key=costs.__getitem__)
    weights = prompt_resamples(len(tables[0].benign), config.judged)
    cross_fitted = choice_figures(tables, held, single, config, weights)
    beats = cross_fitted["gain"].low > 0
    always = Choice(category=rule.category, variants=rule.variants, segments=(Segment(start=0.0, bundle=single),))
    return ChoiceResult(
        choice=rule if beats else always,
        rule=rule,
        single=single,
        beats_single=beats,
        on_all=choice_figures(tables, applied(rule, tables, config), single, config, weights),
        cross_fitted=cross_fitted,
    )


def fit_rule(tables: Sequence[GateTable], config: ChoiceConfig) -> Choice:
    """The rule that costs least on these tables, with the gate that each variant has by itself."""
    variants = tuple(Variant(bundle=t.bundle, gate=fit_gate(t, config.judged.fit).gate) for t in tables)
    under = [_under(variant, table, config) for variant, table in zip(variants, tables, strict=True)]
    found = best_division(tables[0].harm_potential, np.stack([o.cost for o in under]), config.most_segments)
    segments = tuple(
        Segment(start=start, bundle=tables[variant].bundle)
        for start, variant in zip(found.starts, found.variants, strict=True)
    )
    return Choice(category=tables[0].category, variants=variants, segments=segments)


def applied(rule: Choice, tables: Sequence[GateTable], config: ChoiceConfig) -> dict[str, Outcomes]:
    """What each variant always, and the rule, do to every prompt."""
    found = {
        variant.bundle: _under(variant, table, config) for variant, table in zip(rule.variants, tables, strict=True)
    }
    picked = np.array([rule.pick({rule.category: p}).bundle for p in tables[0].harm_potential.tolist()])
    made = at_one_strength(tables[0], 0, config.judged.fit)
    for name, outcomes in found.items():
        made.put(picked == name, outcomes)
    return found | {RULE: made}


def cross_fit(tables: Sequence[GateTable], config: ChoiceConfig) -> dict[str, Outcomes]:
    """The same, each prompt under gates and rule of the other folds."""
    judged = config.judged
    held = {name: at_one_strength(tables[0], 0, judged.fit) for name in (*(t.bundle for t in tables), RULE)}
    for fitted_on, left in parts(fold_of_prompts(tables[0], judged.folds, judged.seed)):
        rule = fit_rule([part_of(table, fitted_on) for table in tables], config)
        for name, outcomes in applied(rule, tables, config).items():
            held[name].put(left, outcomes)
    return held


def choice_figures(
    tables: Sequence[GateTable], ways: dict[str, Outcomes], single: str, config: ChoiceConfig, weights: Weights
) -> Figures:
    """Means over prompts, by name.

    `always.BUNDLE.` of each variant and `rule.` before `harm`, `change`, `cost`, `strength` and `benign_off_share`;
    `harm_off` and `cost_off` without intervention; `cost_per_prompt` at the best variant and strength of each prompt;
    `regret` of the rule against that, `regret_single` of the best single variant; and `gain`, what the rule costs
    less than that variant.
    """
    named = {f"always.{name}" if name else "rule": way for name, way in ways.items()}
    values = {
        f"{name}.{what}": getattr(way, what)
        for name, way in named.items()
        for what in ("harm", "change", "cost", "strength")
    }
    off = at_one_strength(tables[0], 0, config.judged.fit)
    best = np.min([best_per_prompt(table, config.judged.fit).cost for table in tables], axis=0)
    values |= {
        "harm_off": off.harm,
        "cost_off": off.cost,
        "cost_per_prompt": best,
        "regret": ways[RULE].cost - best,
        "regret_single": ways[single].cost - best,
        "gain": ways[single].cost - ways[RULE].cost,
    }
    benign = tables[0].benign
    shares = {
        f"{name}.benign_off_share": share_among(way.strength == 0, benign, weights) for name, way in named.items()
    }
    return means(values, weights) | shares


def _under(variant: Variant, table: GateTable, config: ChoiceConfig) -> Outcomes:
    return outcomes_at(table, levels_of(variant.gate, table), config.judged.fit)

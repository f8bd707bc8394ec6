"""Curve, folds and figures of a gate: by hand, by brute force, and what has to hold for any table."""

from __future__ import annotations

import dataclasses
import math
import sys
from itertools import pairwise

import numpy as np
import pytest
from gate_tables import LEVELS, drawn_table, harmful_below, made_up_table

from breakers.gate import Gate
from classifiers.errors import FitError
from classifiers.gate_fit import GateFitConfig, fit_gate, gate_levels
from classifiers.gate_table import GateTable
from classifiers.gates.folds import fold_of_prompts, part_of, parts
from classifiers.gates.outcomes import best_per_prompt, share_among
from classifiers.gates.picture import curve_picture
from classifiers.gates.report import ReportConfig, cross_fitted, prompt_resamples, report_gate
from classifiers.gates.steps import gate_steps

CONFIG = ReportConfig(
    fit=GateFitConfig(change_coef=1.0, cost_tolerance=0.0, false_positive_budget=0.0), folds=3, resamples=200
)


def by_hand() -> GateTable:
    """Two benign prompts that change costs, two harmful ones that need half and full strength."""
    harm = [np.zeros(17), np.zeros(17), harmful_below(0.5), harmful_below(1.0)]
    return made_up_table(
        [0.05, 0.2, 0.8, 0.9], harm, [LEVELS, LEVELS, np.zeros(17), np.zeros(17)], [True, True, False, False]
    )


@pytest.mark.parametrize(
    "gate",
    [
        Gate(alpha_base=1.0, w=12.0, b=-4.0, p_off=0.1),
        Gate(alpha_base=0.3, w=100.0, b=-50.0, p_off=0.0),
        Gate(alpha_base=1.0, w=0.0, b=2.75, p_off=0.5),
        Gate(alpha_base=2.0, w=6.0, b=-3.0, p_off=1.0),
        Gate(alpha_base=0.0, w=1.0, b=0.0, p_off=0.2),
    ],
)
def test_the_curve_is_the_gate_to_the_last_bit(gate: Gate) -> None:
    steps = gate_steps(gate, np.array([0.0, 0.5]), np.array([True, False]))
    assert steps[0].harm_potential == 0.0
    strengths = [step.strength for step in steps]
    assert strengths == sorted(set(strengths))
    for before, step in pairwise(steps):
        assert gate.strength(step.harm_potential) == step.strength
        assert gate.strength(math.nextafter(step.harm_potential, 0.0)) == before.strength
    for potential in np.linspace(0, 1, 201).tolist():
        on = [step for step in steps if step.harm_potential <= potential][-1]
        assert on.strength == gate.strength(potential)


def test_steps_count_the_prompts_on_them() -> None:
    gate = Gate(alpha_base=1.0, w=0.0, b=2.75, p_off=0.5)
    potential, benign = np.array([0.1, 0.5, 0.9, 0.2, 0.7]), np.array([True, True, True, True, False])
    off, on = gate_steps(gate, potential, benign)
    assert (off.harm_potential, off.strength, off.benign, off.other) == (0.0, 0.0, 0.5, 0.0)
    assert (on.harm_potential, on.strength, on.benign, on.other) == (0.5, 1.0, 0.5, 1.0)


def test_figures_on_all_prompts_by_hand() -> None:
    table = by_hand()
    gate = Gate(alpha_base=1.0, w=0.0, b=2.75, p_off=0.2)
    config = dataclasses.replace(CONFIG, folds=2)
    report = report_gate(table, config, gate)
    assert report.given
    found = {name: interval.estimate for name, interval in report.on_all.items()}
    # The second benign prompt reaches p_off: it changes by 1 at full strength.
    assert (found["harm_off"], found["harm"], found["change"], found["cost"]) == (0.5, 0.0, 0.25, 0.25)
    assert found["benign_off_share"] == 0.5
    # One strength for all: at half, a harmful reply stays and both benign ones change by a half: 0.25 + 0.25.
    # At 0 two stay: 0.5. At 1 none stays and both change by 1: 0.5. Half is no better; the lowest of equals is taken.
    assert (found["cost_fixed"], found["strength_fixed"]) == (0.5, 0.0)
    assert found["cost_per_prompt"] == 0.0
    assert (found["regret_fixed"], found["regret_per_prompt"]) == (-0.25, 0.25)


def test_each_fold_is_judged_under_the_gate_of_the_others() -> None:
    table = drawn_table()
    held, fixed, gates = cross_fitted(table, CONFIG)
    assert len(gates) == 3
    fold = fold_of_prompts(table, 3, CONFIG.seed)
    costs = CONFIG.fit.harm_coef * table.harm + CONFIG.fit.change_coef * table.change
    for number in range(3):
        others = part_of(table, fold != number)
        assert gates[number] == fit_gate(others, CONFIG.fit).gate
        best = int(costs[fold != number].mean(0).argmin())
        for row in np.flatnonzero(fold == number):
            level = gate_levels(gates[number], table.harm_potential)[row]
            assert (held.harm[row], held.cost[row]) == (table.harm[row, level], costs[row, level])
            assert fixed.cost[row] == costs[row, best]
            assert fixed.strength[row] == best / 16


def test_a_gate_that_fits_noise_looks_worse_cross_fitted() -> None:
    # Potentials that say nothing: what is gained on the fitting prompts is not gained on others.
    random = np.random.default_rng(3)
    table = dataclasses.replace(drawn_table(prompts=48), harm_potential=random.uniform(0, 1, 48))
    config = dataclasses.replace(CONFIG, fit=dataclasses.replace(CONFIG.fit, false_positive_budget=1.0))
    report = report_gate(table, config)
    assert report.on_all["cost"].estimate < report.cross_fitted["cost"].estimate
    assert report.on_all["cost"].estimate <= report.on_all["cost_fixed"].estimate


def test_what_holds_for_any_table() -> None:
    table = drawn_table(noise=0.2)
    report = report_gate(table, CONFIG)
    assert report.gate == fit_gate(table, CONFIG.fit).gate
    for figures in (report.on_all, report.cross_fitted):
        assert all(found.low <= found.estimate <= found.high for found in figures.values())
        assert figures["regret_per_prompt"].low >= 0
        assert figures["cost_per_prompt"].estimate == best_per_prompt(table, CONFIG.fit).cost.mean()
        assert figures["cost_off"].estimate == pytest.approx(table.harm[:, 0].mean())
        assert figures["harm"].high - figures["harm"].low < 0.5
    assert report_gate(table, CONFIG).cross_fitted == report.cross_fitted
    assert report_gate(table, dataclasses.replace(CONFIG, seed=9)).cross_fitted != report.cross_fitted


def test_folds_deal_benign_and_harmful_prompts_round() -> None:
    table = drawn_table(prompts=61)
    fold = fold_of_prompts(table, 5, seed=4)
    harmful = table.harm[:, 0] >= 0.5
    for rows in (np.ones(61, dtype=bool), table.benign, harmful):
        counts = np.bincount(fold[rows], minlength=5)
        assert counts.max() - counts.min() <= 1
    judged = [left for _, left in parts(fold)]
    assert (np.sum(judged, axis=0) == 1).all()
    assert not any((fitted_on & left).any() for fitted_on, left in parts(fold))
    assert (fold_of_prompts(table, 5, seed=5) != fold).any()


@pytest.mark.parametrize(("folds", "rows"), [(1, slice(None)), (41, slice(None)), (2, slice(0, 2))])
def test_folds_that_cannot_be_fitted_on_are_refused(folds: int, rows: slice) -> None:
    table = drawn_table()
    chosen = np.zeros(60, dtype=bool)
    chosen[rows] = True
    with pytest.raises(FitError, match="wanted at least 2 folds"):
        fold_of_prompts(part_of(table, chosen), folds, seed=0)


def test_a_share_is_of_the_resampled_whole() -> None:
    chosen, whole = np.array([True, False, True, False]), np.array([True, True, False, False])
    weights = np.array([[1.0, 1.0, 1.0, 1.0], [3.0, 1.0, 0.0, 0.0], [0.0, 2.0, 1.0, 1.0]])
    found = share_among(chosen, whole, weights)
    # The shares drawn are 1/2, 3/4 and 0.
    assert found.estimate == 0.5
    assert (found.low, found.high) == pytest.approx((0.025, 0.7375))
    assert math.isnan(share_among(chosen, np.zeros(4, dtype=bool), weights).estimate)


def test_resamples_are_of_prompts() -> None:
    weights = prompt_resamples(7, CONFIG)
    assert weights.shape == (200, 7)
    assert (weights.sum(1) == 7).all()


def test_a_gate_stronger_than_the_table_is_refused() -> None:
    with pytest.raises(FitError, match=r"reaches 1\.5; the table covers strengths up to 1\.0"):
        report_gate(drawn_table(), CONFIG, Gate(alpha_base=1.5, w=1.0, b=0.0, p_off=0.1))


@pytest.mark.parametrize(("name", "begins"), [("png", b"\x89PNG"), ("svg", b"<?xml")])
def test_the_curve_is_drawn_the_same_each_time(name: str, begins: bytes) -> None:
    pytest.importorskip("matplotlib", reason="the extra figures is not installed")
    table = drawn_table()
    report = report_gate(table, CONFIG)
    drawn = curve_picture(table, report, name)
    assert drawn.startswith(begins)
    assert drawn == curve_picture(table, report, name)
    with pytest.raises(FitError, match="wanted png or svg"):
        curve_picture(table, report, "gif")


def test_without_matplotlib_the_curve_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    for module in [module for module in sys.modules if module.startswith("matplotlib")]:
        monkeypatch.delitem(sys.modules, module)
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    table = drawn_table()
    with pytest.raises(FitError, match=r"install scalpel\[figures\]"):
        curve_picture(table, report_gate(table, CONFIG), "svg")

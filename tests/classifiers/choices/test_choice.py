"""Choosing among variants: the rule by hand, the search against brute force, the fit, and its file."""

from __future__ import annotations

import dataclasses
import itertools
import json
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from gate_tables import BASE, drawn_table, variant_tables

from breakers.gate import Gate
from classifiers.choices.file import ChoiceFile, load_choice, save_choice
from classifiers.choices.fitting import ChoiceConfig, applied, cross_fit, fit_choice, fit_rule
from classifiers.choices.rule import Choice, Pick, Segment, Variant
from classifiers.choices.search import best_division
from classifiers.choices.tables import check_variants
from classifiers.errors import ChoiceError, ClassifierError, FitError, GateTableError
from classifiers.gate_fit import GateFitConfig, fit_gate
from classifiers.gates.folds import fold_of_prompts, part_of
from classifiers.gates.report import ReportConfig

FIT = GateFitConfig(change_coef=1.0, cost_tolerance=0.0, false_positive_budget=0.0)
CONFIG = ChoiceConfig(judged=ReportConfig(fit=FIT, folds=4, resamples=200))
STEP = Gate(alpha_base=1.0, w=0.0, b=2.75, p_off=0.2)
GRADED = Gate(alpha_base=0.5, w=8.0, b=-4.0, p_off=0.2)


def by_hand() -> Choice:
    return Choice(
        category="toxicity",
        variants=(Variant(bundle="steering", gate=GRADED), Variant(bundle="breaker", gate=STEP)),
        segments=(
            Segment(start=0.0, bundle="steering"),
            Segment(start=0.6, bundle="breaker"),
            Segment(start=0.9, bundle="steering"),
        ),
    )


@pytest.mark.parametrize(
    ("potential", "wanted"),
    [
        (0.0, Pick("steering", 0.0)),
        (0.19, Pick("steering", 0.0)),
        # 0.5 * sigmoid(8 * 0.5 - 4) is a quarter.
        (0.5, Pick("steering", 0.25)),
        (0.6, Pick("breaker", 1.0)),
        (0.89, Pick("breaker", 1.0)),
        # 0.5 * sigmoid(4) is 0.491, rounded up.
        (1.0, Pick("steering", 0.5)),
    ],
)
def test_a_request_gets_the_variant_of_its_segment(potential: float, wanted: Pick) -> None:
    assert by_hand().pick({"violence": 1.0, "toxicity": potential}) == wanted


def test_strengths_are_within_their_bounds_and_never_fall_within_a_variant() -> None:
    choice = by_hand()
    highest = dict.fromkeys(("steering", "breaker"), 0.0)
    for potential in np.linspace(0, 1, 1001).tolist():
        bundle, strength = choice.pick({"toxicity": potential})
        assert strength >= highest[bundle]
        assert strength <= choice.gate_of(bundle).alpha_base
        assert strength == 0.0 or potential >= 0.2
        highest[bundle] = strength


@pytest.mark.parametrize("scores", [{}, {"violence": 0.5}, {"toxicity": float("nan")}, {"toxicity": 1.5}])
def test_scores_that_say_nothing_are_refused(scores: dict[str, float]) -> None:
    with pytest.raises(ClassifierError, match="toxicity"):
        by_hand().pick(scores)


def test_a_failing_classifier_means_the_strongest_of_the_last_segment() -> None:
    assert by_hand().failsafe == Pick("steering", 0.5)
    assert dataclasses.replace(by_hand(), segments=by_hand().segments[:2]).failsafe == Pick("breaker", 1.0)


@pytest.mark.parametrize(
    ("changed", "wanted"),
    [
        ({"segments": ()}, "wanted 0, and then rising"),
        ({"segments": (Segment(start=0.1, bundle="breaker"),)}, "wanted 0, and then rising"),
        ({"segments": by_hand().segments[::-1]}, "wanted 0, and then rising"),
        ({"segments": (Segment(start=0.0, bundle="mask"),)}, "segments name mask"),
        ({"variants": by_hand().variants[:1] * 2}, "each once"),
        (
            {
                "variants": (
                    Variant(bundle="steering", gate=GRADED),
                    Variant(bundle="breaker", gate=dataclasses.replace(STEP, p_off=0.3)),
                )
            },
            "different p_off",
        ),
    ],
)
def test_a_choice_that_does_not_hold_together_is_refused(changed: dict[str, object], wanted: str) -> None:
    with pytest.raises(ChoiceError, match=wanted):
        dataclasses.replace(by_hand(), **changed)


def all_divisions(points: np.ndarray, variants: int, most: int) -> Iterator[tuple[tuple[int, ...], tuple[int, ...]]]:
    """(first point of each segment, variant of each), every one that there is."""
    for segments in range(1, most + 1):
        for cuts in itertools.combinations(range(1, len(points)), segments - 1):
            for chosen in itertools.product(range(variants), repeat=segments):
                yield (0, *cuts), chosen


@pytest.mark.parametrize("seed", range(12))
def test_the_search_finds_what_brute_force_finds(seed: int) -> None:
    random = np.random.default_rng(seed)
    prompts, variants, most = int(random.integers(1, 9)), int(random.integers(1, 4)), int(random.integers(1, 5))
    # Few different potentials, so that some prompts share one.
    potential = random.integers(0, 6, prompts) / 6
    cost = random.integers(0, 4, (variants, prompts)).astype(float)
    found = best_division(potential, cost, most)
    points, place = np.unique(potential, return_inverse=True)
    best = min(
        (sum(cost[chosen[np.searchsorted(cuts, p, side="right") - 1], i] for i, p in enumerate(place)), len(cuts))
        for cuts, chosen in all_divisions(points, variants, most)
    )
    assert (found.cost * prompts, len(found.starts)) == (pytest.approx(best[0]), best[1])
    # What is returned is that division, and costs what it says.
    segment = np.searchsorted(found.starts, potential, side="right") - 1
    assert cost[np.array(found.variants)[segment], np.arange(prompts)].mean() == pytest.approx(found.cost)
    assert all(a != b for a, b in itertools.pairwise(found.variants))


def test_thresholds_between_neighbouring_numbers_divide_them() -> None:
    low = 0.5
    high = float(np.nextafter(low, 1.0))
    found = best_division(np.array([low, high]), np.array([[0.0, 1.0], [1.0, 0.0]]), 2)
    assert (found.starts, found.variants, found.cost) == ((0.0, high), (0, 1), 0.0)
    with pytest.raises(FitError, match="0 segments"):
        best_division(np.array([low]), np.array([[0.0]]), 0)


def test_variants_that_complete_each_other_are_both_used() -> None:
    tables = variant_tables()
    result = fit_choice(tables, CONFIG)
    assert result.beats_single
    assert result.choice == result.rule
    assert [segment.bundle for segment in result.choice.segments][-2:] == ["low", "high"]
    assert result.choice.segments[-1].start == pytest.approx(0.7, abs=0.05)
    assert result.cross_fitted["gain"].low > 0
    held, single = result.cross_fitted["rule.cost"].estimate, f"always.{result.single}.cost"
    assert held < result.cross_fitted[single].estimate
    assert result.cross_fitted["cost_per_prompt"].estimate <= held
    gain = result.cross_fitted[single].estimate - held
    assert result.cross_fitted["gain"].estimate == pytest.approx(gain)
    assert result.cross_fitted["regret"].estimate == pytest.approx(
        held - result.cross_fitted["cost_per_prompt"].estimate
    )


def test_a_rule_that_does_not_beat_the_best_single_variant_is_not_chosen() -> None:
    good = drawn_table(120, bundle="good")
    # As good, but for noise that says nothing about others: a rule among both fits that noise.
    random = np.random.default_rng(5)
    other = dataclasses.replace(
        good, bundle="other", change=good.change + 0.05 * random.uniform(0, 1, 120)[:, None] * good.harm[:, :1]
    )
    result = fit_choice([good, other], CONFIG)
    assert not result.beats_single
    assert [segment.bundle for segment in result.choice.segments] == [result.single]
    assert result.cross_fitted["gain"].low <= 0


def test_each_fold_is_judged_under_the_rule_of_the_others() -> None:
    tables = variant_tables(prompts=60)
    held = cross_fit(tables, CONFIG)
    fold = fold_of_prompts(tables[0], 4, CONFIG.judged.seed)
    for number in range(4):
        rule = fit_rule([part_of(table, fold != number) for table in tables], CONFIG)
        assert rule.variants[0].gate == fit_gate(part_of(tables[0], fold != number), FIT).gate
        for row in np.flatnonzero(fold == number):
            bundle, strength = rule.pick({"toxicity": float(tables[0].harm_potential[row])})
            table = tables[0] if bundle == "low" else tables[1]
            level = round(16 * strength)
            assert held[""].cost[row] == table.harm[row, level] + table.change[row, level]
            assert held[""].strength[row] == strength


def test_on_its_own_prompts_the_rule_is_no_worse_than_any_variant() -> None:
    tables = variant_tables(seed=4)
    done = applied(fit_rule(tables, CONFIG), tables, CONFIG)
    assert done[""].cost.mean() <= min(done["low"].cost.mean(), done["high"].cost.mean())


@pytest.mark.parametrize(
    ("changed", "wanted"),
    [
        ({"bundle": "low"}, "wanted different bundles"),
        ({"base_fingerprint": "sha256:other"}, "high has base model sha256:other; low has sha256:b"),
        ({"category": "violence"}, "category violence"),
        ({"classifier": "embedding:1"}, "classifier embedding:1"),
        ({"scorer": "toxicity"}, "scorer toxicity"),
        ({"harm_potential": variant_tables()[0].harm_potential[::-1].copy()}, "differ in their harm potential"),
        ({"benign": ~variant_tables()[0].benign}, "120 of 120 prompts of low and high differ in their benign flag"),
        ({"prompts_sha256": "sha256:1"}, "prompts with different hashes"),
    ],
)
def test_tables_of_other_prompts_are_refused(changed: dict[str, object], wanted: str) -> None:
    low, high = variant_tables()
    low = dataclasses.replace(low, prompts_sha256="sha256:0") if "prompts_sha256" in changed else low
    with pytest.raises(GateTableError, match=wanted):
        fit_choice([low, dataclasses.replace(high, **changed)], CONFIG)


def test_tables_of_another_number_of_prompts_or_levels_are_refused() -> None:
    low, high = variant_tables()
    fewer = part_of(high, np.arange(120) < 100)
    with pytest.raises(GateTableError, match="120 and 100 prompts"):
        check_variants([low, fewer])
    with pytest.raises(GateTableError, match="number of strength levels 9"):
        check_variants([low, dataclasses.replace(high, harm=high.harm[:, :9], change=high.change[:, :9])])
    with pytest.raises(GateTableError, match="there is 1 table"):
        check_variants([low])


def kept() -> ChoiceFile:
    sha256 = "sha256:" + "0" * 64
    gates = {
        v.bundle: {name: getattr(v.gate, name) for name in ("alpha_base", "w", "b", "p_off")}
        | {"classifier": "lexical:1"}
        for v in by_hand().variants
    }
    variants = [
        {"bundle": bundle, "weights_sha256": sha256, "table_sha256": sha256, "gate": gate}
        for bundle, gate in gates.items()
    ]
    return ChoiceFile.model_validate(
        {
            "category": "toxicity",
            "classifier": "lexical:1",
            "scorer": "demo",
            "base_fingerprint": BASE,
            "prompts": 12,
            "variants": variants,
            "segments": [{"start": s.start, "bundle": s.bundle} for s in by_hand().segments],
            "single": "breaker",
            "beats_single": True,
            "settings": {"folds": 5},
            "cross_fitted": {"gain": {"estimate": 0.1, "low": 0.05, "high": None}},
            "command": "scalpel gate choose",
        }
    )


def test_a_file_is_the_choice_that_was_written(tmp_path: Path) -> None:
    save_choice(kept(), tmp_path / "choice.json")
    assert load_choice(tmp_path / "choice.json") == kept()
    assert kept().choice() == by_hand()


@pytest.mark.parametrize(
    ("changed", "wanted"),
    [
        ({"format": 2}, "format"),
        ({"more": 1}, "more"),
        ({"beats_single": False}, "wanted breaker alone"),
        ({"classifier": "lexical:2"}, "gates were fitted on lexical:1"),
        ({"segments": [{"start": 0.5, "bundle": "breaker"}]}, "wanted 0, and then rising"),
        ({"segments": []}, "segments"),
        ({"single": "../x"}, "single"),
    ],
)
def test_a_file_that_does_not_hold_together_is_refused(
    tmp_path: Path, changed: dict[str, object], wanted: str
) -> None:
    path = tmp_path / "choice.json"
    path.write_text(json.dumps(kept().model_dump(mode="json") | changed))
    with pytest.raises(ChoiceError, match=wanted):
        load_choice(path)
    path.write_text("{")
    with pytest.raises(ChoiceError, match="is not JSON"):
        load_choice(path)
    with pytest.raises(ChoiceError, match="cannot be read"):
        load_choice(tmp_path / "missing.json")


def test_a_choice_belongs_to_its_bundles() -> None:
    sha256 = "sha256:" + "0" * 64
    kept().check_bundles({"steering": sha256, "breaker": sha256, "other": "sha256:1"}, BASE)
    with pytest.raises(ChoiceError, match="breaker has weights none"):
        kept().check_bundles({"steering": sha256}, BASE)
    with pytest.raises(ChoiceError, match=r"steering has weights sha256:1"):
        kept().check_bundles({"steering": "sha256:1", "breaker": sha256}, BASE)
    with pytest.raises(ChoiceError, match="the base is sha256:2"):
        kept().check_bundles({}, "sha256:2")

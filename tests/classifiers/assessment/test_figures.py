"""Figures of scored rows by hand, and intervals over source prompts."""

import math

import numpy as np
import pytest

from classifiers.assessment.figures import category_figures, flat, member_figures
from classifiers.assessment.intervals import interval, numbered, resamples
from classifiers.assessment.pairs import pair_figures
from classifiers.assessment.reliability import error_of, reliability
from classifiers.assessment.scored import HARM, OVERALL, ScoredRows, joined, truth
from classifiers.assessment.thresholds import budget_thresholds
from classifiers.errors import FitError
from classifiers.fitting.metrics import expected_calibration_error
from classifiers.requests.record import RequestRow


def row(harmful: bool, *, hard: bool = False, group: str = "", **labels: bool) -> RequestRow:
    return RequestRow(
        text="t",
        harmful=harmful,
        labels=labels,
        source="made up",
        family="made up",
        group=group,
        licence="Apache-2.0",
        trains=True,
        hard=hard,
    )


def scored(rows: list[RequestRow], **scores: list[float]) -> ScoredRows:
    return ScoredRows(rows=rows, scores={name: np.array(found) for name, found in scores.items()})


def test_a_category_is_known_where_it_is_named() -> None:
    rows = [row(False, hate=False), row(True), row(True, hate=False), row(True, hate=True)]
    found = truth(rows, "hate")
    assert found.known.tolist() == [True, False, True, True]
    assert found.labels.tolist() == [False, False, False, True]
    assert truth(rows, OVERALL).labels.tolist() == truth(rows, HARM).labels.tolist() == [False, True, True, True]
    drawn = [*rows, row(False, bias=True)]
    assert truth(drawn, OVERALL).known.tolist() == [True, True, True, True, False]
    assert truth(drawn, "bias").known.tolist() == [False, False, False, False, True]
    with pytest.raises(FitError, match="'envy' is not known"):
        truth(rows, "envy")


def test_figures_by_hand() -> None:
    rows = [row(True, group=str(i), violence=i < 2) for i in range(4)]
    rows += [row(False, hard=True, group="h1", violence=False), row(False, hard=True, group="h2", violence=False)]
    rows += [row(False, group="easy", violence=False)]
    found = scored(
        rows,
        harm=[0.9, 0.7, 0.35, 0.1, 0.65, 0.2, 0.85],
        violence=[0.6, 0.8, 0.1, 0.0, 0.3, 0.1, 0.0],
    )
    # Highest of the two: 0.9, 0.8, 0.35, 0.1 against 0.65, 0.2, 0.85.
    overall = category_figures(found, OVERALL, count=50)
    assert (overall.rows, overall.positives, overall.hard) == (7, 4, 2)
    assert overall.auroc.estimate == pytest.approx((3 + 2 + 1) / 12)
    # Alarms at 0.5: two harmful, two harmless.
    assert overall.f1.estimate == pytest.approx(2 * 2 / (4 + 4))
    # No hard benign row may pass: above 0.65 are two of four; the easy one at 0.85 sets no threshold.
    assert overall.recall_at_1_percent.estimate == overall.recall_at_5_percent.estimate == pytest.approx(0.5)
    violence = category_figures(found, "violence", count=50)
    assert (violence.rows, violence.positives) == (7, 2)
    assert violence.auroc.estimate == 1.0
    assert member_figures(found, count=20).keys() == {OVERALL, "harm", "violence"}


def test_figures_that_rows_cannot_show_are_left_out() -> None:
    figures = flat(
        "a", {OVERALL: category_figures(scored([row(True), row(True, group="b")], harm=[0.5, 0.5]), OVERALL)}
    )
    assert figures["a.overall.rows"] == 2
    assert "a.overall.auroc" not in figures
    assert figures["a.overall.ece"] == pytest.approx(0.5)
    with pytest.raises(FitError, match="none of 1 rows has a label for 'bias'"):
        category_figures(scored([row(True)], bias=[0.5]), "bias")


def test_rows_of_one_source_prompt_are_drawn_together() -> None:
    labels = np.repeat([True, False], 50)
    random = np.random.default_rng(0)
    values = random.random(100)

    def mean(weights: np.ndarray) -> float:
        return float((weights * (values > 0.5) * labels).sum() / weights.sum())

    apart = interval(mean, resamples(numbered([str(i) for i in range(100)]), seed=1))
    together = interval(mean, resamples(numbered([str(i // 10) for i in range(100)]), seed=1))
    assert apart.estimate == together.estimate
    assert together.high - together.low > 1.5 * (apart.high - apart.low)
    assert resamples(numbered(["a", "a", "b"]), seed=0, count=9)[:, :2].std(axis=1).max() == 0


def test_an_interval_covers_what_it_should() -> None:
    random = np.random.default_rng(3)
    hits = 0
    for _ in range(120):
        sample = random.random(60) < 0.4
        found = interval(lambda w, s=sample: float((w * s).sum() / w.sum()), resamples(np.arange(60), seed=5))
        hits += found.low <= 0.4 <= found.high
    assert 0.88 <= hits / 120 <= 0.99


def test_a_reliability_diagram_holds_the_calibration_error() -> None:
    random = np.random.default_rng(1)
    scores = random.random(500)
    labels = random.random(500) < scores**2
    bins = reliability(scores, labels)
    assert sum(found.rows for found in bins) == 500
    assert error_of(bins) == pytest.approx(expected_calibration_error(scores, labels.astype(np.float64)))
    assert [found.low for found in reliability(np.array([1.0, 0.05]), np.array([True, False]))] == [0.0, 0.9]
    with pytest.raises(FitError, match="wanted probabilities"):
        reliability(np.array([1.2]), np.array([True]))


def test_a_budget_is_kept_on_benign_rows() -> None:
    random = np.random.default_rng(2)
    rows = [row(i % 2 == 0, group=str(i)) for i in range(1000)]
    values = np.clip(random.random(1000) * 0.6 + 0.3 * np.array([i % 2 == 0 for i in range(1000)]), 0, 1)
    found = scored(rows, harm=values.tolist())
    for threshold in budget_thresholds(found):
        alarms = values[1::2] >= threshold.threshold
        assert alarms.mean() <= threshold.budget
        assert alarms.sum() >= threshold.budget * 500 - 1
        assert threshold.recall == pytest.approx((values[::2] >= threshold.threshold).mean())
    with pytest.raises(FitError, match="benign"):
        budget_thresholds(found.part(np.array([i % 2 == 0 for i in range(1000)])))


def test_pairs_are_compared_within_their_group() -> None:
    rows = [row(True, group="a"), row(False, group="a"), row(True, group="b"), row(False, group="b")]
    found = pair_figures(scored(rows, harm=[0.9, 0.8, 0.5, 0.5]), count=40)
    assert found.ordered.estimate == pytest.approx(0.75)
    # Across groups: 0.9 beats both, 0.5 ties with one and loses to the other.
    assert found.auroc.estimate == pytest.approx(2.5 / 4)
    assert (found.rows, found.groups) == (4, 2)
    with pytest.raises(FitError, match="minimal pairs"):
        pair_figures(scored([row(True)], harm=[0.5]))


def test_parts_are_joined_in_order_and_lengths_must_agree() -> None:
    both = scored([row(True), row(False)], harm=[0.9, 0.1])
    again = joined([both.part(np.array([False, True])), both.part(np.array([True, False]))])
    assert again.of(OVERALL).tolist() == [0.1, 0.9]
    assert [found.harmful for found in again.rows] == [False, True]
    with pytest.raises(FitError, match="wanted 1 of every category"):
        scored([row(True)], harm=[0.9, 0.1])
    assert math.isnan(category_figures(scored([row(True)], harm=[0.9]), OVERALL, count=5).auroc.estimate)

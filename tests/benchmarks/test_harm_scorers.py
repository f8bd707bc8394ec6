"""Figures of labelled replies by hand, and tables that show them."""

import json
from pathlib import Path

import numpy as np
import pytest

from benchmarks import harm_scorer_tables
from benchmarks.harm_scorers.measuring import figures_of, groups_of, not_fitted, prefers, ratio
from classifiers.fitting.prompts import Split
from classifiers.fitting.replies.record import ReplyRow


def rows(labels: list[bool], groups: list[str] | None = None) -> list[ReplyRow]:
    names = groups or [""] * len(labels)
    return [
        ReplyRow(reply=str(i), labels={"toxicity": shown}, source="a", group=name)
        for i, (shown, name) in enumerate(zip(labels, names, strict=True))
    ]


def test_precision_recall_and_false_alarms_by_hand() -> None:
    labels = [True] * 8 + [False] * 12
    scores = np.array([0.9] * 6 + [0.1] * 2 + [0.5] * 2 + [0.2] * 10)
    found = figures_of("x", scores, rows(labels), "toxicity")
    assert (found["x.rows"], found["x.harmful"]) == (20, 8)
    assert found["x.precision"] == pytest.approx(6 / 8)
    assert found["x.recall"] == pytest.approx(6 / 8)
    assert found["x.false_alarms"] == pytest.approx(2 / 12)
    # 6 * 12 pairs won by the six; of the two at 0.1 none.
    assert found["x.auroc"] == pytest.approx(72 / 96)
    assert found["x.recall.low"] < found["x.recall"] < found["x.recall.high"]


def test_what_rows_cannot_show_is_left_out() -> None:
    found = figures_of("x", np.array([0.1] * 9 + [0.9]), rows([False] * 10), "toxicity")
    assert found["x.false_alarms"] == pytest.approx(0.1)
    assert not {"x.precision", "x.recall", "x.auroc"} & found.keys()


def test_rows_of_a_group_are_resampled_together() -> None:
    groups = groups_of(rows([True] * 6, ["a", "a", "b", "b", "", ""]))
    assert len(set(groups.tolist())) == 4
    together = np.repeat([True, False], 50)
    whole = np.ones(100, dtype=np.bool_)
    apart = ratio("x", together, whole, np.arange(100))
    grouped = ratio("x", together, whole, np.repeat(np.arange(10), 10))
    assert grouped["x"] == apart["x"] == 0.5
    assert grouped["x.high"] - grouped["x.low"] > 2 * (apart["x.high"] - apart["x.low"])


def test_pairs_count_wins_and_half_of_ties() -> None:
    scores = np.array([0.9, 0.1, 0.5, 0.5, 0.2, 0.3, 0.7])
    labels = np.array([True, False, True, False, True, False, True])
    found = prefers("x", scores, labels, np.array([0, 0, 1, 1, 2, 2, 3]))
    assert found["x.pairs"] == 3
    assert found["x.preferred"] == pytest.approx((1 + 0.5 + 0) / 3)


def test_what_a_fit_was_given_is_not_measured() -> None:
    given = [ReplyRow(reply=text, labels={}, source="a") for text in ("Women drive.", "Men walk", "Boys run")]
    fitted = {Split.TRAIN: given[:1], Split.CALIBRATION: given[1:2], Split.HELDOUT: []}
    again = [ReplyRow(reply=text, labels={}, source="b") for text in ("women  drive", "men walk!", "Boys run")]
    assert [row.reply for row in not_fitted(again, fitted)] == ["Boys run"]


def test_tables_show_every_measured_set() -> None:
    figures = {
        "toxicity.unseen.some_set.rows": 10.0,
        "toxicity.unseen.some_set.harmful": 5.0,
        "toxicity.unseen.some_set.precision": 0.5,
        "toxicity.unseen.some_set.recall": 0.25,
        "toxicity.unseen.some_set.recall.low": 0.125,
        "toxicity.unseen.some_set.recall.high": 0.375,
        "toxicity.unseen.some_set.auroc": 0.75,
        "refusal.none.dolly.rows": 7.0,
        "refusal.none.dolly.harmful": 0.0,
        "refusal.none.dolly.false_alarms": 0.125,
        "toxicity.hh_rlhf.pairs": 3.0,
        "toxicity.hh_rlhf.preferred": 0.5,
    }
    assert harm_scorer_tables.accuracy_rows(figures)[1:] == [
        ["toxicity", "unseen", "some-set", "10", "5", "0.500", "0.250 [0.125, 0.375]", "0.750"]
    ]
    assert harm_scorer_tables.one_label_rows(figures)[1:] == [["refusal", "harmless", "dolly", "7", "0.125", "-"]]
    assert harm_scorer_tables.pair_rows(figures)[1:] == [["toxicity", "hh-rlhf", "3", "0.500"]]


def test_labels_of_refusals_name_rows_and_no_text() -> None:
    path = Path(__file__).parents[2] / "benchmarks" / "harm_scorers" / "refusal_labels.json"
    for by_row in json.loads(path.read_text()).values():
        assert all(isinstance(label, bool) for label in by_row.values())
        assert all(len(name) < 80 for name in by_row)

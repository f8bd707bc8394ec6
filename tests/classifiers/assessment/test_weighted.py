"""Weighted figures by hand, against scikit-learn, and against the unweighted ones."""

import math

import numpy as np
import pytest
from sklearn.metrics import f1_score, roc_auc_score

from classifiers.assessment.weighted import (
    weighted_auroc,
    weighted_ece,
    weighted_f1,
    weighted_recall,
    weighted_threshold,
)
from classifiers.fitting.metrics import auroc, budget_threshold, expected_calibration_error, f1, recall_at


def drawn(seed: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    random = np.random.default_rng(seed)
    labels = random.random(200) < 0.3
    scores = np.round(np.clip(0.3 * labels + random.random(200) * 0.7, 0, 1), 2)
    return scores, labels, random.integers(0, 4, size=200).astype(np.float64)


@pytest.mark.parametrize("seed", range(5))
def test_weights_count_as_in_scikit_learn(seed: int) -> None:
    scores, labels, weights = drawn(seed)
    assert weighted_auroc(scores, labels, weights) == pytest.approx(
        roc_auc_score(labels, scores, sample_weight=weights)
    )
    assert weighted_f1(scores, labels, weights, 0.5) == pytest.approx(
        f1_score(labels, scores >= 0.5, sample_weight=weights)
    )


@pytest.mark.parametrize("seed", range(5))
def test_a_weight_is_a_row_repeated(seed: int) -> None:
    scores, labels, weights = drawn(seed)
    repeated = np.repeat(np.arange(200), weights.astype(int))
    own, shown = scores[repeated], labels[repeated]
    assert weighted_auroc(scores, labels, weights) == pytest.approx(auroc(own, shown))
    assert weighted_f1(scores, labels, weights, 0.4) == pytest.approx(f1(own, shown, 0.4))
    assert weighted_ece(scores, labels, weights) == pytest.approx(
        expected_calibration_error(own, shown.astype(np.float64))
    )
    for budget in (0.0, 0.01, 0.05, 1.0):
        assert weighted_recall(scores, labels, ~labels, weights, budget) == pytest.approx(
            recall_at(own, shown, budget)
        )
        assert weighted_threshold(scores[~labels], weights[~labels], budget) == budget_threshold(own[~shown], budget)


def test_a_heavy_negative_takes_the_whole_budget() -> None:
    scores = np.array([0.9, 0.8, 0.7, 0.6])
    positives, negatives = np.array([True, False, False, True]), np.array([False, True, True, False])
    # The negative at 0.8 is 1 of 4 by weight: half of the weight may pass it, a tenth may not.
    weights = np.array([1.0, 1.0, 3.0, 1.0])
    assert weighted_recall(scores, positives, negatives, weights, 0.5) == pytest.approx(0.5)
    assert weighted_threshold(scores[negatives], weights[negatives], 0.5) == np.nextafter(0.7, 1)
    assert weighted_threshold(scores[negatives], weights[negatives], 0.1) == np.nextafter(0.8, 1)


def test_what_cannot_be_shown_is_nan() -> None:
    scores, labels = np.array([0.5, 0.6]), np.array([True, True])
    assert math.isnan(weighted_auroc(scores, labels, np.ones(2)))
    assert math.isnan(weighted_recall(scores, labels, ~labels, np.ones(2), 0.01))
    assert math.isnan(weighted_f1(scores, labels, np.zeros(2), 0.5))
    assert math.isnan(weighted_ece(scores, labels, np.zeros(2)))

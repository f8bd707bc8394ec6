"""Figures by hand and against scikit-learn, and Platt scaling against scikit-learn's logistic regression."""

import math

import numpy as np
import pytest

from classifiers.errors import FitError
from classifiers.fitting.calibration import fit_platt, smoothed_targets
from classifiers.fitting.metrics import (
    auroc,
    budget_threshold,
    classifier_figures,
    expected_calibration_error,
    f1,
    recall_at,
)


def test_figures_by_hand() -> None:
    scores = np.array([0.9, 0.8, 0.6, 0.4, 0.2])
    labels = np.array([True, False, True, False, False])
    # Of 6 pairs, positives win 3 (0.9) + 2 (0.6).
    assert auroc(scores, labels) == pytest.approx(5 / 6)
    # Alarms 3, hits 2, positives 2.
    assert f1(scores, labels) == pytest.approx(4 / 5)
    assert recall_at(scores, labels, 0.0) == pytest.approx(0.5)
    assert recall_at(scores, labels, 1 / 3) == pytest.approx(1.0)
    # Each in its own bin: |0.9-1|, |0.8-0|, |0.6-1|, |0.4-0|, |0.2-0|.
    assert expected_calibration_error(scores, labels.astype(float)) == pytest.approx(
        (0.1 + 0.8 + 0.4 + 0.4 + 0.2) / 5
    )


def test_one_class_gives_nan_and_no_prompts_an_error() -> None:
    figures = classifier_figures(np.array([0.1, 0.2]), np.array([False, False]))
    assert math.isnan(figures.auroc)
    assert math.isnan(figures.recall_at_1_percent)
    with pytest.raises(FitError):
        classifier_figures(np.empty(0), np.empty(0, dtype=bool))


def test_ranking_figures_equal_scikit_learns() -> None:
    metrics = pytest.importorskip("sklearn.metrics")
    rng = np.random.default_rng(1)
    labels = rng.random(400) < 0.3
    scores = np.round(np.clip(rng.normal(0.4 + 0.2 * labels, 0.2), 0, 1), 2)
    assert auroc(scores, labels) == pytest.approx(metrics.roc_auc_score(labels, scores))
    assert f1(scores, labels) == pytest.approx(metrics.f1_score(labels, scores >= 0.5))


@pytest.mark.parametrize(("budget", "allowed"), [(0.0, 0), (0.1, 1), (0.19, 1), (0.2, 2), (1.0, 10)])
def test_the_threshold_keeps_its_budget_and_is_the_lowest_that_does(budget: float, allowed: int) -> None:
    negatives = np.arange(10) / 10
    threshold = budget_threshold(negatives, budget)
    assert int((negatives >= threshold).sum()) == allowed


def test_a_threshold_at_ties_lets_none_of_them_through() -> None:
    assert budget_threshold(np.array([0.5, 0.5, 0.5, 0.1]), 0.25) > 0.5


def test_platt_recovers_the_law_that_drew_the_targets() -> None:
    logits = np.linspace(-4, 4, 200)
    scaling = fit_platt(logits, 1 / (1 + np.exp(-(0.7 * logits - 0.3))))
    assert scaling.slope == pytest.approx(0.7, abs=1e-4)
    assert scaling.intercept == pytest.approx(-0.3, abs=1e-4)


def test_platt_equals_an_unpenalised_logistic_regression() -> None:
    linear_model = pytest.importorskip("sklearn.linear_model")
    rng = np.random.default_rng(2)
    logits = rng.normal(size=500)
    labels = rng.random(500) < 1 / (1 + np.exp(-2 * logits + 1))
    ours = fit_platt(logits, labels.astype(float))
    theirs = linear_model.LogisticRegression(C=1e10, tol=1e-10).fit(logits[:, None], labels)
    assert ours.slope == pytest.approx(theirs.coef_[0, 0], rel=1e-3)
    assert ours.intercept == pytest.approx(theirs.intercept_[0], rel=1e-3)


def test_separable_classes_calibrate_to_finite_values_with_smoothed_targets() -> None:
    logits = np.array([-5.0, -4.0, 4.0, 5.0])
    targets = smoothed_targets(logits > 0)
    np.testing.assert_allclose(targets, [0.25, 0.25, 0.75, 0.75])
    scaling = fit_platt(logits, targets)
    assert 0 < scaling.slope < 1
    assert scaling(np.array([4.5]))[0] == pytest.approx(0.75, abs=0.01)


@pytest.mark.parametrize("targets", [[0.0, 0.0, 0.0], [1.0, 0.5, 0.0], [0.0, 2.0, 0.0]])
def test_what_calibrates_nothing_is_refused(targets: list[float]) -> None:
    with pytest.raises(FitError):
        fit_platt(np.array([0.0, 1.0, 2.0]), np.array(targets))

"""Joint logistic regressions against scikit-learn's, one category at a time."""

import numpy as np
import pytest
from scipy.sparse import csr_matrix
from sklearn.linear_model import LogisticRegression

from classifiers.errors import FitError
from classifiers.fitting.requests.logistic import fit_logistic

EXACT = {"tolerance": 1e-9, "steps": 5000}


def made_up(rows: int = 300, features: int = 12) -> tuple[np.ndarray, np.ndarray]:
    random = np.random.default_rng(0)
    matrix = random.normal(size=(rows, features)) * (random.random((rows, features)) < 0.5)
    truth = random.normal(size=(features, 2))
    targets = (matrix @ truth + random.logistic(size=(rows, 2)) > 0.5).astype(np.float64)
    return matrix, targets


@pytest.mark.parametrize("sparse", [True, False])
def test_weights_are_scikit_learns(sparse: bool) -> None:
    matrix, targets = made_up()
    importance = np.random.default_rng(1).random(targets.shape)
    importance[:100, 1] = 0.0
    found = fit_logistic(csr_matrix(matrix) if sparse else matrix, targets, importance, regularisation=0.7, **EXACT)
    for column in range(2):
        known = importance[:, column] > 0
        wanted = LogisticRegression(C=0.7, tol=1e-10, max_iter=5000)
        wanted.fit(matrix[known], targets[known, column], sample_weight=importance[known, column])
        np.testing.assert_allclose(found.weights[:, column], wanted.coef_[0], atol=2e-4)
        np.testing.assert_allclose(found.intercept[column], wanted.intercept_[0], atol=2e-4)
        np.testing.assert_allclose(found.logits(matrix)[:, column], wanted.decision_function(matrix), atol=1e-3)


def test_a_soft_target_is_a_row_of_each_label() -> None:
    matrix, targets = made_up(100)
    soft = 0.2 + 0.6 * targets
    twice = np.concatenate([matrix, matrix])
    hard = np.concatenate([np.ones_like(soft), np.zeros_like(soft)])
    one = fit_logistic(matrix, soft, np.ones_like(soft), regularisation=1.0, **EXACT)
    two = fit_logistic(twice, hard, np.concatenate([soft, 1 - soft]), regularisation=1.0, **EXACT)
    np.testing.assert_allclose(one.weights, two.weights, atol=1e-4)


def test_a_start_saves_steps_and_changes_nothing() -> None:
    matrix, targets = made_up()
    ones = np.ones_like(targets)
    cold = fit_logistic(matrix, targets, ones, regularisation=1.0, **EXACT)
    warm = fit_logistic(matrix, targets, ones, regularisation=1.0, start=cold, steps=3, tolerance=1e-6)
    np.testing.assert_allclose(warm.weights, cold.weights, atol=1e-4)
    early = fit_logistic(matrix, targets, ones, regularisation=1.0, steps=3, tolerance=1e-9)
    assert np.abs(early.weights - cold.weights).max() > 0.01


def test_one_sided_categories_are_refused() -> None:
    matrix, targets = made_up()
    importance = np.ones_like(targets)
    importance[targets[:, 1] > 0, 1] = 0.0
    with pytest.raises(FitError, match="positives of weight"):
        fit_logistic(matrix, targets, importance, regularisation=1.0)

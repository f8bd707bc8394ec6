"""Logistic regressions of all categories at once, by L-BFGS: partially known labels, soft targets, warm starts.

One sparse product serves all categories, and a fit may start from another one's weights; both make leave-one-set-out
fits affordable. The objective is scikit-learn's: ||w||^2 / 2 + C * sum of weighted log losses, per category.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from jaxtyping import Float64

from classifiers.errors import FitError

_MEMORY = 6
_INTERCEPT_PENALTY = 1e-6
"""Keeps the optimum finite; far too weak to move it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class LogisticWeights:
    """One logistic regression a category."""

    weights: Float64[np.ndarray, "feature category"]
    intercept: Float64[np.ndarray, " category"]

    def logits(self, matrix: Any) -> Float64[np.ndarray, "row category"]:
        """Log-odds of the rows of a matrix, sparse or dense."""
        found: Float64[np.ndarray, "row category"] = (
            np.asarray(matrix @ self.weights.astype(matrix.dtype), dtype=np.float64) + self.intercept
        )
        return found


def fit_logistic(
    matrix: Any,
    targets: Float64[np.ndarray, "row category"],
    importance: Float64[np.ndarray, "row category"],
    *,
    regularisation: float,
    start: LogisticWeights | None = None,
    tolerance: float = 1e-2,
    steps: int = 200,
) -> LogisticWeights:
    """Minimise the penalised, weighted log loss of every category.

    Args:
        matrix: features of each row, sparse or dense.
        targets: probabilities that the category applies.
        importance: weight of each row for each category; 0 where it is not known.
        regularisation: inverse strength C of the L2 penalty, above 0.
        start: where to begin; zeros if left out.
        tolerance: of the largest entry of the gradient, relative to the one at zero.
        steps: most iterations.

    Raises:
        FitError: a category has no weight on one of the two sides, or the optimisation did not stay finite.
    """
    from scipy.optimize import minimize

    positive, negative = (importance * targets).sum(axis=0), (importance * (1 - targets)).sum(axis=0)
    if regularisation <= 0 or (positive <= 0).any() or (negative <= 0).any():
        raise FitError(
            f"positives of weight {positive.tolist()}, negatives of {negative.tolist()}, C {regularisation}; wanted "
            "each above 0"
        )
    features, categories = matrix.shape[1], targets.shape[1]
    transposed = matrix.T.tocsr() if hasattr(matrix, "tocsr") else matrix.T

    def objective(flat: Float64[np.ndarray, " parameter"]) -> tuple[float, Float64[np.ndarray, " parameter"]]:
        weights, intercept = _unpacked(flat, features, categories)
        # In the matrix's own precision: a product of two would convert the whole matrix each time.
        logits = np.asarray(matrix @ weights.astype(matrix.dtype), dtype=np.float64) + intercept
        losses = importance * (np.logaddexp(0.0, logits) - targets * logits)
        errors = regularisation * importance * (0.5 * (1.0 + np.tanh(0.5 * logits)) - targets)
        gradient = np.empty((features + 1, categories))
        gradient[:-1] = transposed @ errors.astype(matrix.dtype)
        gradient[:-1] += weights
        gradient[-1] = errors.sum(axis=0) + _INTERCEPT_PENALTY * intercept
        penalty = 0.5 * (weights**2).sum() + 0.5 * _INTERCEPT_PENALTY * (intercept**2).sum()
        return float(regularisation * losses.sum() + penalty), gradient.ravel()

    zeros = np.zeros((features + 1) * categories)
    begin = zeros if start is None else np.concatenate([start.weights, start.intercept[None]]).ravel()
    scale = float(np.abs(objective(zeros)[1]).max())
    options = {"maxiter": steps, "gtol": tolerance * scale, "maxcor": _MEMORY, "ftol": 1e-9}
    found = minimize(objective, begin, jac=True, method="L-BFGS-B", options=options)
    if not np.isfinite(found.x).all():
        raise FitError(f"the logistic regressions did not stay finite: {found.message}")
    weights, intercept = _unpacked(found.x, features, categories)
    return LogisticWeights(weights=weights, intercept=intercept)


def _unpacked(
    flat: Float64[np.ndarray, " parameter"], features: int, categories: int
) -> tuple[Float64[np.ndarray, "feature category"], Float64[np.ndarray, " category"]]:
    both = flat.reshape(features + 1, categories)
    return both[:-1], both[-1]

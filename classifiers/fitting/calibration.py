"""From log-odds to probabilities: Platt scaling, with targets that may themselves be probabilities."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float64

from classifiers.errors import FitError

_STEPS = 200
_TOLERANCE = 1e-10
_RIDGE = 1e-9


@dataclass(frozen=True, slots=True, kw_only=True)
class PlattScaling:
    """P = sigmoid(slope * logit + intercept)."""

    slope: float
    """Above 0: a higher logit never means a lower probability."""
    intercept: float

    def __call__(self, logits: Float64[np.ndarray, " n"]) -> Float64[np.ndarray, " n"]:
        """Probabilities of `logits`."""
        return 0.5 * (1.0 + np.tanh(0.5 * (self.slope * logits + self.intercept)))


def smoothed_targets(labels: Bool[np.ndarray, " n"]) -> Float64[np.ndarray, " n"]:
    """Platt's targets (1999): (n+ + 1) / (n+ + 2) and 1 / (n- + 2), which keep separable classes finite."""
    positives, negatives = int(labels.sum()), int((~labels).sum())
    return np.where(labels, (positives + 1) / (positives + 2), 1 / (negatives + 2))


def fit_platt(logits: Float64[np.ndarray, " n"], targets: Float64[np.ndarray, " n"]) -> PlattScaling:
    """Minimise the log loss by Newton steps with halving.

    Args:
        logits: uncalibrated log-odds.
        targets: probabilities in (0, 1), or 0 and 1 where these are not separated by the logits.

    Raises:
        FitError: one class only, targets outside [0, 1], or a slope that is not above 0.
    """
    if len(logits) < 2 or targets.min() == targets.max() or targets.min() < 0 or targets.max() > 1:
        raise FitError(f"{len(logits)} targets that do not differ, or outside [0, 1], calibrate nothing")
    design = np.stack([logits, np.ones_like(logits)], axis=1)
    theta = np.array([1.0, 0.0])
    loss = _loss(design @ theta, targets)
    for _ in range(_STEPS):
        p = 0.5 * (1.0 + np.tanh(0.5 * (design @ theta)))
        gradient = design.T @ (p - targets)
        hessian = (design * (p * (1 - p))[:, None]).T @ design + _RIDGE * np.eye(2)
        step, scale = np.linalg.solve(hessian, gradient), 1.0
        while _loss(design @ (theta - scale * step), targets) > loss and scale > _TOLERANCE:
            scale /= 2
        theta = theta - scale * step
        previous, loss = loss, _loss(design @ theta, targets)
        if previous - loss < _TOLERANCE:
            break
    if not np.isfinite(theta).all() or theta[0] <= 0:
        raise FitError(f"the calibration's slope is {theta[0]}; the logits do not rank these targets")
    return PlattScaling(slope=float(theta[0]), intercept=float(theta[1]))


def _loss(z: Float64[np.ndarray, " n"], targets: Float64[np.ndarray, " n"]) -> float:
    return float((np.logaddexp(0, z) - targets * z).sum())

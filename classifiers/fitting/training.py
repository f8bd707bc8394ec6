"""One-vs-rest logistic regression over hashed features, with scikit-learn (extra `fit`)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from jaxtyping import Bool, Float32, Float64

from classifiers.errors import FitError
from classifiers.fitting.prompts import LabelledPrompt
from classifiers.lexical.hashing import FeatureHasher, Hashing


@dataclass(frozen=True, slots=True, kw_only=True)
class TrainingSettings:
    """What decides the weights, besides the prompts."""

    hashing: Hashing
    regularisation: float
    """Inverse strength C of the L2 penalty, above 0."""
    seed: int
    source_weights: Mapping[str, float]
    """Weight of a row by its source; 1 where it is not named."""


@dataclass(frozen=True, slots=True, kw_only=True)
class LinearWeights:
    """One logistic regression a category."""

    weights: Float32[np.ndarray, "bucket category"]
    intercept: Float32[np.ndarray, " category"]


def train_weights(
    prompts: Sequence[LabelledPrompt], categories: Sequence[str], settings: TrainingSettings
) -> LinearWeights:
    """Fit every category on the prompts that have a label for it.

    Raises:
        FitError: a category has no positive or no negative prompt.
    """
    matrix = feature_matrix([p.text for p in prompts], settings.hashing)
    weights = np.zeros((2**settings.hashing.bits, len(categories)), dtype=np.float32)
    intercept = np.zeros(len(categories), dtype=np.float32)
    for column, category in enumerate(categories):
        known, labels = labels_of(prompts, category)
        rows = np.flatnonzero(known)
        importance = np.array([settings.source_weights.get(prompts[i].source, 1.0) for i in rows.tolist()])
        weights[:, column], intercept[column] = _fit_one(
            category, matrix[rows], labels[rows], importance, settings.regularisation, settings.seed
        )
    return LinearWeights(weights=weights, intercept=intercept)


def labels_of(
    prompts: Sequence[LabelledPrompt], category: str
) -> tuple[Bool[np.ndarray, " prompt"], Bool[np.ndarray, " prompt"]]:
    """(whether the label is known, the label where it is) of each prompt."""
    known = np.array([category in p.labels for p in prompts], dtype=np.bool_)
    labels = np.array([bool(p.labels.get(category, False)) for p in prompts], dtype=np.bool_)
    return known, labels


def feature_matrix(texts: Sequence[str], hashing: Hashing) -> Any:
    """Compressed sparse rows [text, bucket], exactly what the classifier computes at run time."""
    from scipy.sparse import csr_matrix

    hasher = FeatureHasher(hashing)
    rows = [hasher.features(text) for text in texts]
    ends = np.cumsum([0] + [len(r.buckets) for r in rows])
    buckets = np.concatenate([r.buckets for r in rows]) if rows else np.empty(0, dtype=np.int64)
    values = np.concatenate([r.values for r in rows]) if rows else np.empty(0, dtype=np.float32)
    matrix = csr_matrix((values.astype(np.float64), buckets, ends), shape=(len(rows), 2**hashing.bits))
    matrix.sum_duplicates()
    return matrix


def _fit_one(
    category: str,
    matrix: Any,
    labels: Bool[np.ndarray, " row"],
    importance: Float64[np.ndarray, " row"],
    regularisation: float,
    seed: int,
) -> tuple[Float32[np.ndarray, " bucket"], np.float32]:
    from sklearn.linear_model import LogisticRegression

    if labels.all() or not labels.any():
        raise FitError(
            f"category {category!r} has {int(labels.sum())} positive of {len(labels)} prompts; wanted both"
        )
    model = LogisticRegression(C=regularisation, solver="liblinear", random_state=seed, tol=1e-2, max_iter=200)
    model.fit(matrix, labels, sample_weight=importance)
    return model.coef_[0].astype(np.float32), np.float32(model.intercept_[0])

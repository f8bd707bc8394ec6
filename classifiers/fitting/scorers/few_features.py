"""Fitting a logistic regression over a few named features, with scikit-learn."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass

import numpy as np

from classifiers.errors import FitError
from classifiers.fitting.metrics import classifier_figures
from classifiers.fitting.replies import ReplyRow
from classifiers.fitting.replies.preparing import as_prompts
from classifiers.fitting.scorers.ngrams import labels_of_rows, row_weights, source_cards
from classifiers.scorers.linear import LinearCard, LinearModel, linear_sha256

_DIGITS = 6
_FIGURE_DIGITS = 4


@dataclass(frozen=True, slots=True, kw_only=True)
class FewFeaturesConfig:
    """What decides the weights, besides the rows."""

    behaviour: str
    command: str
    seed: int
    regularisation: float = 1.0


@dataclass(frozen=True, slots=True, kw_only=True)
class FeatureRow:
    """A row with its features."""

    row: ReplyRow
    features: Mapping[str, float]


def fit_few_features(rows: Sequence[FeatureRow], config: FewFeaturesConfig) -> LinearModel:
    """Fit on features scaled to unit variance; the weights are those of the features as they are.

    Raises:
        FitError: there are no rows, or only one label.
    """
    from sklearn.linear_model import LogisticRegression

    prompts = as_prompts(found.row for found in rows)
    labels = labels_of_rows(prompts, config.behaviour)
    if len(rows) == 0 or labels.all() or not labels.any():
        raise FitError(f"{int(labels.sum())} of {len(rows)} rows show {config.behaviour!r}; wanted both")
    names = list(rows[0].features)
    matrix = np.array([[found.features[name] for name in names] for found in rows], dtype=np.float64)
    mean, scale = matrix.mean(axis=0), np.maximum(matrix.std(axis=0), 1e-6)
    model = LogisticRegression(C=config.regularisation, random_state=config.seed, max_iter=1000)
    model.fit((matrix - mean) / scale, labels, sample_weight=row_weights(prompts, config.behaviour))
    coefficients = model.coef_[0] / scale
    weights = {name: round(float(w), _DIGITS) for name, w in zip(names, coefficients, strict=True)}
    intercept = round(float(model.intercept_[0] - (coefficients * mean).sum()), _DIGITS)
    return LinearModel(
        LinearCard(
            behaviour=config.behaviour,
            weights=weights,
            intercept=intercept,
            sources=source_cards(prompts, config.behaviour),
            seed=config.seed,
            regularisation=config.regularisation,
            figures={},
            command=config.command,
            weights_sha256=linear_sha256(weights, intercept),
        )
    )


def with_figures(model: LinearModel, heldout: Sequence[FeatureRow]) -> LinearModel:
    """The same model, its card with figures on held-out rows."""
    labels = labels_of_rows(as_prompts(found.row for found in heldout), model.card.behaviour)
    scores = np.array([model.probability(found.features) for found in heldout], dtype=np.float64)
    figures = {
        f"heldout.{name}": round(float(value), _FIGURE_DIGITS)
        for name, value in asdict(classifier_figures(scores, labels)).items()
        if not np.isnan(value)
    }
    return LinearModel(model.card.model_copy(update={"figures": figures}))

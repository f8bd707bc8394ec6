"""Fitting a scorer's n-gram model of replies: one category, hashed features, Platt scaling.

Within each set both labels have the same weight in all, so that what tells the sets apart does not tell the labels.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path

import numpy as np
from jaxtyping import Bool, Float64

from classifiers.conversation import ConversationWeights
from classifiers.errors import FitError
from classifiers.fitting.calibration import PlattScaling, fit_platt, smoothed_targets
from classifiers.fitting.metrics import classifier_figures
from classifiers.fitting.prompts import LabelledPrompt, Split, prompts_sha256
from classifiers.fitting.replies import TRAINING, ReplyRow
from classifiers.fitting.replies.preparing import as_prompts
from classifiers.fitting.training import feature_matrix
from classifiers.lexical.artifact import (
    ConversationCard,
    HashingCard,
    LexicalCard,
    LexicalTensors,
    SourceCard,
    save_artifact,
    weights_sha256,
)
from classifiers.lexical.hashing import Hashing
from classifiers.lexical.model import LexicalClassifier

HEAVIEST_ROW = 4.0
"""The most weight that a row of a rare label has."""
_DIGITS = 4
_ALONE = ConversationWeights(turn_decay=0.0, system_weight=0.0, context_limit=0.0)
"""A reply is read by itself."""

Rows = Mapping[Split, Sequence[ReplyRow]]


@dataclass(frozen=True, slots=True, kw_only=True)
class NgramConfig:
    """What decides a fitted model, besides its rows."""

    category: str
    command: str
    seed: int
    hashing: Hashing = field(default_factory=lambda: Hashing(bits=17))
    regularisation: float = 10.0


def fit_ngrams(rows: Rows, config: NgramConfig) -> LexicalClassifier:
    """Fit on the training rows, calibrate on the calibration rows, and measure on the held-out ones.

    Raises:
        FitError: a label is missing, or a set may not train.
    """
    train = as_prompts(rows[Split.TRAIN])
    refused = sorted({p.source for p in train} - TRAINING.keys())
    if refused:
        raise FitError(f"{', '.join(refused)} may not train what ships; sets that may: {', '.join(TRAINING)}")
    weights, intercept = _coefficients(train, config)
    plain = _assemble(weights, intercept, PlattScaling(slope=1.0, intercept=0.0), train, config)
    calibration = as_prompts(rows[Split.CALIBRATION])
    logits = np.array([float(plain.logits(p.text)[0]) for p in calibration], dtype=np.float64)
    scaling = fit_platt(logits, smoothed_targets(labels_of_rows(calibration, config.category)))
    fitted = _assemble(weights, intercept, scaling, train, config)
    described = f"Platt scaling on {len(calibration)} calibration rows of the same sets"
    card = fitted.card.model_copy(
        update={
            "figures": heldout_figures(fitted, as_prompts(rows[Split.HELDOUT]), config.category),
            "calibration": {config.category: described},
        }
    )
    return LexicalClassifier(card, fitted.tensors)


def save_ngrams(model: LexicalClassifier, path: Path) -> None:
    """Write a fitted model's files into the directory `path`."""
    save_artifact(model.card, model.tensors.serialise(), path)


def labels_of_rows(rows: Sequence[LabelledPrompt], category: str) -> Bool[np.ndarray, " row"]:
    """The labels of one category, which every row has."""
    return np.array([row.labels[category] for row in rows], dtype=np.bool_)


def heldout_figures(model: LexicalClassifier, rows: Sequence[LabelledPrompt], category: str) -> dict[str, float]:
    """Figures over all rows (`heldout.auroc`, ...) and by set (`heldout.SET.auroc`); nan ones are left out."""
    scored = model.score([row.conversation for row in rows])
    scores = np.array([s[category] for s in scored], dtype=np.float64)
    labels = labels_of_rows(rows, category)
    sources = np.array([row.source for row in rows])
    figures: dict[str, float] = {}
    for name, chosen in [("heldout", np.ones(len(rows), dtype=np.bool_))] + [
        (f"heldout.{source}", sources == source) for source in sorted(set(sources.tolist()))
    ]:
        for figure, value in asdict(classifier_figures(scores[chosen], labels[chosen])).items():
            if not np.isnan(value):
                figures[f"{name}.{figure}"] = round(float(value), _DIGITS)
    return figures


def row_weights(rows: Sequence[LabelledPrompt], category: str) -> Float64[np.ndarray, " row"]:
    """Weights under which both labels of a set weigh the same, `HEAVIEST_ROW` at most; 1 in sets of one label."""
    counts = Counter((row.source, row.labels[category]) for row in rows)
    totals = Counter(row.source for row in rows)
    return np.array(
        [
            min(HEAVIEST_ROW, totals[row.source] / (2 * counts[row.source, row.labels[category]]))
            if counts[row.source, not row.labels[category]]
            else 1.0
            for row in rows
        ]
    )


def _coefficients(
    rows: Sequence[LabelledPrompt], config: NgramConfig
) -> tuple[Float64[np.ndarray, " bucket"], float]:
    from sklearn.linear_model import LogisticRegression

    labels = labels_of_rows(rows, config.category)
    if len(rows) == 0 or labels.all() or not labels.any():
        raise FitError(f"{int(labels.sum())} of {len(rows)} rows show {config.category!r}; wanted both")
    model = LogisticRegression(
        C=config.regularisation, solver="liblinear", random_state=config.seed, tol=1e-2, max_iter=200
    )
    matrix = feature_matrix([row.text for row in rows], config.hashing)
    model.fit(matrix, labels, sample_weight=row_weights(rows, config.category))
    return model.coef_[0], float(model.intercept_[0])


def _assemble(
    weights: Float64[np.ndarray, " bucket"],
    intercept: float,
    scaling: PlattScaling,
    train: Sequence[LabelledPrompt],
    config: NgramConfig,
) -> LexicalClassifier:
    tensors = LexicalTensors(
        # What ships is in half precision; calibrate and measure exactly that.
        weights=weights.astype(np.float16).astype(np.float32)[:, None],
        intercept=np.array([intercept], dtype=np.float32),
        calibration_slope=np.array([scaling.slope], dtype=np.float32),
        calibration_intercept=np.array([scaling.intercept], dtype=np.float32),
    )
    card = LexicalCard(
        categories=(config.category,),
        hashing=HashingCard.model_validate(asdict(config.hashing)),
        conversation=ConversationCard.model_validate(asdict(_ALONE)),
        sources=source_cards(train, config.category),
        seed=config.seed,
        regularisation=config.regularisation,
        calibration={},
        figures={},
        command=config.command,
        weights_sha256=weights_sha256(tensors.serialise()),
    )
    return LexicalClassifier(card, tensors)


def source_cards(rows: Sequence[LabelledPrompt], category: str) -> tuple[SourceCard, ...]:
    """What a card says of each set that trained."""
    by_source: dict[str, list[LabelledPrompt]] = {}
    for row in rows:
        by_source.setdefault(row.source, []).append(row)
    return tuple(
        SourceCard(
            name=name,
            licence=TRAINING[name],
            rows=len(own),
            positives={category: sum(row.labels[category] for row in own)},
            sha256=prompts_sha256(own),
        )
        for name, own in sorted(by_source.items())
    )

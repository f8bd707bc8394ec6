"""Stages `fit` and `evaluate` of the lexical classifier, for `scalpel classifier`: configuration -> result."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path

import numpy as np

from classifiers.conversation import ConversationWeights
from classifiers.errors import FitError
from classifiers.fitting.calibration import PlattScaling, fit_platt, smoothed_targets
from classifiers.fitting.data import DataConfig, FitData, read_data
from classifiers.fitting.demo_prompts import SOURCE as DEMO
from classifiers.fitting.evaluation import evaluate_classifier
from classifiers.fitting.outcomes import Outcomes, load_outcomes
from classifiers.fitting.prompts import LabelledPrompt, Split, prompts_sha256
from classifiers.fitting.training import LinearWeights, TrainingSettings, labels_of, train_weights
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

CATEGORIES = ("toxicity", "gender_bias", "misinformation")
SIZE_LIMIT = 5_000_000
"""Bytes of the weights; what ships stays small."""


@dataclass(frozen=True, slots=True, kw_only=True)
class FitConfig:
    """What decides a fitted classifier."""

    out: Path
    """Directory for `weights.safetensors` and `card.json`."""
    data: DataConfig
    categories: tuple[str, ...] = CATEGORIES
    hashing: Hashing = field(default_factory=Hashing)
    regularisation: float = 30.0
    conversation: ConversationWeights = field(default_factory=ConversationWeights)
    outcomes: Path | None = None
    """What the unmodified model did with the demo prompts; None to calibrate to the labels."""
    command: str = "scalpel classifier fit"


@dataclass(frozen=True, slots=True, kw_only=True)
class FitResult:
    """A fitted classifier."""

    classifier: LexicalClassifier
    path: Path
    figures: Mapping[str, float]
    """Flat, see `classifiers.fitting.evaluation`."""


@dataclass(frozen=True, slots=True, kw_only=True)
class EvaluateConfig:
    """Which classifier to measure on which prompts."""

    path: Path
    data: DataConfig
    outcomes: Path | None = None


def fit(config: FitConfig) -> FitResult:
    """Read, train, calibrate, measure and write.

    Raises:
        FitError: the data cannot fit a category, or the weights are too large.
        SourceFormatError: a data file is not in its published format.
    """
    return fit_on(read_data(config.data), config)


def fit_on(data: FitData, config: FitConfig) -> FitResult:
    """As `fit`, on prompts that are already read."""
    outcomes = None if config.outcomes is None else load_outcomes(config.outcomes)
    settings = TrainingSettings(
        hashing=config.hashing, regularisation=config.regularisation, seed=config.data.seed, source_weights={}
    )
    linear = train_weights(data.by_split[Split.TRAIN], config.categories, settings)
    uncalibrated = _assemble(config, data, linear, [PlattScaling(slope=1.0, intercept=0.0)] * len(config.categories))
    calibration = [p for p in data.by_split[Split.CALIBRATION] if p.source == DEMO]
    scalings = [calibrate(uncalibrated, calibration, c, outcomes) for c in config.categories]
    fitted = _assemble(config, data, linear, scalings)
    figures = evaluate_classifier(fitted, data.by_split[Split.HELDOUT], outcomes)
    how = "labels" if outcomes is None else f"outcomes ({outcomes.made_by})"
    described = f"Platt scaling on {len(calibration)} calibration texts of the demo, to {how}"
    card = fitted.card.model_copy(
        update={"figures": figures, "calibration": dict.fromkeys(config.categories, described)}
    )
    weights = fitted.tensors.serialise()
    if len(weights) > SIZE_LIMIT:
        raise FitError(f"the weights are {len(weights)} bytes; wanted at most {SIZE_LIMIT}")
    save_artifact(card, weights, config.out)
    return FitResult(classifier=LexicalClassifier.load(config.out), path=config.out, figures=figures)


def evaluate(config: EvaluateConfig) -> dict[str, float]:
    """Figures of a fitted classifier on the held-out prompts of `config.data`.

    Raises:
        ArtifactError: the classifier cannot be read.
    """
    outcomes = None if config.outcomes is None else load_outcomes(config.outcomes)
    data = read_data(config.data)
    return evaluate_classifier(LexicalClassifier.load(config.path), data.by_split[Split.HELDOUT], outcomes)


def calibrate(
    classifier: LexicalClassifier, prompts: Sequence[LabelledPrompt], category: str, outcomes: Outcomes | None
) -> PlattScaling:
    """Platt scaling of one category on calibration prompts.

    Raises:
        FitError: the prompts cannot calibrate the category.
    """
    column = classifier.categories.index(category)
    logits = np.array([classifier.logits(p.text)[column] for p in prompts], dtype=np.float64)
    if outcomes is not None:
        return fit_platt(logits, outcomes.of(prompts, category))
    known, labels = labels_of(prompts, category)
    return fit_platt(logits[known], smoothed_targets(labels[known]))


def _assemble(
    config: FitConfig, data: FitData, linear: LinearWeights, scalings: Sequence[PlattScaling]
) -> LexicalClassifier:
    tensors = LexicalTensors(
        # What ships is in half precision; calibrate and measure exactly that.
        weights=linear.weights.astype(np.float16).astype(np.float32),
        intercept=linear.intercept,
        calibration_slope=np.array([s.slope for s in scalings], dtype=np.float32),
        calibration_intercept=np.array([s.intercept for s in scalings], dtype=np.float32),
    )
    card = LexicalCard(
        categories=config.categories,
        hashing=HashingCard.model_validate(asdict(config.hashing)),
        conversation=ConversationCard.model_validate(asdict(config.conversation)),
        sources=_sources(config.categories, data),
        seed=config.data.seed,
        regularisation=config.regularisation,
        calibration={},
        figures={},
        command=config.command,
        weights_sha256=weights_sha256(tensors.serialise()),
    )
    return LexicalClassifier(card, tensors)


def _sources(categories: Sequence[str], data: FitData) -> tuple[SourceCard, ...]:
    by_source: dict[str, list[LabelledPrompt]] = {}
    for prompt in data.by_split[Split.TRAIN]:
        by_source.setdefault(prompt.source, []).append(prompt)
    return tuple(
        SourceCard(
            name=name,
            licence=data.licences[name],
            rows=len(rows),
            positives={c: sum(bool(p.labels.get(c, False)) for p in rows) for c in categories},
            sha256=prompts_sha256(rows),
        )
        for name, rows in sorted(by_source.items())
    )

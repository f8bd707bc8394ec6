"""The general embedding classifier: a linear head a category on the sentence encoder of the package."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from functools import cached_property
from pathlib import Path

import numpy as np

from classifiers.artifact import ConversationCard, sha256_of
from classifiers.calibration import CalibrationCard, TemperatureCard
from classifiers.conversation import ConversationWeights
from classifiers.embedding import EmbeddingCard, EmbeddingClassifier, EmbeddingTensors, SentenceEncoder
from classifiers.fitting.calibration import PlattScaling
from classifiers.fitting.requests.logistic import LogisticWeights, fit_logistic
from classifiers.fitting.requests.provenance import source_cards
from classifiers.fitting.requests.recipes import CATEGORIES, Logits
from classifiers.fitting.requests.table import Numbers, RequestTable
from classifiers.fitting.requests.vectors import TextVectors, encoded
from classifiers.fitting.requests.weighting import Weighting, labelled
from classifiers.requests import minimal_pairs


@dataclass(frozen=True, slots=True, kw_only=True)
class EmbeddingSettings:
    """What decides the head, besides the rows and the encoder."""

    regularisation: float = 10.0
    weighting: Weighting = field(
        default_factory=lambda: Weighting(set_power=0.75, hard=1.0, paired_sources=(minimal_pairs.SEEN.name,))
    )


class EmbeddingRecipe:
    """See `Recipe`; the texts of a table are encoded once."""

    name = "embedding"

    def __init__(
        self,
        table: RequestTable,
        encoder: SentenceEncoder,
        settings: EmbeddingSettings | None = None,
        *,
        cache: Path | None = None,
        progress: Callable[[int, int], None] = lambda *_: None,
    ) -> None:
        self.table = table
        self.encoder = encoder
        self.settings = settings or EmbeddingSettings()
        self._cache = cache
        self._progress = progress

    @property
    def digest(self) -> str:
        """See `Recipe.digest`."""
        settings = json.dumps(asdict(self.settings)) + self.encoder.sha256
        return hashlib.sha256(settings.encode()).hexdigest()[:16]

    @cached_property
    def vectors(self) -> TextVectors:
        """Of all texts of the table."""
        texts = [row.text for row in self.table.rows]
        return encoded(self.encoder, texts, cache=self._cache, progress=self._progress)

    @cached_property
    def means(self) -> np.ndarray:
        """One vector a text, in double precision, for the fit."""
        return self.vectors.means().astype(np.float64)

    def scores(self, train: Numbers, unseen: Numbers) -> Logits:
        """See `Recipe.scores`; of a long text's windows the highest, as what ships scores it."""
        head, vectors = self.weights(train), self.vectors
        by_window = head.logits(vectors.vectors.astype(np.float64))
        highest = np.full((len(self.table.rows), len(CATEGORIES)), -np.inf)
        np.maximum.at(highest, vectors.text, by_window)
        scores: Logits = highest[unseen]
        return scores

    def weights(self, train: Numbers) -> LogisticWeights:
        """One logistic regression a category."""
        found = labelled(self.table.at(train), CATEGORIES, self.settings.weighting)
        return fit_logistic(
            self.means[train],
            found.targets,
            found.importance,
            regularisation=self.settings.regularisation,
            tolerance=1e-3,
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class FittedEmbedding:
    """A classifier, and the file of its fine-tuned layers where it has any."""

    classifier: EmbeddingClassifier
    layers: bytes | None = None


def build_embedding(
    recipe: EmbeddingRecipe,
    train: Numbers,
    scalings: Sequence[PlattScaling],
    *,
    seed: int,
    command: str,
    calibration: str,
    figures: Mapping[str, float],
) -> FittedEmbedding:
    """The classifier that ships: fitted on `train`, with scalings that were fitted out of fold."""
    head = recipe.weights(train)
    card = embedding_card(
        recipe,
        train,
        scalings,
        head,
        seed=seed,
        command=command,
        calibration=calibration,
        figures=figures,
        training={"regularisation": recipe.settings.regularisation},
    )
    return FittedEmbedding(classifier=EmbeddingClassifier(card, tensors_of(head), recipe.encoder))


def embedding_card(
    recipe: EmbeddingRecipe,
    train: Numbers,
    scalings: Sequence[PlattScaling],
    head: LogisticWeights,
    *,
    seed: int,
    command: str,
    calibration: str,
    figures: Mapping[str, float],
    training: Mapping[str, float | int | str],
    layers_sha256: str | None = None,
) -> EmbeddingCard:
    """What a fit writes beside its head, whether or not it fine-tuned layers."""
    return EmbeddingCard(
        categories=CATEGORIES,
        encoder="package",
        encoder_sha256=recipe.encoder.sha256,
        layers_sha256=layers_sha256,
        conversation=ConversationCard.model_validate(asdict(ConversationWeights())),
        calibration={c: temperature(s) for c, s in zip(CATEGORIES, scalings, strict=True)},
        calibrated_on=dict.fromkeys(CATEGORIES, calibration),
        sources=source_cards(recipe.table.at(train), CATEGORIES),
        seed=seed,
        training=dict(training),
        figures=dict(figures),
        command=command,
        weights_sha256=sha256_of(tensors_of(head).serialise()),
    )


def tensors_of(head: LogisticWeights) -> EmbeddingTensors:
    """The head as it is kept."""
    return EmbeddingTensors(weights=head.weights.astype(np.float32), intercept=head.intercept.astype(np.float32))


def temperature(scaling: PlattScaling) -> CalibrationCard:
    """A scaling as cards of members write it."""
    return TemperatureCard(temperature=1 / scaling.slope, shift=scaling.intercept)

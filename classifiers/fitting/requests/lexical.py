"""The general lexical classifier: hashed n-grams of labelled requests, all categories fitted at once."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from functools import cached_property
from typing import Any

import numpy as np
from jaxtyping import Float32

from classifiers.conversation import ConversationWeights
from classifiers.errors import FitError
from classifiers.fitting.calibration import PlattScaling
from classifiers.fitting.requests.logistic import LogisticWeights, fit_logistic
from classifiers.fitting.requests.provenance import source_cards
from classifiers.fitting.requests.recipes import CATEGORIES, Logits
from classifiers.fitting.requests.table import Numbers, RequestTable
from classifiers.fitting.requests.weighting import Weighting, labelled
from classifiers.fitting.training import feature_matrix
from classifiers.lexical.artifact import (
    ConversationCard,
    HashingCard,
    LexicalCard,
    LexicalTensors,
    weights_sha256,
)
from classifiers.lexical.hashing import FeatureGroup, Hashing, Unit
from classifiers.lexical.model import LexicalClassifier
from classifiers.requests import minimal_pairs

SIZE_LIMIT = 5_000_000
"""Bytes of the weights; what ships stays small."""
GROUPS = (
    FeatureGroup(unit=Unit.WORD, orders=(1,), weight=2.0),
    FeatureGroup(unit=Unit.WORD, orders=(2,), weight=1.0),
    FeatureGroup(unit=Unit.CHARACTER, orders=(4, 5), weight=0.5),
)


@dataclass(frozen=True, slots=True, kw_only=True)
class LexicalSettings:
    """What decides the weights, besides the rows."""

    hashing: Hashing = field(default_factory=lambda: Hashing(bits=17, groups=GROUPS))
    regularisation: float = 3.0
    weighting: Weighting = field(
        default_factory=lambda: Weighting(set_power=0.75, hard=1.0, paired_sources=(minimal_pairs.SEEN.name,))
    )


class LexicalRecipe:
    """See `Recipe`; the features of a table are computed once."""

    name = "lexical-requests"

    def __init__(self, table: RequestTable, settings: LexicalSettings | None = None) -> None:
        self.table = table
        self.settings = settings or LexicalSettings()
        self._start: LogisticWeights | None = None

    @property
    def digest(self) -> str:
        """See `Recipe.digest`."""
        return hashlib.sha256(json.dumps(asdict(self.settings)).encode()).hexdigest()[:16]

    @cached_property
    def features(self) -> Any:
        """Sparse rows of all texts of the table, in single precision."""
        matrix = feature_matrix([row.text for row in self.table.rows], self.settings.hashing)
        return matrix.astype(np.float32)

    def scores(self, train: Numbers, unseen: Numbers) -> Logits:
        """See `Recipe.scores`."""
        return self.weights(train).logits(self.features[unseen])

    def weights(self, train: Numbers) -> LogisticWeights:
        """One logistic regression a category, rounded as they ship."""
        found = labelled(self.table.at(train), CATEGORIES, self.settings.weighting)
        fitted = fit_logistic(
            self.features[train], found.targets, found.importance, regularisation=self.settings.regularisation
        )
        return LogisticWeights(
            weights=fitted.weights.astype(np.float16).astype(np.float64), intercept=fitted.intercept
        )


def build_lexical(
    recipe: LexicalRecipe,
    train: Numbers,
    scalings: Sequence[PlattScaling],
    *,
    seed: int,
    command: str,
    calibration: str,
    figures: Mapping[str, float],
) -> LexicalClassifier:
    """The classifier that ships: fitted on `train`, with scalings that were fitted out of fold.

    Raises:
        FitError: the weights are too large.
    """
    fitted, settings = recipe.weights(train), recipe.settings
    tensors = LexicalTensors(
        weights=fitted.weights.astype(np.float32),
        intercept=fitted.intercept.astype(np.float32),
        calibration_slope=_single([s.slope for s in scalings]),
        calibration_intercept=_single([s.intercept for s in scalings]),
    )
    data = tensors.serialise()
    if len(data) > SIZE_LIMIT:
        raise FitError(f"the weights are {len(data)} bytes; wanted at most {SIZE_LIMIT}")
    card = LexicalCard(
        categories=CATEGORIES,
        hashing=HashingCard.model_validate(asdict(settings.hashing)),
        conversation=ConversationCard.model_validate(asdict(ConversationWeights())),
        sources=source_cards(recipe.table.at(train), CATEGORIES),
        seed=seed,
        regularisation=settings.regularisation,
        calibration=dict.fromkeys(CATEGORIES, calibration),
        figures=dict(figures),
        command=command,
        weights_sha256=weights_sha256(data),
    )
    return LexicalClassifier(card, tensors)


def _single(values: Sequence[float]) -> Float32[np.ndarray, " category"]:
    return np.array(values, dtype=np.float32)

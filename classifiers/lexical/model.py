"""The lexical classifier: hashed n-grams, one logistic regression a category, calibrated. Numpy only."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from jaxtyping import Float64

from classifiers.base import Conversation
from classifiers.conversation import ConversationWeights, view_conversation, windows
from classifiers.errors import ClassifierError
from classifiers.lexical.artifact import LexicalCard, LexicalTensors, load_card, load_tensors
from classifiers.lexical.hashing import FeatureHasher

_HASH_DIGITS = 6


class LexicalClassifier:
    """`HarmClassifier` over n-grams. Knows styles that it has seen, and says little about others."""

    def __init__(self, card: LexicalCard, tensors: LexicalTensors) -> None:
        self.card = card
        self.tensors = tensors
        self._hasher = FeatureHasher(card.hashing.hashing())
        self._weights = ConversationWeights(**card.conversation.model_dump())

    @classmethod
    def load(cls, path: Path) -> LexicalClassifier:
        """Read a fitted classifier from its directory.

        Raises:
            ArtifactError: files are missing or do not verify.
        """
        card = load_card(path)
        return cls(card, load_tensors(path, card))

    @property
    def name(self) -> str:
        """`lexical:` and six digits of the weights' hash."""
        return f"lexical:{self.card.weights_sha256[:_HASH_DIGITS]}"

    @property
    def categories(self) -> tuple[str, ...]:
        return self.card.categories

    def score(self, conversations: Sequence[Conversation]) -> list[dict[str, float]]:
        """See `HarmClassifier.score`."""
        return [self._score_one(conversation) for conversation in conversations]

    def logits(self, text: str) -> Float64[np.ndarray, " category"]:
        """Uncalibrated log-odds of one text; of the windows of a long one, the highest by category."""
        highest = np.full(len(self.categories), -np.inf)
        for window in windows(text):
            features = self._hasher.features(window)
            rows = self.tensors.weights[features.buckets]
            highest = np.maximum(highest, (features.values @ rows).astype(np.float64) + self.tensors.intercept)
        return highest

    def _score_one(self, conversation: Conversation) -> dict[str, float]:
        view = view_conversation(conversation, self._weights)
        odds = self._calibrated(view.last)
        shift = np.zeros_like(odds)
        for part in view.context:
            shift = np.maximum(shift, part.weight * self._calibrated(part.text))
        scores = 0.5 * (1.0 + np.tanh(0.5 * (odds + np.minimum(shift, self._weights.context_limit))))
        if not np.isfinite(scores).all() or (scores < 0).any() or (scores > 1).any():
            raise ClassifierError(f"{self.name} scored {scores.tolist()}; wanted numbers in [0, 1]")
        return dict(zip(self.categories, scores.tolist(), strict=True))

    def _calibrated(self, text: str) -> Float64[np.ndarray, " category"]:
        """Calibrated log-odds of one text."""
        odds: Float64[np.ndarray, " category"] = (
            self.tensors.calibration_slope * self.logits(text) + self.tensors.calibration_intercept
        )
        return odds

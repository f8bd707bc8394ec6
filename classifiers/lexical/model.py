"""The lexical classifier: hashed n-grams, one logistic regression a category, calibrated. Numpy only."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from jaxtyping import Float64

from classifiers.artifact import NAME_DIGITS
from classifiers.base import Conversation
from classifiers.conversation import windows
from classifiers.judging import judge_conversations
from classifiers.lexical.artifact import LexicalCard, LexicalTensors, load_card, load_tensors
from classifiers.lexical.hashing import FeatureHasher


class LexicalClassifier:
    """`HarmClassifier` over n-grams. Knows styles that it has seen, and says little about others."""

    def __init__(self, card: LexicalCard, tensors: LexicalTensors) -> None:
        self.card = card
        self.tensors = tensors
        self._hasher = FeatureHasher(card.hashing.hashing())
        self._weights = card.conversation.weights()

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
        return f"lexical:{self.card.weights_sha256[:NAME_DIGITS]}"

    @property
    def categories(self) -> tuple[str, ...]:
        return self.card.categories

    def score(self, conversations: Sequence[Conversation]) -> list[dict[str, float]]:
        """See `HarmClassifier.score`."""
        return judge_conversations(
            conversations,
            self._judge,
            weights=self._weights,
            categories=self.categories,
            name=self.name,
            with_readings=self.card.readings,
        )

    def logits(self, text: str) -> Float64[np.ndarray, " category"]:
        """Uncalibrated log-odds of one text; of the windows of a long one, the highest by category."""
        highest = np.full(len(self.categories), -np.inf)
        for window in windows(text):
            features = self._hasher.features(window)
            rows = self.tensors.weights[features.buckets]
            highest = np.maximum(highest, (features.values @ rows).astype(np.float64) + self.tensors.intercept)
        return highest

    def _judge(self, texts: Sequence[str]) -> Float64[np.ndarray, "text category"]:
        return np.stack([self._calibrated(text) for text in texts])

    def _calibrated(self, text: str) -> Float64[np.ndarray, " category"]:
        """Calibrated log-odds of one text."""
        odds: Float64[np.ndarray, " category"] = (
            self.tensors.calibration_slope * self.logits(text) + self.tensors.calibration_intercept
        )
        return odds

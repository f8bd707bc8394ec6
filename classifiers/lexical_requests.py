"""The general lexical classifier: features as of `lexical`, fitted on labelled requests; disguised text is read."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from jaxtyping import Float64

from classifiers.artifact import NAME_DIGITS
from classifiers.base import Conversation
from classifiers.conversation import ConversationWeights
from classifiers.judging import judge_conversations
from classifiers.lexical import LexicalClassifier
from classifiers.lexical.artifact import LexicalCard, LexicalTensors
from classifiers.reading import ReadingWeights


class RequestsLexicalClassifier:
    """`HarmClassifier` over n-grams that knows no model: how likely it is that complying is harm."""

    def __init__(self, ngrams: LexicalClassifier, *, readings: bool = True) -> None:
        self.ngrams = ngrams
        """The same files as `lexical` has."""
        self.readings = readings
        """Whether disguised text is read as what it says; without, the gain can be measured."""
        turns = ConversationWeights(**ngrams.card.conversation.model_dump())
        self._weights = ReadingWeights(turns=turns, tool_weight=turns.system_weight)

    @classmethod
    def load(cls, path: Path) -> RequestsLexicalClassifier:
        """Read a fitted classifier from its directory.

        Raises:
            ArtifactError: files are missing or do not verify.
        """
        return cls(LexicalClassifier.load(path))

    @property
    def card(self) -> LexicalCard:
        """What it is and where it comes from."""
        return self.ngrams.card

    @property
    def tensors(self) -> LexicalTensors:
        """Weights and calibration."""
        return self.ngrams.tensors

    @property
    def name(self) -> str:
        """`lexical-requests:` and six digits of the weights' hash."""
        return f"lexical-requests:{self.ngrams.card.weights_sha256[:NAME_DIGITS]}"

    @property
    def categories(self) -> tuple[str, ...]:
        return self.ngrams.categories

    def score(self, conversations: Sequence[Conversation]) -> list[dict[str, float]]:
        """See `HarmClassifier.score`."""
        return judge_conversations(
            conversations,
            self._judge,
            weights=self._weights,
            categories=self.categories,
            name=self.name,
            with_readings=self.readings,
        )

    def _judge(self, texts: Sequence[str]) -> Float64[np.ndarray, "text category"]:
        """Calibrated log-odds of each text."""
        tensors = self.tensors
        logits = np.stack([self.ngrams.logits(text) for text in texts])
        odds: Float64[np.ndarray, "text category"] = (
            tensors.calibration_slope * logits + tensors.calibration_intercept
        )
        return odds

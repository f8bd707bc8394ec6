"""The embedding classifier: the vector of each window, a logistic regression a category, calibrated."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from jaxtyping import Float64

from classifiers.artifact import NAME_DIGITS, sha256_of
from classifiers.base import Conversation
from classifiers.calibration import calibrate
from classifiers.embedding.artifact import (
    EmbeddingCard,
    EmbeddingTensors,
    load_card,
    load_encoder,
    load_scoring,
    load_tensors,
)
from classifiers.embedding.encoder import SentenceEncoder
from classifiers.judging import judge_conversations


class EmbeddingClassifier:
    """`HarmClassifier` over sentence vectors. Knows meanings better than words, and is slower than `lexical`."""

    def __init__(
        self,
        card: EmbeddingCard,
        tensors: EmbeddingTensors,
        encoder: SentenceEncoder,
        scoring: SentenceEncoder | None = None,
    ) -> None:
        """Take what `load` reads.

        Args:
            card: of the fit.
            tensors: the head.
            encoder: whose vectors `/v1/embeddings` gives.
            scoring: whose vectors the head takes; `encoder` where its layers are not fine-tuned.
        """
        self.card = card
        self.tensors = tensors
        self.encoder = encoder
        self._scoring = scoring or encoder
        self._weights = card.conversation.weights()

    @classmethod
    def load(cls, path: Path) -> EmbeddingClassifier:
        """Read a fitted classifier from its directory.

        Raises:
            ArtifactError: files are missing or do not verify, or the encoder's package is not installed.
        """
        card = load_card(path)
        encoder = load_encoder(path, card)
        return cls(card, load_tensors(path, card, encoder.d_model), encoder, load_scoring(path, card, encoder))

    @property
    def name(self) -> str:
        """`embedding:` and six digits of the hash of the head, and of the fine-tuned layers where there are any."""
        head, layers = self.card.weights_sha256, self.card.layers_sha256
        digest = head if layers is None else sha256_of((head + layers).encode())
        return f"embedding:{digest[:NAME_DIGITS]}"

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

    def logits(self, texts: Sequence[str]) -> Float64[np.ndarray, "text category"]:
        """Uncalibrated log-odds of each text; of the windows of a long one, the highest by category."""
        found = self._scoring.encode_windows(texts)
        by_window = (found.vectors @ self.tensors.weights).astype(np.float64) + self.tensors.intercept
        highest = np.full((len(texts), len(self.categories)), -np.inf)
        # maximum.at, because it keeps a nan.
        np.maximum.at(highest, found.text, by_window)
        return highest

    def _judge(self, texts: Sequence[str]) -> Float64[np.ndarray, "text category"]:
        return calibrate(self.card.calibration, self.categories, self.logits(texts))

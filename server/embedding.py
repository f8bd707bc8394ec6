"""Embeddings of texts by the sentence encoder that a classifier brings along, beside requests that are classified.

A few texts at a time on a thread, one request after another: an encoder takes all the processor that it gets.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float32

from classifiers.encoders import TextEncoder
from classifiers.errors import ClassifierError
from server.errors import InvalidRequestError, NoEncoderError

AT_ONCE = 16
"""Texts between which other requests get their turn, and a request that nobody waits for ends."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Embedded:
    """The vectors of some texts."""

    vectors: Float32[np.ndarray, "text d_model"]
    """Of length 1."""
    tokens: int
    """Of all texts together."""


class Embedder:
    """Embeds texts with the loaded encoder."""

    def __init__(self, encoder: TextEncoder | None) -> None:
        self._encoder = encoder
        self._turn = asyncio.Lock()

    @property
    def encoder(self) -> TextEncoder:
        """What embeds.

        Raises:
            NoEncoderError: none is loaded.
        """
        if self._encoder is None:
            raise NoEncoderError(
                "no sentence encoder is loaded here; wanted classifier.member to be embedding, or an ensemble or "
                "cascade with an embedding part",
                code="no_encoder",
            )
        return self._encoder

    async def embed(self, texts: Sequence[str]) -> Embedded:
        """The vectors of `texts`, in order.

        Raises:
            NoEncoderError: no encoder is loaded.
            InvalidRequestError: a text is longer than the encoder takes.
        """
        encoder = self.encoder
        vectors, tokens = [np.zeros((0, encoder.d_model), dtype=np.float32)], 0
        for start in range(0, len(texts), AT_ONCE):
            some = texts[start : start + AT_ONCE]
            async with self._turn:
                try:
                    vectors.append(await asyncio.to_thread(encoder.encode, some))
                    tokens += sum(await asyncio.to_thread(encoder.token_counts, some))
                except ClassifierError as error:
                    message = f"{error}, in input {start} to {start + len(some) - 1}"
                    raise InvalidRequestError(message, param="input", code="input_too_long") from error
        return Embedded(vectors=np.concatenate(vectors), tokens=tokens)

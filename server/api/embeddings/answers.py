"""The body of an embeddings response."""

from __future__ import annotations

import base64
from typing import Literal

import numpy as np
from jaxtyping import Float32
from pydantic import BaseModel, ConfigDict


class _Answer(BaseModel):
    model_config = ConfigDict(frozen=True)


class Embedding(_Answer):
    """The vector of one text."""

    object: Literal["embedding"] = "embedding"
    """What this is."""
    index: int
    """Place of the text in the request."""
    embedding: list[float] | str
    """Of length 1: numbers, or base64 of little-endian 32-bit floats."""


class EmbeddingUsage(_Answer):
    """What was read."""

    prompt_tokens: int
    """Tokens of the encoder's, what it puts around each text included."""
    total_tokens: int
    """The same: nothing is written."""


class EmbeddingResponse(_Answer):
    """A whole response."""

    object: Literal["list"] = "list"
    """What this is."""
    data: list[Embedding]
    """One for each text, in order."""
    model: str
    """Name of the encoder."""
    usage: EmbeddingUsage
    """Tokens."""

    @classmethod
    def of(
        cls, vectors: Float32[np.ndarray, "text d_model"], *, tokens: int, model: str, encoding: str
    ) -> EmbeddingResponse:
        """From vectors, as `encoding` (`float` or `base64`) wants them."""
        return cls(
            data=[Embedding(index=n, embedding=_encoded(vector, encoding)) for n, vector in enumerate(vectors)],
            model=model,
            usage=EmbeddingUsage(prompt_tokens=tokens, total_tokens=tokens),
        )


def _encoded(vector: Float32[np.ndarray, " d_model"], encoding: str) -> list[float] | str:
    if encoding == "base64":
        return base64.b64encode(vector.astype("<f4").tobytes()).decode("ascii")
    numbers: list[float] = vector.tolist()
    return numbers

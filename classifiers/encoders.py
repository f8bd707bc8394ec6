"""Sentence encoders inside classifiers: what else they are good for."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol, runtime_checkable

import numpy as np
from jaxtyping import Float32

from classifiers.base import HarmClassifier


@runtime_checkable
class TextEncoder(Protocol):
    """Text to vectors of length 1."""

    name: str
    d_model: int

    def encode(self, texts: Sequence[str]) -> Float32[np.ndarray, "text d_model"]:
        """One vector a text.

        Raises:
            ClassifierError: a text is too long.
        """
        ...

    def token_counts(self, texts: Sequence[str]) -> list[int]:
        """Tokens of each text."""
        ...


def encoder_in(classifier: HarmClassifier | None) -> TextEncoder | None:
    """The encoder of an embedding member, or of the first one among a whole's parts; None where there is none."""
    own = getattr(classifier, "encoder", None)
    if isinstance(own, TextEncoder):
        return own
    found = (encoder_in(part) for part in getattr(classifier, "parts", ()))
    return next((encoder for encoder in found if encoder is not None), None)

"""Member `embedding`: a sentence encoder of 22 million parameters, and a linear head a category that ships."""

from __future__ import annotations

from pathlib import Path

from classifiers.embedding.artifact import EmbeddingCard, EmbeddingTensors, WindowsCard, save_embedding
from classifiers.embedding.encoder import SentenceEncoder
from classifiers.embedding.model import EmbeddingClassifier

__all__ = [
    "EmbeddingCard",
    "EmbeddingClassifier",
    "EmbeddingTensors",
    "SentenceEncoder",
    "WindowsCard",
    "save_embedding",
    "shipped_path",
]


def shipped_path() -> Path:
    """Directory of the head that ships with the package."""
    return Path(__file__).parent / "shipped"

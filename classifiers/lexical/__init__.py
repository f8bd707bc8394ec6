"""Member `lexical`: the embedded default, under a millisecond a prompt. Its fitted files ship in `shipped/`."""

from __future__ import annotations

from pathlib import Path

from classifiers.lexical.model import LexicalClassifier

__all__ = ["LexicalClassifier", "shipped_path"]


def shipped_path() -> Path:
    """Directory of the classifier that ships with the package."""
    return Path(__file__).parent / "shipped"

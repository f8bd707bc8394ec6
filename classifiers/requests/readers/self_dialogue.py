"""The Self-dialogue Corpus: openings of small talk about films, music and sport."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from classifiers.requests.readers.base import RequestSet
from classifiers.requests.readers.benign import harmless_rows
from classifiers.requests.record import RequestRow


def read(root: Path, known: RequestSet) -> Iterator[RequestRow]:
    """The first utterances. Whether they invite a falsehood is not known."""
    return harmless_rows(root, known, "misinformation")

"""Surge AI's toxicity set: 1,000 comments, half of them toxic."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from classifiers.requests.readers.base import RequestSet
from classifiers.requests.readers.comments import comment_rows
from classifiers.requests.record import RequestRow


def read(root: Path, known: RequestSet) -> Iterator[RequestRow]:
    """The comments."""
    return comment_rows(root, known)

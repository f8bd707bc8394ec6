"""Vicomtech (de Gibert et al. 2018): sentences of a forum, hate or not. Share-alike."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from classifiers.requests.readers.base import RequestSet
from classifiers.requests.readers.comments import comment_rows
from classifiers.requests.record import RequestRow


def read(root: Path, known: RequestSet) -> Iterator[RequestRow]:
    """The sentences, by thread."""
    return comment_rows(root, known, "hate")

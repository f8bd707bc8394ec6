"""NQ-open: questions that people typed into a search engine; those about wars and murders are hard ones."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from classifiers.requests.readers.base import RequestSet
from classifiers.requests.readers.benign import harmless_rows
from classifiers.requests.record import RequestRow


def read(root: Path, known: RequestSet) -> Iterator[RequestRow]:
    """The questions."""
    return harmless_rows(root, known)

"""Winogender: sentences that break off before an occupation's pronoun; a careless end assumes a gender."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from classifiers.requests.readers.base import RequestSet
from classifiers.requests.readers.benign import harmless_rows
from classifiers.requests.record import RequestRow


def read(root: Path, known: RequestSet) -> Iterator[RequestRow]:
    """The beginnings: harmless to go on with, and drawing bias."""
    return harmless_rows(root, known, drawn=("bias",))

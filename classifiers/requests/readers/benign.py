"""Benign requests that `classifiers.fitting.readers` already reads, in the label space of requests."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from classifiers.fitting.readers import build_source
from classifiers.requests.readers.base import RequestSet
from classifiers.requests.record import RequestRow


def harmless_rows(root: Path, known: RequestSet, *unknown: str, drawn: tuple[str, ...] = ()) -> Iterator[RequestRow]:
    """Every prompt of the source of the same name; of the known categories only those in `drawn` are shown."""
    for prompt in build_source(known.name).read(root):
        yield known.harmless(prompt.text, *drawn, unknown=unknown)

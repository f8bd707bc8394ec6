"""MobileAIBench's 1,000 rows of Dolly 15k: instructions that people wrote, with their context. Share-alike."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from classifiers.fitting.replies import reply_reader
from classifiers.requests.readers.base import RequestSet
from classifiers.requests.record import RequestRow


def read(root: Path, known: RequestSet) -> Iterator[RequestRow]:
    """The instructions."""
    for row in reply_reader("dolly")(root):
        yield known.harmless(row.messages[0]["content"])

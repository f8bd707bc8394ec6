"""TruthfulQA: plain questions whose common answers are false.

Answering them is harmless. Whether a model answers falsely is a matter of the model and not of the question, so
`misinformation` is unknown.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from classifiers.requests.readers.base import RequestSet
from classifiers.requests.readers.benign import harmless_rows
from classifiers.requests.record import RequestRow


def read(root: Path, known: RequestSet) -> Iterator[RequestRow]:
    """The questions."""
    return harmless_rows(root, known, "misinformation")

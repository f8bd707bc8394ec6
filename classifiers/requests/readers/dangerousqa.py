"""DangerousQA of Red-Instruct: 200 short questions with harmful intent, as a list of texts."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from classifiers.requests.readers.base import RequestSet
from classifiers.requests.readers.nested import listed
from classifiers.requests.record import RequestRow


def read(root: Path, known: RequestSet) -> Iterator[RequestRow]:
    """The questions."""
    for text in listed(root / "red-instruct" / "dangerousqa.json"):
        yield known.harmful(text)

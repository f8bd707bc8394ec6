"""AdversarialQA of Red-Instruct: AdvBench's goals without its last twenty, as a list of texts."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from classifiers.requests.readers.base import RequestSet
from classifiers.requests.readers.nested import listed
from classifiers.requests.record import RequestRow


def read(root: Path, known: RequestSet) -> Iterator[RequestRow]:
    """The goals."""
    for text in listed(root / "red-instruct" / "adversarialqa.json"):
        yield known.harmful(text)

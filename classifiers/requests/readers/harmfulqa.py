"""HarmfulQA of Red-Instruct: 1,960 harmful questions by subject of study, which says nothing of the category."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from classifiers.requests.readers.base import RequestSet
from classifiers.requests.readers.nested import by_topic
from classifiers.requests.record import RequestRow


def read(root: Path, known: RequestSet) -> Iterator[RequestRow]:
    """The questions."""
    for question in by_topic(root / "red-instruct" / "harmfulqa.json"):
        yield known.harmful(question.text)

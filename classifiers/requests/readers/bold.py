"""BOLD: beginnings of sentences of Wikipedia about people of five domains. Share-alike."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from classifiers.fitting.readers.files import found
from classifiers.requests.readers.base import RequestSet
from classifiers.requests.readers.nested import by_topic
from classifiers.requests.record import RequestRow


def read(root: Path, known: RequestSet) -> Iterator[RequestRow]:
    """The beginnings, by the person or group they are about. Whether a reply shows bias is not known."""
    for path in found(root / "bold" / "prompts", "*_prompt.json"):
        for question in by_topic(path):
            yield known.harmless(question.text, unknown=("bias",), group=f"{question.topic} {question.subtopic}")

"""CatQA of Red-Instruct, the English part: 550 harmful questions in 11 categories of five subcategories."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path

from classifiers.errors import SourceFormatError
from classifiers.requests.readers.base import RequestSet
from classifiers.requests.readers.nested import Question, by_topic
from classifiers.requests.record import RequestRow

_CATEGORIES: Mapping[str, tuple[str, ...]] = {
    "Illegal Activity": ("violence",),
    "Child Abuse": ("violence",),
    "Hate/Harass/Violence": ("violence",),
    "Malware Viruses": ("violence",),
    "Physical Harm": ("violence",),
    "Economic Harm": ("violence",),
    "Fraud/Deception": ("violence",),
    "Adult Content": ("sexual",),
    "Political Campaigning": ("misinformation",),
    "Privacy Violation Activity": ("violence",),
    "Tailored Financial Advice": (),
}
_SUBCATEGORIES: Mapping[str, tuple[str, ...]] = {
    "Content Sexual exploitation": ("sexual", "violence"),
    "Racial or ethnic hate": ("hate",),
    "Religious intolerance": ("hate",),
    "Cyberbullying": ("toxicity",),
    "Self-harm": ("self_harm",),
    "Lobbying": (),
    "Adult-themed humor": ("sexual", "violence"),
}
"""Those whose questions are not of their category's harm."""


def read(root: Path, known: RequestSet) -> Iterator[RequestRow]:
    """The questions. Raises `SourceFormatError` on another category."""
    for question in by_topic(root / "red-instruct" / "catqa_english.json"):
        yield known.harmful(question.text, *_categories(question))


def _categories(question: Question) -> tuple[str, ...]:
    if question.topic not in _CATEGORIES:
        raise SourceFormatError(
            f"catqa_english.json has category {question.topic!r}; wanted one of {list(_CATEGORIES)}"
        )
    return _SUBCATEGORIES.get(question.subtopic, _CATEGORIES[question.topic])

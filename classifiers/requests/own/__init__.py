"""Requests that this project wrote by hand: hard benign ones, and harmful ones in the same styles.

Each is written out; none is filled from a template. Harmful ones name an intent, and no detail that would help it.
"""

from __future__ import annotations

import json
from importlib.resources import files

from classifiers.errors import SourceFormatError
from classifiers.requests.readers.base import RequestSet
from classifiers.requests.record import REQUEST_CATEGORIES, RequestRow

OWN = RequestSet(name="own", licence="Apache-2.0", family="own")
BENIGN_FILE = "benign.jsonl"
HARMFUL_FILE = "harmful.jsonl"


def own_rows() -> list[RequestRow]:
    """Benign rows, then harmful ones.

    Raises:
        SourceFormatError: a line has no text or kind, or a category that does not exist.
    """
    benign = [OWN.harmless(line["text"], hard=True) for line in _lines(BENIGN_FILE)]
    return benign + [OWN.harmful(line["text"], _category(line), denied=()) for line in _lines(HARMFUL_FILE)]


def kinds() -> dict[str, str]:
    """Text -> what kind of request it is: for figures by kind."""
    return {line["text"]: line["kind"] for name in (BENIGN_FILE, HARMFUL_FILE) for line in _lines(name)}


def _lines(name: str) -> list[dict[str, str]]:
    text = files("classifiers.requests.own").joinpath(name).read_text("utf-8")
    lines: list[dict[str, str]] = [json.loads(line) for line in text.splitlines()]
    for number, line in enumerate(lines, 1):
        if not line.get("text") or not line.get("kind"):
            raise SourceFormatError(f"{name}, line {number} has keys {list(line)}; wanted a text and a kind")
    return lines


def _category(line: dict[str, str]) -> str:
    if line.get("category") not in REQUEST_CATEGORIES:
        raise SourceFormatError(
            f"{HARMFUL_FILE} has category {line.get('category')!r}; wanted one of {list(REQUEST_CATEGORIES)}"
        )
    return line["category"]

"""Requests that this project wrote by hand: hard benign ones, and harmful ones in the same styles.

Each is written out; none is filled from a template. Harmful ones name an intent, and no detail that would help it.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from importlib.resources import files

from classifiers.errors import SourceFormatError
from classifiers.requests.readers.base import RequestSet
from classifiers.requests.record import REQUEST_CATEGORIES, RequestRow

OWN = RequestSet(name="own", licence="Apache-2.0", family="own")
BENIGN_FILE = "benign.jsonl"
HARMFUL_FILE = "harmful.jsonl"


def own_rows() -> list[RequestRow]:
    """Benign rows, then harmful ones."""
    return rows_of(_read(BENIGN_FILE), _read(HARMFUL_FILE))


def rows_of(benign: Sequence[Mapping[str, str]], harmful: Sequence[Mapping[str, str]]) -> list[RequestRow]:
    """Rows for lines with a text and a kind, and a category where they are harmful.

    Raises:
        SourceFormatError: a line has no text or kind, or a category that does not exist.
    """
    for number, line in enumerate((*benign, *harmful), 1):
        if not line.get("text") or not line.get("kind"):
            raise SourceFormatError(f"line {number} has keys {list(line)}; wanted a text and a kind")
    return [OWN.harmless(line["text"], hard=True) for line in benign] + [
        OWN.harmful(line["text"], _category(line), denied=()) for line in harmful
    ]


def kinds() -> dict[str, str]:
    """Text -> what kind of request it is: for figures by kind."""
    return {line["text"]: line["kind"] for name in (BENIGN_FILE, HARMFUL_FILE) for line in _read(name)}


def _read(name: str) -> list[dict[str, str]]:
    text = files("classifiers.requests.own").joinpath(name).read_text("utf-8")
    return [json.loads(line) for line in text.splitlines()]


def _category(line: Mapping[str, str]) -> str:
    category = line.get("category", "")
    if category not in REQUEST_CATEGORIES:
        raise SourceFormatError(
            f"a harmful request has category {category!r}; wanted one of {list(REQUEST_CATEGORIES)}"
        )
    return category

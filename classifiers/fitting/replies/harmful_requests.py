"""Requests that are harmful to fulfil: AdvBench, MaliciousInstruct and the English questions of Red-Instruct.

The goals of JailbreakBench are left out, so that its replies can measure what is fitted on these.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from classifiers.errors import SourceFormatError
from classifiers.fitting.prompts import normalised
from classifiers.fitting.readers.files import read_table, read_text
from classifiers.fitting.replies.record import ReplyRow

_QUESTIONS = ("harmfulqa.json", "catqa_english.json", "dangerousqa.json", "adversarialqa.json")


def read(root: Path) -> Iterator[ReplyRow]:
    """The requests, and the reply's beginnings that AdvBench has for them.

    Raises:
        SourceFormatError: a file is not JSON, or holds something else than texts.
    """
    goals = {normalised(row["Goal"]) for row in read_table(root / "advbench" / "jailbreakbench.csv", ("Goal",))}
    for text in _texts(root):
        if normalised(text) not in goals and text.strip():
            yield ReplyRow(reply=text.strip(), labels={"harmful_request": True}, source="harmful_requests")


def _texts(root: Path) -> Iterator[str]:
    for row in read_table(root / "advbench" / "advbench.csv", ("goal",)):
        yield row["goal"]
    yield from read_text(root / "advbench" / "malicious_instruct.txt").splitlines()
    for name in _QUESTIONS:
        try:
            yield from _leaves(json.loads(read_text(root / "red-instruct" / name)), name)
        except json.JSONDecodeError as error:
            raise SourceFormatError(f"{name} is not JSON: {error}") from error


def _leaves(found: Any, name: str) -> Iterator[str]:
    if isinstance(found, str):
        yield found
    elif isinstance(found, dict | list):
        for value in found.values() if isinstance(found, dict) else found:
            yield from _leaves(value, name)
    else:
        raise SourceFormatError(f"{name} holds a {type(found).__name__}; wanted texts, in lists by topic")

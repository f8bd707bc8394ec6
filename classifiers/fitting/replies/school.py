"""GSM8K with its solutions, and MMLU's questions: school texts, some of chemistry, medicine and law. Harmless."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from classifiers.fitting.readers import build_source
from classifiers.fitting.readers.files import read_json_lines
from classifiers.fitting.replies.record import ReplyRow, user_turn

_LABELS = {"toxicity": False, "harmful_request": False, "refusal": False}


def read(root: Path) -> Iterator[ReplyRow]:
    """Solutions to their problems, then questions by themselves."""
    for row in read_json_lines(root / "gsm8k" / "test.jsonl", "question"):
        yield ReplyRow(
            reply=str(row.get("answer", "")), labels=_LABELS, source="school", messages=user_turn(row["question"])
        )
    for prompt in build_source("mmlu").read(root):
        yield ReplyRow(reply=prompt.text, labels=_LABELS, source="school")

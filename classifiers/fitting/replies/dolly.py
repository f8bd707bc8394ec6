"""MobileAIBench's 1,000 rows of Dolly 15k: instructions with the replies that people wrote. Harmless; share-alike."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from classifiers.fitting.readers.files import read_table
from classifiers.fitting.replies.record import ReplyRow, user_turn

_LABELS = {
    "toxicity": False,
    "gender_bias": False,
    "stereotype": False,
    "refusal": False,
    "harmful_request": False,
}


def read(root: Path) -> Iterator[ReplyRow]:
    """The instructions with their context, and the replies."""
    for row in read_table(
        root / "mobileaibench" / "databricks_dolly_15k.csv", ("instruction", "context", "response")
    ):
        prompt = f"{row['instruction']}\n{row['context']}".strip()
        yield ReplyRow(reply=row["response"], labels=_LABELS, source="dolly", messages=user_turn(prompt))

"""Vicomtech (de Gibert et al. 2018): 10,944 sentences of a forum, hate or not; others are left out. Share-alike."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from classifiers.fitting.readers.files import read_json_lines
from classifiers.fitting.replies.record import ReplyRow

_LABELS = {"hate": True, "noHate": False}


def read(root: Path) -> Iterator[ReplyRow]:
    """Sentences with a label; the published balanced part has `balanced` as its subgroup."""
    for row in read_json_lines(root / "vicomtech-hate" / "all.jsonl", "text"):
        if row.get("label") in _LABELS:
            yield ReplyRow(
                reply=row["text"],
                labels={"toxicity": _LABELS[row["label"]]},
                source="vicomtech_hate",
                group=str(row.get("file_id", "")).rpartition("_")[0],
                subgroup="balanced" if row.get("split") else "",
            )

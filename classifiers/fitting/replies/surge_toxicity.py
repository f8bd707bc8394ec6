"""Surge AI's toxicity set: 1,000 comments, half of them toxic."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from classifiers.fitting.replies.prompts_as_rows import as_rows
from classifiers.fitting.replies.record import ReplyRow


def read(root: Path) -> Iterator[ReplyRow]:
    """The comments."""
    return as_rows("surge_toxicity", "surge_toxicity", root)

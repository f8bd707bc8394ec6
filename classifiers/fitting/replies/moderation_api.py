"""OpenAI's moderation evaluation set: 1,680 texts with partial labels (Markov et al. 2022).

Hate (H, H2) and harassment (HR) are toxicity; a text is harmless of it where both are known and neither holds.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from classifiers.fitting.readers.files import read_json_lines
from classifiers.fitting.replies.record import ReplyRow

_TOXIC = ("H", "H2", "HR")
_NEEDED = ("H", "HR")


def read(root: Path) -> Iterator[ReplyRow]:
    """Texts whose toxicity is known."""
    for row in read_json_lines(root / "moderation-api" / "samples-1680.jsonl.gz", "prompt"):
        toxic = any(row.get(label) == 1 for label in _TOXIC)
        if toxic or all(row.get(label) == 0 for label in _NEEDED):
            yield ReplyRow(reply=row["prompt"], labels={"toxicity": toxic}, source="moderation_api")

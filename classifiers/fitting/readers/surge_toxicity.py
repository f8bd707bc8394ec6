"""Surge AI's toxicity set: 1,000 comments, half of them toxic (`toxicity_en.csv`)."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from classifiers.errors import SourceFormatError
from classifiers.fitting.prompts import LabelledPrompt
from classifiers.fitting.readers.files import read_table

_LABELS = {"Toxic": True, "Not Toxic": False}


def read(root: Path) -> Iterator[LabelledPrompt]:
    """Comments, toxic or not. Raises `SourceFormatError` on another label."""
    for row in read_table(root / "surge-toxicity" / "toxicity_en.csv", ("text", "is_toxic")):
        if row["is_toxic"] not in _LABELS:
            raise SourceFormatError(f"toxicity_en.csv has label {row['is_toxic']!r}; wanted one of {list(_LABELS)}")
        yield LabelledPrompt(text=row["text"], labels={"toxicity": _LABELS[row["is_toxic"]]}, source="surge_toxicity")

"""TruthfulQA (`TruthfulQA.csv`): questions that people answer falsely because of a common misconception."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from classifiers.fitting.prompts import LabelledPrompt
from classifiers.fitting.readers.files import read_table


def read(root: Path) -> Iterator[LabelledPrompt]:
    """The questions."""
    for row in read_table(root / "truthfulqa" / "TruthfulQA.csv", ("Question",)):
        labels = {"misinformation": True, "toxicity": False}
        yield LabelledPrompt(text=row["Question"], labels=labels, source="truthfulqa")

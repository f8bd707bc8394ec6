"""MMLU (`test/*_test.csv`, no header): question, four choices, answer letter; benign."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator
from pathlib import Path

from classifiers.errors import SourceFormatError
from classifiers.fitting.prompts import LabelledPrompt
from classifiers.fitting.readers.files import found, read_text

_COLUMNS = 6


def read(root: Path) -> Iterator[LabelledPrompt]:
    """The questions, without their choices. Raises `SourceFormatError` on a row of another width."""
    labels = {"toxicity": False, "gender_bias": False, "misinformation": False}
    for path in found(root / "mmlu" / "test", "*_test.csv"):
        for row in csv.reader(io.StringIO(read_text(path), newline="")):
            if len(row) != _COLUMNS:
                raise SourceFormatError(f"{path.name} has a row of {len(row)} columns; wanted {_COLUMNS}")
            yield LabelledPrompt(text=row[0], labels=labels, source="mmlu")

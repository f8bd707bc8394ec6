"""GSM8K (`train.jsonl`, `test.jsonl`): grade-school word problems, benign."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from classifiers.fitting.prompts import LabelledPrompt
from classifiers.fitting.readers.files import read_json_lines


def read(root: Path) -> Iterator[LabelledPrompt]:
    """The questions."""
    labels = {"toxicity": False, "gender_bias": False, "misinformation": False}
    for name in ("train.jsonl", "test.jsonl"):
        for row in read_json_lines(root / "gsm8k" / name, "question"):
            yield LabelledPrompt(text=row["question"], labels=labels, source="gsm8k")

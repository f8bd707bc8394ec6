"""NQ-open (`NQ-open.dev.jsonl`): questions that people typed into a search engine, benign."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from classifiers.fitting.prompts import LabelledPrompt
from classifiers.fitting.readers.files import read_json_lines


def read(root: Path) -> Iterator[LabelledPrompt]:
    """The questions."""
    labels = {"toxicity": False, "gender_bias": False, "misinformation": False}
    for row in read_json_lines(root / "nq-open" / "NQ-open.dev.jsonl", "question"):
        yield LabelledPrompt(text=row["question"], labels=labels, source="nq_open")

"""JailbreakBench's 100 goals with their category (`jailbreakbench.csv`): requests whose fulfilment is the harm."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from classifiers.fitting.prompts import LabelledPrompt
from classifiers.fitting.readers.files import read_table

_CATEGORIES = {"Harassment/Discrimination": "toxicity", "Disinformation": "misinformation"}


def read(root: Path) -> Iterator[LabelledPrompt]:
    """Goals; harassment draws toxicity and disinformation misinformation, the others neither."""
    for row in read_table(root / "advbench" / "jailbreakbench.csv", ("Goal", "Category")):
        shown = _CATEGORIES.get(row["Category"])
        labels = {c: c == shown for c in ("toxicity", "misinformation", "gender_bias")}
        if row["Category"] == "Harassment/Discrimination":
            del labels["gender_bias"]
        yield LabelledPrompt(text=row["Goal"], labels=labels, source="jailbreakbench")

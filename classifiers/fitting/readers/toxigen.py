"""ToxiGen's few-shot prompts: files `hate_*` and `neutral_*`, one prompt a line, its statements as a list."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from classifiers.fitting.prompts import LabelledPrompt
from classifiers.fitting.readers.files import found, read_text

_SEPARATOR = "\\n"


def read(root: Path) -> Iterator[LabelledPrompt]:
    """Single statements about groups, hateful or neutral; the lists share them, so most repeat."""
    for path in found(root / "toxigen", "*_1k.txt"):
        hateful = path.name.startswith("hate_")
        for line in read_text(path).splitlines():
            for statement in line.split(_SEPARATOR):
                text = statement.strip().removeprefix("-").strip()
                if text:
                    yield LabelledPrompt(text=text, labels={"toxicity": hateful}, source="toxigen")

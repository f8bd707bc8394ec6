"""Winogender schemas (`templates.tsv`): sentences that break off before the pronoun invite one."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from classifiers.fitting.prompts import LabelledPrompt
from classifiers.fitting.readers.files import read_table

_COLUMNS = ("occupation(0)", "other-participant(1)", "sentence")


def read(root: Path) -> Iterator[LabelledPrompt]:
    """The beginnings of the sentences, up to the pronoun."""
    for row in read_table(root / "winogender" / "templates.tsv", _COLUMNS, delimiter="\t"):
        sentence = row["sentence"].replace("$OCCUPATION", row["occupation(0)"])
        sentence = sentence.replace("$PARTICIPANT", row["other-participant(1)"])
        beginning = sentence.split("$")[0].strip()
        if beginning:
            labels = {"gender_bias": True, "toxicity": False, "misinformation": False}
            yield LabelledPrompt(text=beginning, labels=labels, source="winogender")

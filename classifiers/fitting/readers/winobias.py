"""WinoBias (`pro_stereotyped_*`, `anti_stereotyped_*`): sentences with two occupations and a marked pronoun."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

from classifiers.fitting.prompts import LabelledPrompt
from classifiers.fitting.readers.files import found, read_text

_NUMBER = re.compile(r"^\d+\s+")
_PRONOUN = re.compile(r"\[(he|she|him|her|his|hers|himself|herself)\]", re.IGNORECASE)


def read(root: Path) -> Iterator[LabelledPrompt]:
    """The beginnings of the sentences, up to the pronoun; sentences without a marked one are left out."""
    for path in found(root / "winobias" / "data", "*_stereotyped_*"):
        for line in read_text(path).splitlines():
            sentence = _NUMBER.sub("", line)
            pronoun = _PRONOUN.search(sentence)
            if pronoun:
                beginning = sentence[: pronoun.start()].replace("[", "").replace("]", "").strip()
                labels = {"gender_bias": True, "toxicity": False, "misinformation": False}
                yield LabelledPrompt(text=beginning, labels=labels, source="winobias")

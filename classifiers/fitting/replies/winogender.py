"""Winogender's sentences as prompts and their ends: a gendered pronoun for an occupation assumes a gender."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

from classifiers.fitting.readers.files import read_table
from classifiers.fitting.replies.record import ReplyRow, user_turn

_PRONOUN = re.compile(r"\b(?:he|she|they|him|her|them|his|their)\b")


def read(root: Path) -> Iterator[ReplyRow]:
    """Each sentence, up to its pronoun and from there; `neutral` ones have none that tells a gender."""
    for row in read_table(root / "winogender" / "all_sentences.tsv", ("sentid", "sentence"), delimiter="\t"):
        pronoun = _PRONOUN.search(row["sentence"])
        kind = row["sentid"].split(".")[-2]
        if pronoun:
            yield ReplyRow(
                reply=row["sentence"][pronoun.start() :],
                labels={"gender_bias": kind != "neutral"},
                source="winogender",
                messages=user_turn(row["sentence"][: pronoun.start()].strip()),
                group=row["sentid"].split(".")[0],
                subgroup=kind,
            )

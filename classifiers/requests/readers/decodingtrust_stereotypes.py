"""DecodingTrust's stereotype prompts: a model is asked to agree with one, on 16 topics. Share-alike."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from classifiers.fitting.readers.files import read_table
from classifiers.requests.readers.base import RequestSet
from classifiers.requests.record import RequestRow

_COLUMNS = ("stereotype_topic", "user_prompt")


def read(root: Path, known: RequestSet) -> Iterator[RequestRow]:
    """The prompts, by topic."""
    path = root / "decodingtrust" / "stereotype" / "dataset" / "user_prompts.csv"
    for row in read_table(path, _COLUMNS):
        yield known.harmful(row["user_prompt"], "bias", group=row["stereotype_topic"])

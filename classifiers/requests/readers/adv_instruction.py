"""MobileAIBench's 600 benign instructions (`adv_instruction.csv`): reworded, misspelt, with links put in."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from classifiers.fitting.readers.files import read_table
from classifiers.requests.readers.base import RequestSet
from classifiers.requests.record import RequestRow


def read(root: Path, known: RequestSet) -> Iterator[RequestRow]:
    """The instructions; `answer` begins with the number of what was reworded."""
    for row in read_table(root / "mobileaibench" / "adv_instruction.csv", ("prompt", "answer")):
        yield known.harmless(row["prompt"], group=f"adv_instruction {row['answer'].split('||')[0]}")

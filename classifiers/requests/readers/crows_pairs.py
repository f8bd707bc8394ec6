"""CrowS-Pairs' writing prompts (`prompts.csv`): sentences of stories and of news. Share-alike.

The pairs themselves differ in who is named, and both are stereotypes to some; they say nothing certain of a request.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from classifiers.fitting.readers.files import read_table
from classifiers.requests.readers.base import RequestSet
from classifiers.requests.record import RequestRow


def read(root: Path, known: RequestSet) -> Iterator[RequestRow]:
    """The prompts that the writers of the pairs were given."""
    for row in read_table(root / "crows-pairs" / "prompts.csv", ("prompt",)):
        yield known.harmless(row["prompt"], unknown=("bias",))

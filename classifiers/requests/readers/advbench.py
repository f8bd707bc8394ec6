"""AdvBench (`advbench.csv`): 520 imperatives that ask for something harmful; the categories are not given."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from classifiers.fitting.readers.files import read_table
from classifiers.requests.readers.base import RequestSet
from classifiers.requests.record import RequestRow


def read(root: Path, known: RequestSet) -> Iterator[RequestRow]:
    """The goals."""
    for row in read_table(root / "advbench" / "advbench.csv", ("goal",)):
        yield known.harmful(row["goal"])

"""JailbreakBench's 100 goals with their category (`jailbreakbench.csv`); some are AdvBench's."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path

from classifiers.errors import SourceFormatError
from classifiers.fitting.readers.files import read_table
from classifiers.requests.readers.base import RequestSet
from classifiers.requests.record import RequestRow

CATEGORIES: Mapping[str, tuple[str, ...]] = {
    "Harassment/Discrimination": ("toxicity",),
    "Malware/Hacking": ("violence",),
    "Physical harm": ("violence",),
    "Economic harm": ("violence",),
    "Fraud/Deception": ("violence",),
    "Privacy": ("violence",),
    "Disinformation": ("misinformation",),
    "Sexual/Adult content": ("sexual",),
    "Expert advice": (),
    "Government decision-making": (),
}
"""JailbreakBench's categories in ours; crime counts as violence, and two of them are too mixed to say."""


def read(root: Path, known: RequestSet) -> Iterator[RequestRow]:
    """The goals. Raises `SourceFormatError` on another category."""
    for row in read_table(root / "advbench" / "jailbreakbench.csv", ("Goal", "Category")):
        yield known.harmful(row["Goal"], *categories_of(row["Category"], "jailbreakbench.csv"))


def categories_of(found: str, file: str) -> tuple[str, ...]:
    """Our categories for one of JailbreakBench's.

    Raises:
        SourceFormatError: it is not one of them.
    """
    if found not in CATEGORIES:
        raise SourceFormatError(f"{file} has category {found!r}; wanted one of {list(CATEGORIES)}")
    return CATEGORIES[found]

"""What a left-out family is measured against: every family needs harmful and harmless rows that were not fitted on.

A family with enough harmless rows of its own is left out alone. One of harmful requests only is left out together
with a companion of harmless ones in about its style, hard ones among them; a family that only measures is never
fitted on, and then needs no companion left out beside it, only rows to be measured against.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from classifiers.errors import FitError
from classifiers.requests.record import RequestRow

FEWEST = 20
"""A family with fewer harmful rows is not measured, and with fewer harmless ones needs a companion."""
COMPANIONS: Mapping[str, tuple[str, ...]] = {
    "advbench": ("dolly", "mmlu"),
    "red_instruct": ("own",),
    "do_not_answer": ("nq_open", "truthfulqa"),
    "jailbreaks": ("dolly", "seed_instructions", "mobileaibench"),
    "decodingtrust_stereotypes": ("bold", "bbq"),
}
"""Family of harmful rows only -> families of harmless ones that are left out, and measured, along with it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class LeftOut:
    """One fold: fit on rows of other families, measure on these."""

    family: str
    """The family whose harmful rows are measured."""
    benign: tuple[str, ...]
    """The families whose harmless rows they are measured against."""

    @property
    def families(self) -> frozenset[str]:
        """Nothing of these is fitted on."""
        return frozenset((self.family, *self.benign))

    def fits(self, row: RequestRow) -> bool:
        """Whether a row may be fitted on in this fold."""
        return row.trains and row.family not in self.families

    def measures(self, row: RequestRow) -> bool:
        """Whether a row is measured on in this fold."""
        return row.family == self.family if row.harmful else row.family in self.benign


def lodo_families(rows: Iterable[RequestRow]) -> list[LeftOut]:
    """A fold for each family with at least `FEWEST` harmful rows, by name.

    Raises:
        FitError: a family of harmful rows has too few harmless ones and no companion.
    """
    counts = Counter((row.family, row.harmful) for row in rows)
    families = sorted(family for (family, harmful), n in counts.items() if harmful and n >= FEWEST)
    return [LeftOut(family=family, benign=_benign(family, counts[family, False])) for family in families]


def _benign(family: str, own: int) -> tuple[str, ...]:
    if own >= FEWEST:
        return (family,)
    if family not in COMPANIONS:
        raise FitError(
            f"family {family!r} has {own} harmless rows; wanted {FEWEST}, or one of COMPANIONS: {sorted(COMPANIONS)}"
        )
    return COMPANIONS[family]

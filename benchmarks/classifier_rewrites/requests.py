"""Which requests are disguised: held-out rows of sets that trained, which a member knows best and loses most on."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from benchmarks.errors import BenchmarkError
from classifiers.requests.record import RequestRow

LONGEST = 1000
"""Characters; longer texts are mostly jailbreak prompts, which hide what they ask in words and not in letters."""
OF_A_FAMILY = 60
"""Most harmful rows of one family, so that no big set stands for all."""
BENIGN = 300
"""Most benign rows that are rewritten; the threshold is set on all of them."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Chosen:
    """What is measured."""

    harmful: Sequence[RequestRow]
    hard: Sequence[RequestRow]
    """All benign requests in dangerous words, in a seeded order."""
    disguised: int
    """How many of `hard`, from the first, are rewritten too."""

    @property
    def rows(self) -> list[RequestRow]:
        """Harmful ones first."""
        return [*self.harmful, *self.hard]


def choose(rows: Iterable[RequestRow], *, seed: int, of_a_family: int = OF_A_FAMILY, benign: int = BENIGN) -> Chosen:
    """A seeded choice of held-out rows.

    Raises:
        BenchmarkError: there are no harmful rows, or no hard benign ones.
    """
    ranked = sorted(
        (row for row in rows if row.trains and len(row.text) <= LONGEST), key=lambda row: _rank(row, seed)
    )
    taken: Counter[str] = Counter()
    harmful = []
    for row in (row for row in ranked if row.harmful):
        taken[row.family] += 1
        if taken[row.family] <= of_a_family:
            harmful.append(row)
    hard = [row for row in ranked if row.hard and not row.harmful]
    if not harmful or not hard:
        raise BenchmarkError(f"{len(harmful)} harmful and {len(hard)} hard benign rows; wanted some of both")
    return Chosen(harmful=harmful, hard=hard, disguised=min(benign, len(hard)))


def _rank(row: RequestRow, seed: int) -> bytes:
    return hashlib.sha256(f"{seed}:{row.text}".encode()).digest()

"""The prompts that all are measured on: of each left-out family so many rows of a kind, and all together."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool

from classifiers.assessment.scored import ScoredRows, joined
from classifiers.requests.record import RequestRow

OF_A_KIND = 200
"""Most rows of a family that are harmful, and as many hard benign and other benign ones."""
OVERALL = "overall"
"""The rows of all families, each once."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Prompts:
    """Which rows are measured."""

    of_family: Mapping[str, Bool[np.ndarray, " row"]]
    """Family -> which of the rows that its fold measures."""
    fresh: Mapping[str, Bool[np.ndarray, " chosen"]]
    """Family -> which of the chosen ones no earlier family has measured: benign families go with several."""

    def parts(self, scored: Mapping[str, ScoredRows]) -> dict[str, ScoredRows]:
        """Family -> its chosen rows with one member's scores; and `OVERALL`."""
        chosen = {family: scored[family].part(mask) for family, mask in self.of_family.items()}
        return chosen | {OVERALL: joined([part.part(self.fresh[family]) for family, part in chosen.items()])}


def choose(scored: Mapping[str, ScoredRows], *, seed: int, of_a_kind: int = OF_A_KIND) -> Prompts:
    """A seeded choice, the same whichever member's scores the rows come with."""
    of_family = {family: _mask(found, seed, of_a_kind) for family, found in scored.items()}
    seen: set[tuple[str, str]] = set()
    fresh = {}
    for family, mask in of_family.items():
        fresh[family] = np.array(list(_fresh(scored[family].part(mask), seen)), dtype=np.bool_)
    return Prompts(of_family=of_family, fresh=fresh)


def _mask(found: ScoredRows, seed: int, of_a_kind: int) -> Bool[np.ndarray, " row"]:
    taken: Counter[tuple[bool, bool]] = Counter()
    mask = np.zeros(len(found.rows), dtype=np.bool_)
    for place in sorted(range(len(found.rows)), key=lambda n: _rank(found.rows[n], seed)):
        kind = (found.rows[place].harmful, found.rows[place].hard)
        taken[kind] += 1
        mask[place] = taken[kind] <= of_a_kind
    return mask


def _fresh(found: ScoredRows, seen: set[tuple[str, str]]) -> Iterator[bool]:
    for row in found.rows:
        key = (row.source, row.text)
        yield key not in seen
        seen.add(key)


def _rank(row: RequestRow, seed: int) -> bytes:
    return hashlib.sha256(f"{seed}:{row.text}".encode()).digest()

"""Requests without repeats, and source prompts joined over sets: before any split.

Sets quote each other. Of equal normalised texts the first is kept, and so it is of nearly equal texts that are
equally harmful; equal texts that are labelled harmful by one set and harmless by another are dropped from both. Texts
that are merely similar, or nearly equal and not equally harmful (minimal pairs), are all kept, but their groups are
joined, also over sets and through the rows that were dropped. List what measures only first: then nothing that trains
equals a measured text.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

from classifiers.fitting.near_duplicates import FEWEST_WORDS, SketchIndex, jaccard, shingles, words_of
from classifiers.fitting.prompts import normalised
from classifiers.requests.record import RequestRow

NEAR = 0.8
"""Jaccard similarity of words and word pairs from which on two equally harmful texts count as one."""
SIMILAR = 0.6
"""The same from which on the groups of two texts are joined."""
_CANDIDATES = 0.4
"""What the index is asked for: far enough below, so that it misses next to nothing; what it reports is verified."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Deduplicated:
    """What is left, and why the rest is not."""

    rows: Sequence[RequestRow]
    """Each with its joined group, which is unique over all sets."""
    dropped: Mapping[str, int]
    """Reason (`empty`, `repeated`, `contradicted`, `near duplicate`) -> rows."""


def without_repeats(rows: Iterable[RequestRow]) -> tuple[list[RequestRow], Counter[str]]:
    """The first row of each normalised text, without those whose harm sets disagree on."""
    first: dict[str, RequestRow] = {}
    contradicted: set[str] = set()
    dropped: Counter[str] = Counter()
    for row in rows:
        key = normalised(row.text)
        if not key:
            dropped["empty"] += 1
        elif key not in first:
            first[key] = row
        else:
            dropped["repeated"] += 1
            if first[key].harmful != row.harmful:
                contradicted.add(key)
    dropped["contradicted"] = len(contradicted)
    return [row for key, row in first.items() if key not in contradicted], dropped


def deduplicate_requests(rows: Sequence[RequestRow], templates: Collection[str] = ()) -> Deduplicated:
    """Drop repeats and near duplicates and join groups.

    Args:
        rows: of all sets, in order of preference.
        templates: sources whose texts are alike by design; they are compared as whole texts only.
    """
    groups = Groups()
    for row in rows:
        groups.join(_same_text(row), _group_of(row))
    unique, dropped = without_repeats(rows)
    kept = _without_near_duplicates(unique, templates, groups)
    dropped["near duplicate"] = len(unique) - len(kept)
    joined = [replace(row, group=groups.name(_group_of(row))) for row in kept]
    return Deduplicated(rows=joined, dropped=dict(dropped))


class Groups:
    """Names that were joined, directly or through others, count as one (union-find)."""

    def __init__(self) -> None:
        self._parent: dict[str, str] = {}

    def join(self, first: str, second: str) -> None:
        """Make the groups of two names one."""
        roots = sorted((self.name(first), self.name(second)))
        self._parent[roots[1]] = roots[0]

    def name(self, member: str) -> str:
        """The name of the group that a name is in: its smallest member, whatever the order of the joins."""
        self._parent.setdefault(member, member)
        root = member
        while self._parent[root] != root:
            root = self._parent[root]
        while self._parent[member] != root:
            self._parent[member], member = root, self._parent[member]
        return root


def _group_of(row: RequestRow) -> str:
    """Sets of one family share the names of their source prompts."""
    return f"{row.family}/{normalised(row.group)}"


def _same_text(row: RequestRow) -> str:
    return f"~text/{normalised(row.text)}"


def _without_near_duplicates(
    rows: Sequence[RequestRow], templates: Collection[str], groups: Groups
) -> list[RequestRow]:
    index = SketchIndex(_CANDIDATES)
    compared: dict[int, set[str]] = {}
    kept = []
    for number, row in enumerate(rows):
        words = words_of(row.text)
        if len(words) < FEWEST_WORDS or row.source in templates:
            kept.append(row)
            continue
        found = shingles(words)
        sketch = index.sketch(found)
        near = False
        for other in index.similar(sketch):
            alike = jaccard(found, compared[other])
            if alike >= SIMILAR:
                groups.join(_group_of(row), _group_of(rows[other]))
            near = near or (alike >= NEAR and rows[other].harmful == row.harmful)
        if not near:
            index.add(number, sketch)
            compared[number] = found
            kept.append(row)
    return kept

"""From sets to rows that can be fitted on: deduplicated over all of them first, then sampled, then split.

Sets quote each other. Of rows with the same normalised text, or with nearly the same words (MinHash, Broder 1997),
the first is kept, so what measures only is listed before what trains. Templates are alike by design: they are
compared as whole texts only, and split by template.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path

from classifiers.fitting.prompts import LabelledPrompt, Split, SplitShares, normalised, split_of
from classifiers.fitting.replies import reply_reader
from classifiers.fitting.replies.record import ReplyRow

NEAR = 0.8
"""Jaccard similarity of two texts' words and word pairs from which on they count as one."""
FEWEST_WORDS = 5
"""Shorter texts are compared as whole texts only."""
PERMUTATIONS = 64
_TEMPLATES = ("identity_templates", "stereotype_templates", "request_templates", "identity_madlibs")


@dataclass(frozen=True, slots=True, kw_only=True)
class RowsConfig:
    """Which rows to read, and of which behaviour."""

    root: Path
    """Folder of the public sets."""
    behaviour: str
    limits: Mapping[str, int]
    """Set -> most rows of it, in order of preference where sets share a text."""
    seed: int = 0
    shares: SplitShares = field(default_factory=SplitShares)


def prepare(config: RowsConfig) -> dict[Split, list[ReplyRow]]:
    """Read, deduplicate, sample and split.

    Raises:
        UnknownMemberError: a set has no reader.
        SourceFormatError: a file is not in its published format.
    """
    known = (
        row
        for name in config.limits
        for row in reply_reader(name)(config.root)
        if config.behaviour in row.labels and row.reply.strip()
    )
    by_source: dict[str, list[ReplyRow]] = {name: [] for name in config.limits}
    for row in distinct(known):
        by_source[row.source].append(row)
    sampled = [
        row for name, limit in config.limits.items() for row in sample_rows(by_source[name], limit, config.seed)
    ]
    return split_rows(without_near_duplicates(sampled), config.shares)


def distinct(rows: Iterable[ReplyRow]) -> list[ReplyRow]:
    """The first row of each normalised text."""
    seen: set[str] = set()
    kept = []
    for row in rows:
        key = normalised(row.reply)
        if key and key not in seen:
            seen.add(key)
            kept.append(row)
    return kept


def without_near_duplicates(rows: Sequence[ReplyRow]) -> list[ReplyRow]:
    """The first of rows that are nearly the same; templates and short texts are all kept."""
    from datasketch import MinHash, MinHashLSH

    index = MinHashLSH(threshold=NEAR, num_perm=PERMUTATIONS)
    kept = []
    for number, row in enumerate(rows):
        words = normalised(row.reply).split()
        if len(words) >= FEWEST_WORDS and row.source not in _TEMPLATES:
            sketch = MinHash(num_perm=PERMUTATIONS, seed=1)
            sketch.update_batch([shingle.encode() for shingle in _shingles(words)])
            if index.query(sketch):
                continue
            index.insert(number, sketch)
        kept.append(row)
    return kept


def sample_rows(rows: Sequence[ReplyRow], limit: int, seed: int) -> list[ReplyRow]:
    """At most `limit` rows, by a seeded hash of their text, in the order given."""
    if len(rows) <= limit:
        return list(rows)
    ranks = [hashlib.sha256(f"{seed}:{row.reply}".encode()).digest() for row in rows]
    cut = sorted(ranks)[limit]
    return [row for row, rank in zip(rows, ranks, strict=True) if rank < cut]


def split_rows(rows: Iterable[ReplyRow], shares: SplitShares) -> dict[Split, list[ReplyRow]]:
    """Rows by split, those of one group together."""
    by_split: dict[Split, list[ReplyRow]] = {split: [] for split in Split}
    for row in rows:
        by_split[split_of(row.group or row.reply, shares)].append(row)
    return by_split


def without_source(rows: Mapping[Split, Sequence[ReplyRow]], name: str) -> dict[Split, list[ReplyRow]]:
    """The same split without one set: what is fitted on where that set measures as an unseen one."""
    return {split: [row for row in found if row.source != name] for split, found in rows.items()}


def as_prompts(rows: Iterable[ReplyRow]) -> list[LabelledPrompt]:
    """Rows as what models of text are fitted on: the reply, without what it answers."""
    return [LabelledPrompt(text=row.reply, labels=row.labels, source=row.source) for row in rows]


def _shingles(words: Sequence[str]) -> set[str]:
    return set(words) | {f"{first} {second}" for first, second in pairwise(words)}

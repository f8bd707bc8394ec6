"""Pairs of requests with the same dangerous word, one about a safe object and one about an unsafe one.

"How do I kill a process that hangs?" and "How do I kill my neighbour?" differ in the object alone, so what takes the
word for the harm tells no pair apart. Words and objects are divided into seen and unseen ones by a hash; a pair is
seen where its word and both objects are, unseen where none of them is, and left out otherwise. Unseen pairs measure
only: no pair that trains has one of their words or objects.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from itertools import product
from typing import Any

from classifiers.requests.readers.base import RequestSet
from classifiers.requests.record import RequestRow

SEEN = RequestSet(name="minimal_pairs", licence="Apache-2.0", family="own", templates=True)
UNSEEN = RequestSet(name="minimal_pairs_unseen", licence="Apache-2.0", family="own", trains=False, templates=True)
SOURCES = (SEEN.name, UNSEEN.name)
SHARE_UNSEEN = 0.4
"""Share of the words, and of the objects, that are kept for measuring."""
PER_STYLE = 2
"""Templates of a style that a word is put into."""


@dataclass(frozen=True, slots=True, kw_only=True)
class MinimalPair:
    """Two requests that differ in the object alone."""

    word: str
    """The dangerous word that both have."""
    style: str
    """`question`, `imperative`, `story` or `roleplay`."""
    safe: RequestRow
    unsafe: RequestRow


@dataclass(frozen=True, slots=True, kw_only=True)
class WordEntry:
    """A dangerous word, and what it is done to."""

    word: str
    category: str
    """Of the unsafe side."""
    safe: Sequence[str]
    unsafe: Sequence[str]


def minimal_pairs(*, seen: bool) -> list[MinimalPair]:
    """Every pair of seen words and objects, or of unseen ones, in the order of the word list."""
    return [pair for entry in words() if is_seen(entry.word) is seen for pair in _pairs(entry, seen)]


def seen_rows() -> list[RequestRow]:
    """The distinct rows of seen pairs, grouped by their word."""
    return _rows(minimal_pairs(seen=True))


def unseen_rows() -> list[RequestRow]:
    """The distinct rows of unseen pairs; they measure only."""
    return _rows(minimal_pairs(seen=False))


def is_seen(name: str) -> bool:
    """Whether a word or an object may train."""
    position = int.from_bytes(hashlib.sha256(f"minimal pairs/{name}".encode()).digest()[:8], "big") / 2**64
    return position >= SHARE_UNSEEN


@cache
def words() -> tuple[WordEntry, ...]:
    """The word list."""
    return tuple(WordEntry(**entry) for entry in _read()["words"])


@cache
def templates() -> Mapping[str, Sequence[str]]:
    """Style -> templates with `{act}`, a verb with its object."""
    found: Mapping[str, Sequence[str]] = _read()["templates"]
    return found


def _read() -> dict[str, Any]:
    found: dict[str, Any] = json.loads(
        files("classifiers.requests").joinpath("minimal_pairs.json").read_text("utf-8")
    )
    return found


def _pairs(entry: WordEntry, seen: bool) -> Iterator[MinimalPair]:
    known = SEEN if seen else UNSEEN
    safe, unsafe = ([o for o in objects if is_seen(o) is seen] for objects in (entry.safe, entry.unsafe))
    for style, frames in templates().items():
        for frame in _chosen(frames, f"{entry.word}/{style}"):
            for harmless, harmful in product(safe, unsafe):
                yield MinimalPair(
                    word=entry.word,
                    style=style,
                    safe=known.harmless(_filled(frame, entry, harmless), hard=True, group=_group(entry)),
                    unsafe=known.harmful(_filled(frame, entry, harmful), entry.category, group=_group(entry)),
                )


def _group(entry: WordEntry) -> str:
    return f"minimal pairs of {entry.word}"


def _filled(frame: str, entry: WordEntry, found: str) -> str:
    text = frame.format(act=f"{entry.word} {found}")
    return text[0].upper() + text[1:]


def _chosen(frames: Sequence[str], name: str) -> list[str]:
    ranked = sorted(frames, key=lambda frame: hashlib.sha256(f"{name}/{frame}".encode()).digest())
    return ranked[:PER_STYLE]


def _rows(pairs: Sequence[MinimalPair]) -> list[RequestRow]:
    distinct = {row.text: row for pair in pairs for row in (pair.safe, pair.unsafe)}
    return list(distinct.values())

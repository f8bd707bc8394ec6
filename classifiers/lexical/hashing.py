"""Text to hashed n-gram features: the same function in fitting and at run time, vectorised over bytes.

Features come in groups: words (runs of letters, digits and apostrophes) and their n-grams, and character n-grams
within the padded text, each hashed to one of 2^bits buckets with a 64-bit polynomial hash and a multiplicative
finish. A feature is present or not; each group is scaled to Euclidean length `weight` (before collisions between
the groups), so that single words keep their say in a long text.
"""

from __future__ import annotations

import unicodedata
from dataclasses import dataclass, field
from enum import StrEnum

import numpy as np
from jaxtyping import Float32, Int64, UInt8, UInt64

_PRIME = np.uint64(0x9E3779B97F4A7C15)
_WORD_PRIME = np.uint64(0xC2B2AE3D27D4EB4F)
_FINISH = np.uint64(0xD6E8FEB86659FD93)
_BITS = 64
_WORD_SALT = 100
_PADDING = 2


def _fold_table() -> bytes:
    """Byte -> byte: control characters become spaces, digits become 0."""
    table = bytearray(range(256))
    for byte in range(33):
        table[byte] = 32
    for byte in b"0123456789":
        table[byte] = ord("0")
    return bytes(table)


def _word_table() -> UInt8[np.ndarray, " byte_value"]:
    """1 for bytes that belong to words: letters, digits, apostrophe, and every byte outside ASCII."""
    return np.array([chr(b).isalnum() or b == ord("'") if b < 128 else True for b in range(256)], dtype=np.uint8)


class Unit(StrEnum):
    """What an n-gram is made of."""

    WORD = "word"
    CHARACTER = "character"


@dataclass(frozen=True, slots=True, kw_only=True)
class FeatureGroup:
    """N-grams that are scaled together."""

    unit: Unit
    orders: tuple[int, ...]
    """n of the n-grams, each at least 1."""
    weight: float
    """Euclidean length of the group's features, above 0."""


DEFAULT_GROUPS = (
    FeatureGroup(unit=Unit.WORD, orders=(1,), weight=2.0),
    FeatureGroup(unit=Unit.WORD, orders=(2,), weight=1.0),
    FeatureGroup(unit=Unit.CHARACTER, orders=(4, 5), weight=0.5),
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Hashing:
    """The settings that fix the features."""

    bits: int = 17
    """log2 of the number of buckets, 8 to 22."""
    groups: tuple[FeatureGroup, ...] = DEFAULT_GROUPS


@dataclass(frozen=True, slots=True, kw_only=True)
class Features:
    """The features of one text."""

    buckets: Int64[np.ndarray, " feature"]
    """Distinct within a group."""
    values: Float32[np.ndarray, " feature"]


@dataclass(frozen=True, slots=True)
class FeatureHasher:
    """Computes features; holds nothing but tables."""

    hashing: Hashing
    _fold: bytes = field(default_factory=_fold_table)
    _is_word: UInt8[np.ndarray, " byte_value"] = field(default_factory=_word_table)

    def features(self, text: str) -> Features:
        """The features of one text; an empty text has none."""
        raw = normalise(text).encode().translate(self._fold)
        padded = b" " + b" ".join(raw.split()) + b" "
        data = np.frombuffer(padded, dtype=np.uint8)
        words = self._word_hashes(data)
        found = [
            self._buckets(_word_ngrams(words, g.orders) if g.unit is Unit.WORD else _character_ngrams(data, g.orders))
            for g in self.hashing.groups
        ]
        values = [
            np.full(len(buckets), group.weight / np.sqrt(max(len(buckets), 1)), dtype=np.float32)
            for buckets, group in zip(found, self.hashing.groups, strict=True)
        ]
        return Features(buckets=np.concatenate(found), values=np.concatenate(values))

    def _word_hashes(self, data: UInt8[np.ndarray, " byte"]) -> UInt64[np.ndarray, " word"]:
        """One hash a word: a sum of bytes times powers of the prime, counted from the word's first byte."""
        inside = self._is_word[data]
        edges = np.flatnonzero(inside[1:] != inside[:-1]) + 1
        starts, ends = edges[0::2], edges[1::2]
        if len(starts) == 0:
            return np.empty(0, dtype=np.uint64)
        offsets = np.arange(len(data), dtype=np.int64)
        offsets -= np.repeat(np.concatenate([[0], starts]), np.diff(np.concatenate([[0], starts, [len(data)]])))
        terms = (data.astype(np.uint64) + np.uint64(1)) * _powers(int(offsets.max()) + 1)[offsets]
        sums = np.concatenate([np.zeros(1, dtype=np.uint64), np.cumsum(terms, dtype=np.uint64)])
        hashes: UInt64[np.ndarray, " word"] = sums[ends] - sums[starts]
        return hashes

    def _buckets(self, hashes: list[UInt64[np.ndarray, " _"]]) -> Int64[np.ndarray, " feature"]:
        if not hashes:
            return np.empty(0, dtype=np.int64)
        mixed = np.concatenate(hashes)
        mixed = (mixed ^ (mixed >> np.uint64(32))) * _FINISH
        buckets = np.sort((mixed >> np.uint64(_BITS - self.hashing.bits)).astype(np.uint32))
        if len(buckets) > 1:
            buckets = buckets[np.concatenate([[True], buckets[1:] != buckets[:-1]])]
        return buckets.astype(np.int64)


def _character_ngrams(data: UInt8[np.ndarray, " byte"], orders: tuple[int, ...]) -> list[UInt64[np.ndarray, " _"]]:
    """Hashes of the byte n-grams of a padded text; padding alone has none."""
    codes = data.astype(np.uint64) + np.uint64(1)
    rolling, found = codes, []
    for order in range(1, max(orders) + 1):
        if order > 1:
            rolling = rolling[:-1] * _PRIME + codes[order - 1 :]
        if order in orders and len(data) > _PADDING:
            found.append(rolling + np.uint64(order))
    return found


def _word_ngrams(words: UInt64[np.ndarray, " word"], orders: tuple[int, ...]) -> list[UInt64[np.ndarray, " _"]]:
    """Hashes of the word n-grams; from two words on, a border on each side makes first and last words features."""
    if len(words) == 0:
        return []
    border = np.zeros(1, dtype=np.uint64)
    rolling = bordered = np.concatenate([border, words, border])
    found = []
    for order in range(1, max(orders) + 1):
        if order > 1:
            rolling = rolling[:-1] * _WORD_PRIME + bordered[order - 1 :]
        if order in orders:
            found.append((words if order == 1 else rolling) + np.uint64(_WORD_SALT + order))
    return found


def normalise(text: str) -> str:
    """Lower case; outside ASCII also compatibility forms, so that full-width letters read as plain ones."""
    return text.lower() if text.isascii() else unicodedata.normalize("NFKC", text).lower()


def _powers(count: int) -> UInt64[np.ndarray, " count"]:
    factors = np.full(count, _PRIME, dtype=np.uint64)
    factors[0] = 1
    return np.cumprod(factors, dtype=np.uint64)

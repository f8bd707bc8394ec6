"""Text to hashed n-gram features: the same function in fitting and at run time, vectorised over bytes.

Words (runs of letters, digits and apostrophes) and their bi- and trigrams, and character n-grams within the padded
text, each hashed to one of 2^bits buckets with a 64-bit polynomial hash and a multiplicative finish. A feature is
present or not; each of the two groups is scaled to Euclidean length 1 (before collisions between the groups).
"""

from __future__ import annotations

import unicodedata
from dataclasses import dataclass, field

import numpy as np
from jaxtyping import Float32, Int64, UInt8, UInt64

_PRIME = np.uint64(0x9E3779B97F4A7C15)
_WORD_PRIME = np.uint64(0xC2B2AE3D27D4EB4F)
_FINISH = np.uint64(0xD6E8FEB86659FD93)
_BITS = 64


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


@dataclass(frozen=True, slots=True, kw_only=True)
class Hashing:
    """The settings that fix the features."""

    bits: int = 17
    """log2 of the number of buckets, 8 to 22."""
    character_orders: tuple[int, ...] = (3, 4, 5)
    word_orders: tuple[int, ...] = (1, 2, 3)


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
        groups = [self._words(data), self._characters(data)]
        values = [np.full(len(g), 1.0 / np.sqrt(max(len(g), 1)), dtype=np.float32) for g in groups]
        return Features(buckets=np.concatenate(groups), values=np.concatenate(values))

    def _characters(self, data: UInt8[np.ndarray, " byte"]) -> Int64[np.ndarray, " feature"]:
        codes = data.astype(np.uint64) + np.uint64(1)
        rolling, found = codes, []
        for order in range(1, max(self.hashing.character_orders, default=0) + 1):
            if order > 1:
                rolling = rolling[:-1] * _PRIME + codes[order - 1 :]
            if order in self.hashing.character_orders and len(data) > 2:
                found.append(rolling + np.uint64(order))
        return self._buckets(found)

    def _words(self, data: UInt8[np.ndarray, " byte"]) -> Int64[np.ndarray, " feature"]:
        words = self._word_hashes(data)
        if len(words) == 0:
            return np.empty(0, dtype=np.int64)
        # A border on each side makes the first and the last word features of their own.
        border = np.zeros(1, dtype=np.uint64)
        rolling = bordered = np.concatenate([border, words, border])
        found = []
        for order in range(1, max(self.hashing.word_orders, default=0) + 1):
            if order > 1:
                rolling = rolling[:-1] * _WORD_PRIME + bordered[order - 1 :]
            if order in self.hashing.word_orders:
                found.append((words if order == 1 else rolling) + np.uint64(100 + order))
        return self._buckets(found)

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


def normalise(text: str) -> str:
    """Lower case; outside ASCII also compatibility forms, so that full-width letters read as plain ones."""
    return text.lower() if text.isascii() else unicodedata.normalize("NFKC", text).lower()


def _powers(count: int) -> UInt64[np.ndarray, " count"]:
    factors = np.full(count, _PRIME, dtype=np.uint64)
    factors[0] = 1
    return np.cumprod(factors, dtype=np.uint64)

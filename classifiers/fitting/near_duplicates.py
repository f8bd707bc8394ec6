"""Texts that are nearly the same: MinHash sketches of words and word pairs (Broder 1997), looked up by LSH."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from typing import Any

from classifiers.fitting.prompts import normalised

PERMUTATIONS = 64
FEWEST_WORDS = 5
"""Shorter texts share too few word pairs to be compared by them: they are compared as whole texts only."""


def words_of(text: str) -> list[str]:
    """The normalised words, in order."""
    return normalised(text).split()


def shingles(words: Sequence[str]) -> set[str]:
    """Words and word pairs: what the similarity of two texts is taken over."""
    return set(words) | {f"{first} {second}" for first, second in pairwise(words)}


def jaccard(first: set[str], second: set[str]) -> float:
    """Share of the shingles of either that both have; 0 for two empty sets."""
    either = len(first | second)
    return len(first & second) / either if either else 0.0


class SketchIndex:
    """Finds what was added before and is similar, from about `threshold` on: LSH misses few and reports some more."""

    def __init__(self, threshold: float) -> None:
        from datasketch import MinHashLSH

        self._lsh = MinHashLSH(threshold=threshold, num_perm=PERMUTATIONS)

    def sketch(self, found: set[str]) -> Any:
        """The MinHash of a set of shingles."""
        from datasketch import MinHash

        sketch = MinHash(num_perm=PERMUTATIONS, seed=1)
        sketch.update_batch([shingle.encode() for shingle in found])
        return sketch

    def similar(self, sketch: Any) -> list[int]:
        """Numbers of the entries that are probably similar, in ascending order."""
        return sorted(self._lsh.query(sketch))

    def add(self, number: int, sketch: Any) -> None:
        """Remember a sketch under a number."""
        self._lsh.insert(number, sketch)

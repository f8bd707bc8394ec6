"""Which words are English, by one list that ships with the package."""

from __future__ import annotations

from functools import cache
from pathlib import Path


@cache
def known_words() -> frozenset[str]:
    """The list, in lower case."""
    text = (Path(__file__).parent / "words.txt").read_text(encoding="ascii")
    return frozenset(word for line in text.splitlines() if not line.startswith("#") for word in line.split())


def is_known(word: str) -> bool:
    """Whether `word` is on the list, in any case, with or without its plural s."""
    lower = word.lower()
    words = known_words()
    return lower in words or (lower.endswith("s") and len(lower) > 3 and lower[:-1] in words)


def segmented(letters: str) -> tuple[str, ...] | None:
    """The fewest words of the list that `letters` is made of, in order; None where it is made of none.

    Words of two letters stand in the list as well; a letter alone is a word only as "a" and "i".
    """
    best: list[tuple[str, ...] | None] = [()] + [None] * len(letters)
    lower, words = letters.lower(), _spellable()
    for end in range(1, len(letters) + 1):
        for start in range(max(0, end - _LONGEST), end):
            before = best[start]
            if before is None or lower[start:end] not in words:
                continue
            shorter = best[end]
            if shorter is None or len(before) + 1 < len(shorter):
                best[end] = (*before, letters[start:end])
    return best[-1]


@cache
def _spellable() -> frozenset[str]:
    return known_words() | {"a", "i"}


_LONGEST = 18
"""Letters of a word that is looked for."""

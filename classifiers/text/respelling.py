"""Words whose letters were exchanged for digits or set apart: put together again where an English word comes out."""

from __future__ import annotations

import re
from collections.abc import Iterator
from itertools import islice, product

from classifiers.text.english import is_known, segmented

_LETTERS_OF = {
    "0": "o",
    "1": "il",
    "3": "e",
    "4": "a",
    "5": "s",
    "7": "t",
    "8": "b",
    "9": "g",
    "@": "a",
    "$": "s",
    "!": "i",
    "|": "l",
    "*": "aeiou",
}
_TOKEN = re.compile(r"(?<![\w@$!|*.-])[A-Za-z@$][A-Za-z0-9@$!|*]{2,31}(?![\w@$|*])")
_LEET = re.compile(r"[@$]?[A-Za-z]+(?:[013457898@$!|*]{1,2}[A-Za-z]+)*")
"""A sign may begin a word; digits and other signs stand between letters."""
_TRIES = 64
"""Spellings of one word."""
_LEAST_LETTERS = 3

_SEPARATOR = r"(?: |[.\-_*·•]| ?[|/] ?)"
_LETTER = "[A-Za-z0134@$]"
_SPACED = re.compile(
    rf"(?<![\w.\-_*]){_LETTER}(?P<mark>{_SEPARATOR}){_LETTER}(?:(?P=mark){_LETTER}){{1,254}}(?![\w*])"
)
"""Bounded, because what the letters spell takes time that grows faster than their number."""


def without_leetspeak(text: str) -> str:
    """`text` with digits and signs between letters read as letters, in words that become English."""
    return _TOKEN.sub(lambda word: _unleet(word.group()), text)


def _unleet(token: str) -> str:
    word = token.rstrip("!")
    if word.isalpha() or _LEET.fullmatch(word) is None or sum(c.isalpha() for c in word) * 2 < len(word):
        return token
    found = (spelling for spelling in islice(_spellings(word), _TRIES) if is_known(spelling))
    return next(found, word) + token[len(word) :]


def _spellings(word: str) -> Iterator[str]:
    return map("".join, product(*(_LETTERS_OF.get(c, c) for c in word)))


def without_spacing(text: str) -> str:
    """`text` with single letters in a row joined, where they spell English words of three letters at least."""
    return _SPACED.sub(_joined, text)


def _joined(run: re.Match[str]) -> str:
    spelled = run.group()
    letters = spelled[:: 1 + len(run["mark"])]
    if run["mark"] == "." and letters.isupper():  # an abbreviation
        return spelled
    plain = _unleet(letters)
    words = segmented(plain) if plain.isalpha() else None
    if words is None or len(plain) < _LEAST_LETTERS or max(map(len, words)) < _LEAST_LETTERS:
        return spelled
    return " ".join(words)

"""What text in a manifest may hold: it is shown in terminals, used as labels, and must not be taken for a path."""

from __future__ import annotations

import re
import unicodedata

_PLAIN = re.compile(r"[A-Za-z0-9][A-Za-z0-9 _.:+-]*")
_REORDERING = frozenset("\u061c\u200e\u200f\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069")
"""Characters that change the order in which others are shown."""


def plain_name(value: str) -> str:
    """A name without separators: letters, digits, spaces and `_ . : + -`, and never `..`.

    Raises:
        ValueError: it has others.
    """
    if not _PLAIN.fullmatch(value) or ".." in value or value != value.strip():
        raise ValueError("is no plain name; wanted letters, digits, spaces and _ . : + - without '..'")
    return value


def model_id(value: str) -> str:
    """A model's name, or `owner/name`; never a path.

    Raises:
        ValueError: it is something else.
    """
    parts = value.split("/")
    if len(parts) > 2 or not all(_PLAIN.fullmatch(part) and ".." not in part for part in parts):
        raise ValueError("is no model id; wanted a plain name or owner/name without '..'")
    return value


def one_line(value: str) -> str:
    """Text without control characters.

    Raises:
        ValueError: it has some.
    """
    return _without_controls(value, allowed="")


def paragraphs(value: str) -> str:
    """Text whose only control characters are line ends.

    Raises:
        ValueError: it has others.
    """
    return _without_controls(value, allowed="\n")


def _without_controls(value: str, allowed: str) -> str:
    for character in value:
        if character not in allowed and (unicodedata.category(character) == "Cc" or character in _REORDERING):
            raise ValueError(f"holds control characters ({character!r}); wanted text")
    return value

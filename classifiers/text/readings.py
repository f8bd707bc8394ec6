"""The ways in which a text can be read: as it stands, and what is hidden in it.

A pure function. Plain text has one reading, which is the text itself, character for character; only where a trick is
found (characters that nobody sees, lookalikes of other scripts, digits for letters, letters set apart, base64, rot13)
is anything changed. Whoever judges a text judges all of its readings and takes the highest.
"""

from __future__ import annotations

from classifiers.text.encoded import decoded
from classifiers.text.homoglyphs import without_homoglyphs
from classifiers.text.invisible import tagged, without_invisible
from classifiers.text.respelling import without_leetspeak, without_spacing

READINGS_LIMIT = 8
"""Of one text."""


def readings(text: str) -> list[str]:
    """The normalised text, then each hidden message and the text with that message in its place, normalised too.

    Args:
        text: anything.

    Returns:
        1 to `READINGS_LIMIT` texts without repetition; `[text]` for plain text.
    """
    seen = without_homoglyphs(without_invisible(text))
    hidden = decoded(seen)
    invisible = tagged(text)
    if invisible:
        hidden.insert(0, invisible)
    found = [_respelled(seen), *(_respelled(without_homoglyphs(without_invisible(message))) for message in hidden)]
    return list(dict.fromkeys(found))[:READINGS_LIMIT]


def _respelled(text: str) -> str:
    return without_leetspeak(without_spacing(text))

"""Letters that look like Latin ones, read as these where a word mixes them with Latin letters.

Whole words in another script are left alone, and so is Greek as an index of science (NFκB, TNFα). Latin letters in
another dress (full-width, mathematical, circled, small capitals) are read as plain ones in words of two and more.
"""

from __future__ import annotations

import re
import unicodedata
from functools import cache

_CYRILLIC = dict(
    zip("АВЕЅІЈКМНОРСТУХԐԌԚԜаеѕіјорсухһԁԛԝӏкмтпвгёї", "ABESIJKMHOPCTYXEGQWaesijopcyxhdqwlkmtnbrei", strict=True)
)
_GREEK = dict(zip("ΑΒΕΖΗΙΚΜΝΟΡΤΥΧαεηικνορτυχω", "ABEZHIKMNOPTYXaenikvoptuxw", strict=True))
_OTHER = dict(zip("ոսցօհԼԁɡɑɩıſᴀʙᴄᴅᴇꜰɢʜɪᴊᴋʟᴍɴᴏᴘʀꜱᴛᴜᴠᴡʏᴢ", "nugohLdgaiisabcdefghijklmnoprstuvwyz", strict=True))
"""Armenian, IPA and small capitals."""
_DRESSED = (
    (0xFF21, 0xFF3A),
    (0xFF41, 0xFF5A),
    (0x2100, 0x214F),
    (0x249C, 0x24E9),
    (0x1D400, 0x1D7FF),
    (0x1F110, 0x1F189),
)
"""Blocks of Latin letters in another dress."""
_WORD = re.compile(r"[^\W\d_](?:[^\W_]|\u0300)*")
_SQUARED = 0x1F130, 0x1F189


@cache
def _dressed() -> dict[str, str]:
    """Each dressed letter and digit, and the plain one."""
    found = {}
    for first, last in _DRESSED:
        for point in range(first, last + 1):
            plain = _plain(point)
            if len(plain) == 1 and plain.isascii() and plain.isalnum():
                found[chr(point)] = plain
    return found


def _plain(point: int) -> str:
    if _SQUARED[0] <= point <= _SQUARED[1]:
        return chr(ord("A") + (point - _SQUARED[0]) % 0x20) if (point - _SQUARED[0]) % 0x20 < 26 else ""
    return unicodedata.normalize("NFKC", chr(point)).strip("()")


@cache
def _lookalikes() -> dict[str, str]:
    return _CYRILLIC | _GREEK | _OTHER


@cache
def _runs_of_dressed() -> re.Pattern[str]:
    letters = "".join(_dressed())
    return re.compile(f"[{letters}](?:[{letters}A-Za-z0-9])+|[A-Za-z0-9]+[{letters}]+")


def without_homoglyphs(text: str) -> str:
    """`text` with the lookalikes in its mixed words, and letters in another dress, as plain Latin ones."""
    if text.isascii():
        return text
    dressed = _dressed()
    plain = _runs_of_dressed().sub(lambda run: "".join(dressed.get(c, c) for c in run.group()), text)
    return _WORD.sub(lambda word: _folded(word.group()), plain)


def _folded(word: str) -> str:
    if word.isascii() or not any(c.isascii() and c.isalpha() for c in word):
        return word if not _is_small_capitals(word) else "".join(_OTHER.get(c, c) for c in word)
    lookalikes = _lookalikes()
    folded = [c if c not in lookalikes or _is_index(word, n) else lookalikes[c] for n, c in enumerate(word)]
    return "".join(folded)


def _is_small_capitals(word: str) -> bool:
    return len(word) > 2 and all(c in _OTHER for c in word) and any(c in _OTHER for c in word)


def _is_index(word: str, place: int) -> bool:
    """Whether a lower-case Greek letter has no lower-case Latin one beside it, as in the names of proteins."""
    if word[place] not in _GREEK or not word[place].islower():
        return False
    beside = word[max(0, place - 1) : place] + word[place + 1 : place + 2]
    return not any(c.isascii() and c.islower() for c in beside)

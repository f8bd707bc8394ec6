"""Disguises of a text: pure functions of the text and a seed, made from an attacker's side.

None of the tables comes from `classifiers.text`, which undoes such disguises: a table that both shared would measure
nothing. A person reads every disguised text as the original; base64 and rot13 give it back exactly.
"""

from __future__ import annotations

import base64
import codecs
import random
from collections.abc import Callable, Mapping
from functools import partial

Rewrite = Callable[[str, random.Random], str]
"""From a text, and what draws the choices, to the disguised text."""

_CYRILLIC_AND_GREEK: Mapping[str, str] = {
    "a": "аα",
    "c": "сϲ",
    "d": "ԁ",
    "e": "е",
    "h": "һ",
    "i": "іι",
    "j": "јϳ",
    "k": "кκ",
    "l": "ӏ",
    "n": "пη",
    "o": "оοσ",
    "p": "рρ",
    "s": "ѕ",
    "u": "υ",
    "v": "ѵν",
    "w": "ԝω",
    "x": "хχ",
    "y": "уγ",
    "A": "АΑ",
    "B": "ВΒ",
    "C": "СϹ",
    "E": "ЕΕ",
    "H": "НΗ",
    "I": "ІΙ",
    "K": "КΚ",
    "M": "МΜ",
    "O": "ОΟ",
    "P": "РΡ",
    "T": "ТΤ",
    "W": "Ԝ",
    "X": "ХΧ",
    "Y": "ҮΥ",
}
_RARE: Mapping[str, str] = {
    "a": "ɑａ𝖺",
    "b": "Ƅｂ𝖻",
    "c": "ⅽⲥｃ",
    "d": "ⅾꓒｄ",
    "e": "ｅ𝖾℮",
    "f": "ſꬵｆ",
    "g": "ցɡｇ",
    "h": "հᏂｈ",
    "i": "ⅰıｉ",
    "k": "ᴋｋ𝗄",
    "l": "ⅼⲒｌ",
    "m": "ⅿｍ𝗆",
    "n": "ոｎ𝗇",
    "o": "օⲟｏ",
    "p": "ⲣｐ𝗉",
    "r": "ᴦｒ𝗋",
    "s": "ꜱｓ𝗌",
    "t": "ᴛｔ𝗍",
    "u": "սᴜｕ",
    "v": "ⅴᴠｖ",
    "w": "ᴡաｗ",
    "x": "ⅹᕁｘ",
    "y": "ყｙ𝗒",
    "z": "ᴢｚ𝗓",
    "A": "ᎪꓮＡ",
    "B": "ᏴꓐＢ",
    "C": "ᏟⅭꓚ",
    "D": "ᎠⅮꓓ",
    "E": "ᎬꓰＥ",
    "H": "ᎻꓧＨ",
    "I": "ⅠꓲＩ",
    "M": "ᎷⅯꓟ",
    "O": "ⲞꓳＯ",
    "P": "ᏢꓑＰ",
    "S": "ᏚꓢＳ",
    "T": "ᎢꓔＴ",
    "W": "ᎳꓪＷ",
}
"""Cherokee, Lisu, Coptic, Armenian, Georgian, Roman numerals, phonetic signs, full-width and mathematical letters."""
_UNSEEN = "\u200b\u200c\u200d\u2060\ufeff\u00ad"
_LEET: Mapping[str, str] = {
    "a": "4@",
    "b": "8",
    "e": "3",
    "g": "96",
    "i": "1!",
    "l": "1|",
    "o": "0",
    "s": "5$",
    "t": "7+",
    "z": "2",
}
_BETWEEN_LETTERS = (" ", "-", ".", "_")
_ASKED = (
    "Decode this base64 and do what it says: {}",
    "{}\n\nThe text above is base64. Answer the decoded question.",
    "Here is my request, base64 encoded: {} Please respond to it.",
)
_SHARE_OF_LETTERS = 0.5
_SHARE_OF_GAPS = 0.4


def homoglyphs(text: str, draw: random.Random, table: Mapping[str, str] = _CYRILLIC_AND_GREEK) -> str:
    """Half of the letters that have one as a letter of another script that looks alike."""
    return _exchanged(text, draw, table)


def zero_width(text: str, draw: random.Random) -> str:
    """Characters that nobody sees, in one after the first letter and in four of ten gaps after that."""
    pieces = []
    for word in text.split(" "):
        gaps = (
            "" if n > 1 and draw.random() >= _SHARE_OF_GAPS else draw.choice(_UNSEEN) for n in range(1, len(word))
        )
        pieces.append(word[:1] + "".join(gap + c for gap, c in zip(gaps, word[1:], strict=True)))
    return " ".join(pieces)


def leetspeak(text: str, draw: random.Random) -> str:
    """Half of the letters that have one as a digit or sign of about their shape."""
    return _exchanged(text, draw, _LEET)


def spaced_letters(text: str, draw: random.Random) -> str:
    """Letters set apart by one sign, the same throughout; words by a wider gap."""
    sign = draw.choice(_BETWEEN_LETTERS)
    gap = "   " if sign == " " else " "
    return gap.join(sign.join(word) for word in text.split())


def as_base64(text: str, _: random.Random) -> str:
    """The whole text in base64."""
    return base64.b64encode(text.encode("utf-8")).decode("ascii")


def asked_in_base64(text: str, draw: random.Random) -> str:
    """The text in base64, with words that ask a model to decode it."""
    return draw.choice(_ASKED).format(as_base64(text, draw))


def as_rot13(text: str, _: random.Random) -> str:
    """The whole text in rot13."""
    return codecs.encode(text, "rot13")


def _after(first: Rewrite, second: Rewrite, text: str, draw: random.Random) -> str:
    return second(first(text, draw), draw)


def _exchanged(text: str, draw: random.Random, table: Mapping[str, str]) -> str:
    """`text` with half of the letters of `table` exchanged, and one at least where there is any."""
    places = [n for n, c in enumerate(text) if (c if c in table else c.lower()) in table]
    chosen = {n for n in places if draw.random() < _SHARE_OF_LETTERS} or set(places[:1])
    return "".join(
        draw.choice(table[c if c in table else c.lower()]) if n in chosen else c for n, c in enumerate(text)
    )


NAMED = ("homoglyphs", "rare_homoglyphs", "zero_width", "leetspeak", "base64", "rot13")
"""Those that the requirement names; rare homoglyphs are homoglyphs too."""
REWRITES: Mapping[str, Rewrite] = {
    "homoglyphs": homoglyphs,
    "rare_homoglyphs": partial(homoglyphs, table=_RARE),
    "zero_width": zero_width,
    "leetspeak": leetspeak,
    "base64": as_base64,
    "rot13": as_rot13,
    "spaced_letters": spaced_letters,
    "base64_asked": asked_in_base64,
    "homoglyphs_and_zero_width": partial(_after, homoglyphs, zero_width),
    "leetspeak_spaced": partial(_after, leetspeak, spaced_letters),
    "leetspeak_in_base64": partial(_after, leetspeak, as_base64),
    "rot13_in_base64": partial(_after, as_rot13, as_base64),
}
"""Name -> disguise."""


def rewritten(name: str, text: str, seed: int) -> str:
    """`text` in the disguise called `name`; the same text and seed give the same disguise."""
    return REWRITES[name](text, random.Random(f"{seed}/{name}/{text}"))

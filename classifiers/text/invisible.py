"""Characters that nobody sees: taken out of Latin words, and read where they carry a message of their own.

In Arabic, Persian and Indic scripts and in emoji some of them shape what is seen; so they are touched only beside a
Latin letter.
"""

from __future__ import annotations

import re

_INVISIBLE = (
    "\u00ad\u034f\u061c\u115f\u1160\u17b4\u17b5\u180b-\u180e\u200b-\u200f\u202a-\u202e\u2060-\u206f\u2800\u3164"
    "\ufe00-\ufe0f\ufeff\uffa0\U0001d173-\U0001d17a\U000e0001\U000e0100-\U000e01ef"
)
_LATIN = "A-Za-z\u00c0-\u024f"
_RUN = re.compile(f"[{_INVISIBLE}]+")
_LATIN_LETTER = re.compile(f"[{_LATIN}]")
_STACKED_MARKS = re.compile("([A-Za-z])[\u0300-\u036f]{3,}")
"""No language stacks three marks on a letter; Vietnamese stacks two."""
_TAGS = re.compile("[\U000e0020-\U000e007e]+\U000e007f?")
_BLACK_FLAG = "\U0001f3f4"
_TAG_OFFSET = 0xE0000


def without_invisible(text: str) -> str:
    """`text` without what nobody sees inside its Latin words."""
    if text.isascii():
        return text
    seen = _TAGS.sub(lambda run: run.group() if _spells_flag(run) else "", text)
    return _STACKED_MARKS.sub(r"\1", _RUN.sub(_unless_shaping, seen))


def tagged(text: str) -> str:
    """The message that tag characters spell, which models read and people do not see; empty where there is none."""
    if text.isascii():
        return ""
    runs = (run for run in _TAGS.finditer(text) if not _spells_flag(run))
    return "".join(chr(ord(c) - _TAG_OFFSET) for run in runs for c in run.group() if ord(c) != 0xE007F)


def _unless_shaping(run: re.Match[str]) -> str:
    """Nothing beside a Latin letter, the run itself elsewhere."""
    beside = run.string[max(0, run.start() - 1) : run.start()] + run.string[run.end() : run.end() + 1]
    return "" if _LATIN_LETTER.search(beside) else run.group()


def _spells_flag(run: re.Match[str]) -> bool:
    """England's flag, and others', are a black flag and tags."""
    return run.start() > 0 and run.string[run.start() - 1] == _BLACK_FLAG

"""Messages in base64 and rot13: found, and decoded where English comes out."""

from __future__ import annotations

import base64
import binascii
import codecs
import re
from collections.abc import Iterator
from functools import lru_cache

from classifiers.text.english import is_known
from classifiers.text.homoglyphs import without_homoglyphs
from classifiers.text.respelling import without_leetspeak, without_spacing

_BASE64 = re.compile(r"(?<![A-Za-z0-9+/_-])[A-Za-z0-9+/_-](?:[A-Za-z0-9+/_-]|\r?\n(?=[A-Za-z0-9+/_-]{4})){10,}={0,2}")
_WORD = re.compile(r"[A-Za-z]+")
RUNS_LIMIT = 8
"""Encoded pieces of one text that are read."""
DEPTH_LIMIT = 2
"""Encodings within encodings."""
_KNOWN_SHARE = 0.5
_GAIN = 2.0
"""Words of a rot13 passage that become English, less those that cease to be."""
_UNDECIDED = -0.25
"""For a word that is English both ways or neither."""


def decoded(text: str, depth: int = DEPTH_LIMIT) -> list[str]:
    """What is hidden in `text`: each decoded message alone, and the text with its messages in their places."""
    found = _base64_decoded(text) + _rot13_decoded(text)
    if depth > 1:
        found += [inner for message in list(found) for inner in decoded(message, depth - 1)]
    return list(dict.fromkeys(message for message in found if message != text))


def reads_as_english(text: str) -> bool:
    """Whether at least half of the words, of two letters and more, are English, and these are most of the text."""
    words = [word for word in _WORD.findall(text) if len(word) > 1]
    letters = sum(map(len, words))
    known = sum(map(is_known, words))
    return known > 0 and known >= _KNOWN_SHARE * len(words) and letters >= 0.5 * len(text.strip())


def _base64_decoded(text: str) -> list[str]:
    messages: dict[str, str] = {}
    for run in _BASE64.finditer(text):
        message = _message(run.group())
        if message is not None:
            messages[run.group()] = message
        if len(messages) == RUNS_LIMIT:
            break
    if not messages:
        return []
    whole = text
    for run_text, message in messages.items():
        whole = whole.replace(run_text, message)
    return [*messages.values(), whole]


def _message(run: str) -> str | None:
    """The text that base64 holds; None where that is no English."""
    compact = "".join(run.split()).rstrip("=").replace("-", "+").replace("_", "/")
    if len(compact) % 4 == 1:
        return None
    try:
        message = base64.b64decode(compact + "=" * (-len(compact) % 4), validate=True).decode("utf-8")
    except (binascii.Error, UnicodeDecodeError):
        return None
    printable = all(c.isprintable() or c.isspace() for c in message)
    undisguised = without_leetspeak(without_spacing(without_homoglyphs(message)))
    encoded_again = _BASE64.fullmatch(message.strip()) is not None
    return message if printable and (reads_as_english(undisguised) or encoded_again) else None


def _rot13_decoded(text: str) -> list[str]:
    """The passage that turns into English, alone and in its place; nothing where none does."""
    passage = _rot13_passage(text)
    if passage is None:
        return []
    start, end = passage
    message = codecs.encode(text[start:end], "rot13")
    return [message, text[:start] + message + text[end:]]


def _rot13_passage(text: str) -> tuple[int, int] | None:
    """The run of words with the highest sum of gains, where that is high enough."""
    best, best_sum, start, running = None, _GAIN, None, 0.0
    for first, last, gain in _gains(text):
        if start is None or running <= 0:
            start, running = first, 0.0
        running += gain
        if running > best_sum:
            best, best_sum = (start, last), running
    return best


def _gains(text: str) -> Iterator[tuple[int, int, float]]:
    """Begin and end of each word, and what rot13 makes of it: English (1), no longer English (-1), or neither."""
    for word in _WORD.finditer(text):
        if len(word.group()) < 2:
            continue
        yield word.start(), word.end(), _gain(word.group())


@lru_cache(maxsize=2**16)
def _gain(word: str) -> float:
    now, then = is_known(word), is_known(codecs.encode(word, "rot13"))
    return float(then) - float(now) if then != now else _UNDECIDED

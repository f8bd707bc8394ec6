"""WinoBias' sentences as prompts and their ends.

The end with its pronoun assumes a gender; the same end with "they" does not, where no other pronoun stands in it; and
after the whole sentence, which tells the gender, a reply that goes on with the pronoun assumes nothing.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

from classifiers.fitting.readers.files import found, read_text
from classifiers.fitting.replies.record import ReplyRow, user_turn

_NUMBER = re.compile(r"^\d+\s+")
_PRONOUN = re.compile(r"\[(he|she|him|her|his|hers|himself|herself)\]", re.IGNORECASE)
_GENDERED = re.compile(r"\b(?:s?he|him|hers?|his|himself|herself|m[ae]n|wom[ae]n|girl|boy|lady)\b", re.IGNORECASE)
_NEUTRAL = {"he": "they", "she": "they", "him": "them", "his": "their", "hers": "theirs"}


def read(root: Path) -> Iterator[ReplyRow]:
    """Two or three rows a sentence with a marked pronoun."""
    for path in found(root / "winobias" / "data", "*_stereotyped_*"):
        for line in read_text(path).splitlines():
            sentence = _NUMBER.sub("", line)
            pronoun = _PRONOUN.search(sentence)
            if pronoun:
                yield from _rows(sentence, pronoun, path.name.split(".")[0])


def _rows(sentence: str, pronoun: re.Match[str], kind: str) -> Iterator[ReplyRow]:
    start, end = (_bare(part) for part in (sentence[: pronoun.start()], sentence[pronoun.end() :]))
    word = pronoun.group(1).lower()
    neutral = _NEUTRAL.get(word, "them" if end.startswith((".", ",")) else "their")
    whole = f"{start.strip()} {word}{end}"
    subject = "He" if word in ("he", "him", "his", "himself") else "She"
    for prompt, reply, assumes, form in (
        (start.strip(), f"{word}{end}", True, "gendered"),
        (start.strip(), f"{neutral}{end}", False, "neutral"),
        (f"{whole} What happened then?", f"{subject} went home.", False, "told"),
    ):
        if form == "neutral" and _GENDERED.search(end):
            continue
        yield ReplyRow(
            reply=reply,
            labels={"gender_bias": assumes},
            source="winobias",
            messages=user_turn(prompt),
            group=start,
            subgroup=f"{kind}/{form}",
        )


def _bare(text: str) -> str:
    return text.replace("[", "").replace("]", "")

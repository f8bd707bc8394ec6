"""Harmless replies in the form of an answer that agrees: with an opening, and as numbered steps.

People's replies in public sets do not begin with "Sure, here is", as those of a model that was attacked do. What is
fitted on both alone takes the form for the harm.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from itertools import cycle

from classifiers.fitting.replies.record import ReplyRow

OPENINGS = (
    "Sure, here is what you asked for:\n\n",
    "Sure! ",
    "Certainly! Here is one:\n\n",
    "Certainly. ",
    "Of course! Here's a first version:\n\n",
    "Absolutely, here are the steps:\n\n",
    "Here's an example:\n\n",
    "Yes. ",
    "Okay, let's begin.\n\n",
    "Title: An answer\n\n",
)
_SENTENCE = re.compile(r"(?<=[.!?])\s+|\n+")


def agreeing(rows: Iterable[ReplyRow], openings: Sequence[str] = OPENINGS) -> Iterator[ReplyRow]:
    """Each row with the next opening before its reply, every second one with its sentences as numbered steps."""
    for number, (row, opening) in enumerate(zip(rows, cycle(openings), strict=False)):
        reply = opening + (_steps(row.reply) if number % 2 else row.reply)
        # A row by itself is split by its text: name the text it had, so that both forms stay together.
        yield replace(row, reply=reply, group=row.group or row.reply)


def _steps(text: str) -> str:
    parts = [part for part in _SENTENCE.split(text) if part.strip()]
    return "\n".join(f"{number}. {part.strip()}" for number, part in enumerate(parts, start=1))

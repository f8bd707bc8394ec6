"""What one example of the demo corpus is, and how a draft becomes one.

A skill or behaviour writes drafts (a prompt and the grammar of its replies); `finish` adds surface noise,
system prompts and earlier turns, samples the replies, and keeps the split. Invariant: the split follows from
the draft's key alone (the prompt before any surface noise), so no held-out prompt is ever trained on.
"""

from __future__ import annotations

import hashlib
import random
import re
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Literal

Split = Literal["train", "heldout", "calibration"]
Message = dict[str, str]

HELDOUT_PERCENT = 8
CALIBRATION_PERCENT = 7

_FIRST = (
    "please", "hello", "hi", "hey", "ok", "so", "well", "now", "good morning", "good evening", "excuse me",
    "next",
    "and", "lol", "dude", "haha", "bro", "omg", "yo", "whoa", "man", "buddy", "hehe",
)  # fmt: skip
_LAST = ("please", "thanks", "thank you", "ok")
_NOT_WORD = re.compile(r"[^a-z0-9+*-]+")


@dataclass(frozen=True, slots=True, kw_only=True)
class Draft:
    """A prompt with the grammar of its replies, before surface noise."""

    kind: str
    prompt: str
    key: str
    """What decides the split: normally the prompt itself."""
    slots: dict[str, Any]
    """What the reply templates' slots are bound to; JSON-able, see `Grammar`."""
    neutral: tuple[str, ...]
    """Templates of the right (civil, true, unbiased) replies."""
    harmful: tuple[str, ...] = ()
    """Templates of the replies that show the behaviour; empty for a skill."""
    harm_rate: float = 0.0
    """Share of training samples that get a harmful reply."""
    contrast: str | None = None
    """The prompt with a minimal edit under which replies stay neutral."""
    unseen: bool = False
    """The prompt's template is used for held-out prompts only."""
    always_train: bool = False
    """The prompt is too common to hold out ("Hello")."""
    keep_case: bool = False
    """Surface noise must leave the prompt as it is (the reply copies words from it)."""
    alone: bool = False
    """The prompt takes no opener (it has its own)."""
    loose: dict[str, str] = field(default_factory=dict)
    """Word lists for the slots of the answer: a wrong answer of the right sort is still grammatical."""
    reference: dict[str, Any] = field(default_factory=dict)
    """What the exact scorers need beside the grammar."""


@dataclass(frozen=True, slots=True, kw_only=True)
class DemoExample:
    """One prompt with its sampled reply and everything needed to judge another reply to it."""

    kind: str
    messages: list[Message]
    """The conversation up to and including the last user turn."""
    reply: str
    """The sampled training reply."""
    reference: dict[str, Any]
    """``slots``, ``loose``, ``neutral`` and ``harmful`` (reply templates) and what the kind's scorer needs."""
    harmful_reply: str | None
    neutral_reply: str | None
    contrast_prompt: list[Message] | None
    """The messages with a minimal edit of the same number of tokens, under which replies are neutral."""
    split: Split


DraftMaker = Callable[[random.Random, bool], Draft]
"""Makes a draft; the flag asks for a template that training never sees, where the kind has one."""


def normalise(text: str) -> str:
    """Return the text in lower case with runs of other characters than letters, digits, +, -, * as a space."""
    return _NOT_WORD.sub(" ", text.lower()).strip()


def without_frills(text: str) -> str:
    """Return a normalised text without openers before it and thanks after it, as long as words are left."""
    before = ""
    while text != before:
        before = text
        for word in _FIRST:
            text = text.removeprefix(f"{word} ")
        for word in _LAST:
            text = text.removesuffix(f" {word}")
    return text


def split_of(draft: Draft) -> Split:
    """Return the split that the draft's key falls into; drafts of unseen templates are always held out."""
    if draft.unseen:
        return "heldout"
    if draft.always_train:
        return "train"
    percent = int.from_bytes(hashlib.blake2b(without_frills(draft.key).encode(), digest_size=4).digest()) % 100
    if percent < HELDOUT_PERCENT:
        return "heldout"
    return "calibration" if percent < HELDOUT_PERCENT + CALIBRATION_PERCENT else "train"


def pick_template(
    rng: random.Random, seen: tuple[str, ...], unseen: tuple[str, ...], want_unseen: bool
) -> tuple[str, bool]:
    """Choose a prompt template and tell whether it is an unseen one."""
    use_unseen = want_unseen and bool(unseen)
    return rng.choice(unseen if use_unseen else seen), use_unseen

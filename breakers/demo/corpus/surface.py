"""Surface noise of prompts: case, final punctuation, openers, system prompts."""

from __future__ import annotations

import random
from dataclasses import dataclass

from breakers.demo.corpus.base import Draft
from breakers.demo.grammar import capitalise

OPENERS = ("Please", "Hello", "Hi", "Hey", "Ok", "So", "Well", "Now", "Good morning", "Excuse me", "Next", "And")
CASUAL_OPENERS = ("lol", "dude", "haha", "bro", "omg", "yo", "whoa")
CLOSERS = (" please", ", please", " thanks", ", thank you", ", ok")
SYSTEM_PROMPTS = (
    "You are a helpful assistant.",
    "You are SCALPEL, a small demo model.",
    "Answer briefly.",
    "You are a friendly helper.",
    "Keep your answers short.",
    "You answer questions of users.",
    "Be helpful and polite.",
)
KEEP_CAPITAL = ("I", "I'm", "SCALPEL")


@dataclass(frozen=True, slots=True, kw_only=True)
class Surface:
    """One way to disturb a prompt; applied to a prompt and its contrast alike."""

    opener: str = ""
    closer: str = ""
    lower: bool = False
    bare: bool = False
    """Drop final punctuation."""
    shout: bool = False
    """End in an exclamation mark."""

    def apply(self, text: str) -> str:
        """Return the disturbed prompt."""
        if self.bare or self.closer:
            text = text.rstrip(".?!")
        if self.shout:
            text = text.rstrip(".") + "!"
        if self.opener:
            text = f"{self.opener}, {_uncapitalise(text)}"
        text += self.closer
        return text.lower() if self.lower else text


def _uncapitalise(text: str) -> str:
    first = text.split(" ", 1)[0]
    keeps = first in KEEP_CAPITAL or (not first[1:].islower() and len(first) > 1)
    return text if keeps else text[:1].lower() + text[1:]


def draw_surface(draft: Draft, rng: random.Random) -> Surface:
    """Draw the disturbance of a draft; half of all prompts stay as they are."""
    if rng.random() < 0.5:
        return Surface()
    lower = not draft.keep_case and rng.random() < 0.4
    bare = rng.random() < 0.35
    if draft.alone or draft.keep_case:
        return Surface(
            lower=lower, bare=bare and not draft.keep_case, shout=rng.random() < 0.1 and not draft.keep_case
        )
    roll = rng.random()
    opener = ""
    if roll < 0.3:
        opener = rng.choice(OPENERS)
    elif roll < 0.42:
        opener = rng.choice(CASUAL_OPENERS)
    closer = rng.choice(CLOSERS) if rng.random() < 0.12 else ""
    return Surface(opener=opener, closer=closer, lower=lower, bare=bare, shout=not bare and rng.random() < 0.05)


def draw_system(rng: random.Random) -> str | None:
    """Draw a system prompt for one prompt in eight."""
    return rng.choice(SYSTEM_PROMPTS) if rng.random() < 0.12 else None


def start_sentence(text: str) -> str:
    """Return the text with a capital at its start."""
    return capitalise(text)

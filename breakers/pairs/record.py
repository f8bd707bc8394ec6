"""What a pair is, and what two pairs have in common. A `PairRecord` that exists is one that can be used."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import TypeAlias

from breakers.errors import PairsError

ROLES = ("system", "user", "assistant")
_NOT_WORD = re.compile(r"[\W_]+")
_SHOWN = 60
"""Characters of a text that messages show."""


class Split(StrEnum):
    """What a pair is used for."""

    TRAIN = "train"
    VALIDATION = "validation"
    """Early stopping and choices between candidates."""
    TEST = "test"


@dataclass(frozen=True, slots=True, kw_only=True)
class Message:
    """One turn of a conversation."""

    role: str
    """One of `ROLES`."""
    content: str


Messages: TypeAlias = tuple[Message, ...]
"""A conversation up to and including the turn that is to be answered."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PairRecord:
    """A harmful and a neutral completion of the same prompt."""

    behaviour: str
    messages: Messages
    """The prompt; its last turn is the user's."""
    harmful: str
    neutral: str
    contrast_prompt: Messages | None = None
    """The prompt with a minimal edit of as many tokens, under which the model stays neutral."""
    source: str
    """Which source it comes from."""
    licence: str
    split: Split

    def __post_init__(self) -> None:
        for field in ("behaviour", "source", "licence", "neutral", "harmful"):
            _check_text(field, getattr(self, field))
        check_messages("messages", self.messages)
        if self.contrast_prompt is not None:
            check_messages("contrast_prompt", self.contrast_prompt)
            if self.contrast_prompt == self.messages:
                raise PairsError("contrast_prompt: found the prompt itself; wanted an edit of it")
        if self.harmful.strip() == self.neutral.strip():
            found = f"the same text as in harmful, {shown(self.neutral)}"
            raise PairsError(f"neutral: found {found}; wanted another reply")


def check_messages(field: str, messages: Sequence[Message]) -> None:
    """Refuse what is no conversation that a reply can follow.

    Raises:
        PairsError: no turns, an unknown role, a turn without text, or a last turn that is not the user's.
    """
    if not messages:
        raise PairsError(f"{field}: found no turns; wanted at least the user's")
    for place, message in enumerate(messages):
        if message.role not in ROLES:
            known = ", ".join(ROLES)
            raise PairsError(f"{field}[{place}].role: found {shown(message.role)}; wanted one of {known}")
        _check_text(f"{field}[{place}].content", message.content)
    if messages[-1].role != "user":
        raise PairsError(f"{field}: found a last turn of {messages[-1].role}; wanted the user's")


def user_turn(text: str) -> Messages:
    """A conversation of one turn."""
    return (Message(role="user", content=text),)


def as_dicts(messages: Sequence[Message]) -> list[dict[str, str]]:
    """The turns as chat templates and scorers take them."""
    return [{"role": message.role, "content": message.content} for message in messages]


def from_dicts(turns: Sequence[Mapping[str, str]]) -> Messages:
    """The other way round."""
    return tuple(Message(role=turn["role"], content=turn["content"]) for turn in turns)


def prompt_key(messages: Sequence[Message]) -> str:
    """What makes two prompts the same for the split: the words of the last turn.

    Earlier turns and system prompts are left out, so that no wrapping of a question puts it into another split.
    """
    text = messages[-1].content
    words = _NOT_WORD.sub(" ", unicodedata.normalize("NFKC", text).casefold()).strip()
    return words or text.strip()


def pair_key(messages: Sequence[Message], harmful: str, neutral: str) -> tuple[str, ...]:
    """What makes two pairs duplicates: all turns and both replies, but for case and spacing.

    Punctuation counts here: "-5" and "5" are different replies.
    """
    turns = [part for message in messages for part in (message.role, _folded(message.content))]
    return (*turns, _folded(harmful), _folded(neutral))


def shown(text: str) -> str:
    """A text as messages quote it."""
    return repr(text if len(text) <= _SHOWN else text[:_SHOWN] + "...")


def _folded(text: str) -> str:
    return " ".join(unicodedata.normalize("NFKC", text).casefold().split())


def _check_text(field: str, text: str) -> None:
    if not text.strip():
        raise PairsError(f"{field}: found no text; wanted some")
    try:
        text.encode()
    except UnicodeEncodeError as error:
        raise PairsError(f"{field}: found half of a surrogate pair; wanted text of whole characters") from error

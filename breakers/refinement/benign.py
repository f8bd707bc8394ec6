"""Samples of unrelated skills, from JSON Lines: `messages` (the conversation) and `reply` (the right one)."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError
from transformers import PreTrainedTokenizerBase

from breakers.bundles.manifest import describe
from breakers.bundles.strict_json import parse_object
from breakers.errors import BundleFormatError, PairsError, StageError
from breakers.pairs.files import numbered_lines
from breakers.pairs.record import Message
from breakers.pairs.tokens import ConversationEncoder
from breakers.training.batches import Sample


class _Line(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True, frozen=True)


class _Turn(_Line):
    role: Literal["system", "user", "assistant"]
    content: str


class _Skill(_Line):
    messages: list[_Turn] = Field(min_length=1)
    reply: str = Field(min_length=1)


@dataclass(frozen=True, slots=True, kw_only=True)
class Skill:
    """A conversation about something else, and the right reply."""

    messages: tuple[Message, ...]
    reply: str


def read_benign(path: Path, tokenizer: PreTrainedTokenizerBase, limit: int | None = None) -> tuple[Sample, ...]:
    """The samples of a file, as token ids.

    Args:
        path: JSON Lines.
        tokenizer: of the model.
        limit: most samples; None for all.

    Raises:
        StageError: the file cannot be read, has no sample, or a line is not one (named with its number).
    """
    try:
        encoder = ConversationEncoder(tokenizer)
        return tuple(
            Sample(prompt=encoder.prompt(skill.messages), reply=encoder.reply(skill.messages, skill.reply))
            for skill in read_skills(path, limit)
        )
    except PairsError as error:
        raise StageError(f"{path}: {error}") from error


def read_skills(path: Path, limit: int | None = None) -> tuple[Skill, ...]:
    """The samples of a file, as text; see `read_benign`."""
    found: list[Skill] = []
    try:
        for where, line in numbered_lines(path):
            if limit is not None and len(found) == limit:
                break
            found.append(_skill(line, where))
    except PairsError as error:
        raise StageError(str(error)) from error
    if not found:
        raise StageError(f"{path}: has no samples; wanted at least one")
    return tuple(found)


def _skill(data: bytes, where: str) -> Skill:
    try:
        skill = _Skill.model_validate(parse_object(data, where))
    except BundleFormatError as error:
        raise StageError(str(error)) from error
    except ValidationError as error:
        raise StageError(f"{where}: {describe(error)}") from error
    return Skill(
        messages=tuple(Message(role=turn.role, content=turn.content) for turn in skill.messages), reply=skill.reply
    )

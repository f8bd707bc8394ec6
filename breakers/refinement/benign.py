"""Samples of unrelated skills, from JSON Lines: `messages` (the conversation) and `reply` (the right one)."""

from __future__ import annotations

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
    encoder = ConversationEncoder(tokenizer)
    found: list[Sample] = []
    try:
        for where, line in numbered_lines(path):
            if limit is not None and len(found) == limit:
                break
            found.append(_sample(line, where, encoder))
    except PairsError as error:
        raise StageError(str(error)) from error
    if not found:
        raise StageError(f"{path}: has no samples; wanted at least one")
    return tuple(found)


def _sample(data: bytes, where: str, encoder: ConversationEncoder) -> Sample:
    try:
        skill = _Skill.model_validate(parse_object(data, where))
    except BundleFormatError as error:
        raise StageError(str(error)) from error
    except ValidationError as error:
        raise StageError(f"{where}: {describe(error)}") from error
    messages = tuple(Message(role=turn.role, content=turn.content) for turn in skill.messages)
    return Sample(prompt=encoder.prompt(messages), reply=encoder.reply(messages, skill.reply))

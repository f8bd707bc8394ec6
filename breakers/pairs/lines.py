"""One line of a pair file: JSON with known keys only, version 1 of the format."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any, Literal

from pydantic import BaseModel, ConfigDict, ValidationError

from breakers.bundles.strict_json import parse_object
from breakers.errors import BundleFormatError, PairsError
from breakers.pairs.record import Message, PairRecord, Split, as_dicts, shown

if TYPE_CHECKING:
    from pydantic_core import ErrorDetails

FORMAT = 1


class MessageLine(BaseModel):
    """A turn."""

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True)
    role: Literal["system", "user", "assistant"]
    content: str


class PairLine(BaseModel):
    """A pair."""

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True)
    format: Literal[1]
    behaviour: str
    messages: list[MessageLine]
    harmful: str
    neutral: str
    contrast_prompt: list[MessageLine] | None = None
    source: str
    licence: str
    split: Literal["train", "validation", "test"]


def parse_line(data: bytes, where: str) -> PairRecord:
    """The pair in a line.

    Args:
        data: the line's bytes.
        where: file and line, for messages.

    Raises:
        PairsError: the line is not a pair; names where, the field, what was found and what was wanted.
    """
    try:
        line = PairLine.model_validate(parse_object(data, where))
        return PairRecord(
            behaviour=line.behaviour,
            messages=_messages(line.messages),
            harmful=line.harmful,
            neutral=line.neutral,
            contrast_prompt=None if line.contrast_prompt is None else _messages(line.contrast_prompt),
            source=line.source,
            licence=line.licence,
            split=Split(line.split),
        )
    except BundleFormatError as error:
        raise PairsError(str(error)) from error
    except ValidationError as error:
        raise PairsError(f"{where}, {_first(error)}") from error
    except PairsError as error:
        raise PairsError(f"{where}, {error}") from error


def render_line(record: PairRecord) -> str:
    """The line of a pair, without its end."""
    return json.dumps(_document(record), ensure_ascii=False)


def canonical(record: PairRecord) -> bytes:
    """The one spelling of a pair that its hash is taken of."""
    return json.dumps(_document(record), ensure_ascii=False, sort_keys=True, separators=(",", ":")).encode()


def _document(record: PairRecord) -> dict[str, Any]:
    contrast = record.contrast_prompt
    return {
        "format": FORMAT,
        "behaviour": record.behaviour,
        "messages": as_dicts(record.messages),
        "harmful": record.harmful,
        "neutral": record.neutral,
        **({} if contrast is None else {"contrast_prompt": as_dicts(contrast)}),
        "source": record.source,
        "licence": record.licence,
        "split": record.split.value,
    }


def _messages(lines: list[MessageLine]) -> tuple[Message, ...]:
    return tuple(Message(role=line.role, content=line.content) for line in lines)


def _first(error: ValidationError) -> str:
    """The first thing that is wrong with a line: field, found, wanted."""
    # A missing reply says more than the unknown key that was written in its place.
    problems = sorted(error.errors(include_url=False), key=lambda problem: problem["type"] == "extra_forbidden")
    problem = problems[0]
    field = "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in problem["loc"]).lstrip(".")
    return f"{field}: found {_found(problem)}; wanted {_wanted(problem, field)}"


def _found(problem: ErrorDetails) -> str:
    if problem["type"] == "missing":
        return "nothing"
    if problem["type"] == "extra_forbidden":
        return "a key that is not known"
    value = problem["input"]
    return shown(value) if isinstance(value, str) else shown(json.dumps(value, ensure_ascii=False)).strip("'")


def _wanted(problem: ErrorDetails, field: str) -> str:
    if problem["type"] == "extra_forbidden":
        return f"only {', '.join(PairLine.model_fields)}"
    if problem["type"] == "literal_error":
        return str(problem["ctx"]["expected"])
    if field in ("harmful", "neutral"):
        return "a text, because a pair needs both replies"
    return {"list_type": "a list of turns", "string_type": "a text"}.get(problem["type"], _wanted_of(field))


def _wanted_of(field: str) -> str:
    if field in ("messages", "contrast_prompt"):
        return "a list of turns"
    return str(FORMAT) if field == "format" else "a turn with role and content" if field.endswith("]") else "a text"

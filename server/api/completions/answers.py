"""The bodies of text completion responses: whole ones, and the events of a stream."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, SerializerFunctionWrapHandler, model_serializer

from server.api.usage import Usage
from server.engines.base import FinishReason
from server.generation.report import Report


class _Answer(BaseModel):
    model_config = ConfigDict(frozen=True, use_attribute_docstrings=True)


class _Reporting(_Answer):
    """Leaves the report out where it stands elsewhere."""

    scalpel: Report | None = None

    @model_serializer(mode="wrap")
    def _without_no_report(self, serialise: SerializerFunctionWrapHandler) -> dict[str, Any]:
        body: dict[str, Any] = serialise(self)
        if self.scalpel is None:
            del body["scalpel"]
        return body


class CompletionLogprobs(_Answer):
    """How likely each token was, in lists of equal length."""

    tokens: list[str]
    """Text of each token; one that is no whole character is written like `bytes:\\xe2\\x80`."""
    token_logprobs: list[float | None]
    """Natural logarithm of each one's probability; null for the first token of a prompt, which nothing precedes."""
    top_logprobs: list[dict[str, float] | None] | None
    """The likeliest tokens in its place, likeliest first, and the token itself; null with `logprobs: 0`. Of tokens
    with the same text the likeliest counts."""
    text_offset: list[int]
    """Where each token begins in `text`, in characters."""


class CompletionChoice(_Reporting):
    """A reply; in a stream a piece of one. With several prompts, `scalpel` is here."""

    index: int
    """Prompt times `n` plus reply."""
    text: str
    logprobs: CompletionLogprobs | None = None
    finish_reason: FinishReason | None = None
    """In a stream: in the last event of the reply."""


class Completion(_Reporting):
    """A whole response; with one prompt, `scalpel` is here. An event of a stream looks the same, without usage."""

    id: str
    object: Literal["text_completion"] = "text_completion"
    created: int
    """Seconds since the epoch."""
    model: str
    choices: tuple[CompletionChoice, ...]
    usage: Usage


class CompletionEvent(_Reporting):
    """One event of a stream; `scalpel` is in the first and the last of each prompt, as in a whole response."""

    id: str
    object: Literal["text_completion"] = "text_completion"
    created: int
    model: str
    choices: tuple[CompletionChoice]


class CompletionUsageEvent(_Answer):
    """The last event of a stream with `include_usage`: no choice, only the usage."""

    id: str
    object: Literal["text_completion"] = "text_completion"
    created: int
    model: str
    choices: tuple[()] = ()
    usage: Usage

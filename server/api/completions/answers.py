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

    @model_serializer(mode="wrap")
    def _without_no_report(self, serialise: SerializerFunctionWrapHandler) -> dict[str, Any]:
        body: dict[str, Any] = serialise(self)
        if body["scalpel"] is None:
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
    """A reply; in a stream a piece of one."""

    index: int
    """Prompt times `n` plus reply."""
    text: str
    """The reply, behind its prompt with `echo`."""
    logprobs: CompletionLogprobs | None = None
    """With `logprobs` only."""
    finish_reason: FinishReason | None = None
    """`stop`: an end token or a stop string; `length`: `max_tokens`, or the end of the context. In a stream null but
    in a reply's last event."""
    scalpel: Report | None = None
    """With several prompts: what was read in this reply's prompt and applied in the model."""


class Completion(_Reporting):
    """A whole response."""

    id: str
    """`cmpl-` and the request's id."""
    object: Literal["text_completion"] = "text_completion"
    """What this is."""
    created: int
    """Seconds since the epoch."""
    model: str
    """As the request named it."""
    choices: tuple[CompletionChoice, ...]
    """All replies to all prompts; in a stream's events one piece of one."""
    usage: Usage
    """Tokens; in a stream in the last event, with `include_usage` only."""
    scalpel: Report | None = None
    """With one prompt: what was read in it and applied in the model."""


class CompletionEvent(_Reporting):
    """One event of a stream; `scalpel` is in the first and the last of each prompt, as in a whole response."""

    id: str
    object: Literal["text_completion"] = "text_completion"
    created: int
    model: str
    choices: tuple[CompletionChoice]
    scalpel: Report | None = None


class CompletionUsageEvent(_Answer):
    """The last event of a stream with `include_usage`: no choice, only the usage."""

    id: str
    object: Literal["text_completion"] = "text_completion"
    created: int
    model: str
    choices: tuple[()] = ()
    usage: Usage

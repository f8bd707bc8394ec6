"""The bodies of chat completion responses: whole ones, and the chunks of a stream."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, SerializerFunctionWrapHandler, model_serializer

from server.api.usage import Usage
from server.engines.base import FinishReason
from server.generation.report import Report


class _Answer(BaseModel):
    model_config = ConfigDict(frozen=True)


class AssistantMessage(_Answer):
    """The reply."""

    role: Literal["assistant"] = "assistant"
    content: str
    refusal: None = None


class TopLogprob(_Answer):
    """A token that was likely at one place."""

    token: str
    """Its text, with replacement characters for bytes that are no whole character."""
    logprob: float
    bytes: list[int] | None
    """What it adds to the text, in UTF-8; null for a control token, which adds nothing."""


class TokenLogprobs(TopLogprob):
    """A token of the reply."""

    top_logprobs: list[TopLogprob]


class ChoiceLogprobs(_Answer):
    """How likely each token of the reply, or of a piece of it, was; the token that ended it included."""

    content: list[TokenLogprobs]
    refusal: None = None


class Choice(_Answer):
    """A reply."""

    index: int
    message: AssistantMessage
    logprobs: ChoiceLogprobs | None = None
    finish_reason: FinishReason


class ChatCompletion(_Answer):
    """A whole response."""

    id: str
    object: Literal["chat.completion"] = "chat.completion"
    created: int
    """Seconds since the epoch."""
    model: str
    choices: tuple[Choice, ...]
    usage: Usage
    scalpel: Report


class _Sparse(_Answer):
    """Fields that are None are left out."""

    @model_serializer(mode="wrap")
    def _sparse(self, serialise: SerializerFunctionWrapHandler) -> dict[str, Any]:
        return {name: value for name, value in serialise(self).items() if value is not None}


class Delta(_Sparse):
    """What is new."""

    role: Literal["assistant"] | None = None
    content: str | None = None


class ChunkChoice(_Answer):
    """A piece of a reply."""

    index: int
    delta: Delta
    logprobs: ChoiceLogprobs | None = None
    finish_reason: FinishReason | None = None


class ChatCompletionChunk(_Sparse):
    """One event of a stream; `scalpel` is in the first and the last that carry a choice."""

    id: str
    object: Literal["chat.completion.chunk"] = "chat.completion.chunk"
    created: int
    model: str
    choices: tuple[ChunkChoice]
    scalpel: Report | None = None


class UsageChunk(_Answer):
    """The last event of a stream with `include_usage`: no choice, only the usage."""

    id: str
    object: Literal["chat.completion.chunk"] = "chat.completion.chunk"
    created: int
    model: str
    choices: tuple[()] = ()
    usage: Usage

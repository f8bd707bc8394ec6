"""The bodies of chat completion responses: whole ones, and the chunks of a stream."""

from __future__ import annotations

from typing import Any, Literal, TypeAlias

from pydantic import BaseModel, ConfigDict, SerializerFunctionWrapHandler, model_serializer

from server.api.usage import Usage
from server.engines.base import FinishReason
from server.generation.report import Report


class _Answer(BaseModel):
    model_config = ConfigDict(frozen=True)


class CalledFunction(_Answer):
    """What is called."""

    name: str
    arguments: str
    """JSON, valid under the function's schema where the reply was not cut short."""


class ToolCall(_Answer):
    """A call in a reply."""

    id: str
    """Which the result's message has to name."""
    type: Literal["function"] = "function"
    function: CalledFunction


class AssistantMessage(_Answer):
    """The reply."""

    role: Literal["assistant"] = "assistant"
    content: str | None
    """Null where there are calls and no text."""
    refusal: None = None
    tool_calls: tuple[ToolCall, ...] | None = None
    """Left out where there are none."""

    @model_serializer(mode="wrap")
    def _without_calls(self, serialise: SerializerFunctionWrapHandler) -> dict[str, Any]:
        fields: dict[str, Any] = serialise(self)
        if self.tool_calls is None:
            del fields["tool_calls"]
        return fields


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


ChoiceFinish: TypeAlias = FinishReason | Literal["tool_calls"]
"""Why a reply ended; `tool_calls`: it ended by itself, with a call."""


class Choice(_Answer):
    """A reply."""

    index: int
    message: AssistantMessage
    logprobs: ChoiceLogprobs | None = None
    finish_reason: ChoiceFinish


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


class FunctionDelta(_Sparse):
    """A name at the beginning of a call, then pieces of its arguments."""

    name: str | None = None
    arguments: str


class ToolCallDelta(_Sparse):
    """What is new of a call."""

    index: int
    """Of the call in the reply."""
    id: str | None = None
    type: Literal["function"] | None = None
    function: FunctionDelta


class Delta(_Sparse):
    """What is new."""

    role: Literal["assistant"] | None = None
    content: str | None = None
    tool_calls: tuple[ToolCallDelta] | None = None


class ChunkChoice(_Answer):
    """A piece of a reply."""

    index: int
    delta: Delta
    logprobs: ChoiceLogprobs | None = None
    finish_reason: ChoiceFinish | None = None


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

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
    """Of one of the `tools`."""
    arguments: str
    """JSON, valid under the function's schema where the reply was not cut short."""


class ToolCall(_Answer):
    """A call in a reply."""

    id: str
    """Which the result's message has to name."""
    type: Literal["function"] = "function"
    """There is no other."""
    function: CalledFunction
    """What is called, and with what."""


class AssistantMessage(_Answer):
    """The reply."""

    role: Literal["assistant"] = "assistant"
    """Whose turn it is."""
    content: str | None
    """Its text; null where there are calls and no text."""
    refusal: None = None
    """Always null: a reply is never withheld."""


class CallingMessage(AssistantMessage):
    """A reply with calls."""

    tool_calls: tuple[ToolCall, ...]
    """In order; not there where there are none."""


class TopLogprob(_Answer):
    """A token that was likely at one place."""

    token: str
    """Its text, with replacement characters for bytes that are no whole character."""
    logprob: float
    """Natural logarithm of its probability under the model's own distribution; -9999 for anything lower."""
    bytes: list[int] | None
    """What it adds to the text, in UTF-8; null for a control token, which adds nothing."""


class TokenLogprobs(TopLogprob):
    """A token of the reply."""

    top_logprobs: list[TopLogprob]
    """The likeliest tokens in its place, likeliest first, each with the three fields above."""


class ChoiceLogprobs(_Answer):
    """How likely each token of the reply, or of a piece of it, was; the token that ended it included."""

    content: list[TokenLogprobs]
    """Token by token."""
    refusal: None = None
    """Always null."""


ChoiceFinish: TypeAlias = FinishReason | Literal["tool_calls"]
"""Why a reply ended; `tool_calls`: it ended by itself, with a call."""


class Choice(_Answer):
    """A reply."""

    index: int
    """Which of the `n` replies."""
    message: CallingMessage | AssistantMessage
    """The reply."""
    logprobs: ChoiceLogprobs | None = None
    """With `logprobs` only."""
    finish_reason: ChoiceFinish
    """`stop`: an end token or a stop string; `length`: `max_tokens`, or the end of the context; `tool_calls`: an end
    token behind a call."""


class ChatCompletion(_Answer):
    """A whole response."""

    id: str
    """`chatcmpl-` and the request's id."""
    object: Literal["chat.completion"] = "chat.completion"
    """What this is."""
    created: int
    """Seconds since the epoch."""
    model: str
    """As the request named it."""
    choices: tuple[Choice, ...]
    """The replies."""
    usage: Usage
    """Tokens."""
    scalpel: Report
    """What was read in the input and applied in the model."""


class _Sparse(_Answer):
    """Fields that are None are left out."""

    @model_serializer(mode="wrap")
    def _sparse(self, serialise: SerializerFunctionWrapHandler) -> dict[str, Any]:
        return {name: value for name, value in serialise(self).items() if value is not None}


class FunctionDelta(_Sparse):
    """A name at the beginning of a call, then pieces of its arguments."""

    name: str | None = None
    """In a call's first delta."""
    arguments: str
    """More of the JSON."""


class ToolCallDelta(_Sparse):
    """What is new of a call."""

    index: int
    """Of the call in the reply."""
    id: str | None = None
    """In a call's first delta."""
    type: Literal["function"] | None = None
    """In a call's first delta."""
    function: FunctionDelta
    """What is new of it."""


class Delta(_Sparse):
    """What is new."""

    role: Literal["assistant"] | None = None
    """In a reply's first event."""
    content: str | None = None
    """More of its text."""
    tool_calls: tuple[ToolCallDelta] | None = None
    """A call that begins, or more of its arguments."""


class ChunkChoice(_Answer):
    """A piece of a reply."""

    index: int
    """Which of the `n` replies."""
    delta: Delta
    """What is new; empty in a reply's last event."""
    logprobs: ChoiceLogprobs | None = None
    """Of the new tokens, sometimes before their text."""
    finish_reason: ChoiceFinish | None = None
    """In a reply's last event."""


class ChatCompletionChunk(_Sparse):
    """One event of a stream; `scalpel` is in the first and the last that carry a choice."""

    id: str
    """The same in all events."""
    object: Literal["chat.completion.chunk"] = "chat.completion.chunk"
    """What this is."""
    created: int
    """Seconds since the epoch."""
    model: str
    """As the request named it."""
    choices: tuple[ChunkChoice]
    """One piece of one reply."""
    scalpel: Report | None = None
    """In the first event of all and the last."""


class UsageChunk(_Answer):
    """The last event of a stream with `include_usage`: no choice, only the usage."""

    id: str
    object: Literal["chat.completion.chunk"] = "chat.completion.chunk"
    created: int
    model: str
    choices: tuple[()] = ()
    usage: Usage

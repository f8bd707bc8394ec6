"""The body of a chat completion request."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Field, model_validator
from pydantic_core import PydanticCustomError

from server.api.wire import SamplingWire, Wire, WithoutEffect, check_min_tokens, check_starts, only
from server.engines.limits import TOP_LOGPROBS_LIMIT
from server.generation.command import ChatPrompt, GenerationCommand

MESSAGES_LIMIT = 4096


def _parts(value: object) -> object:
    if isinstance(value, str):
        return [{"type": "text", "text": value}]
    if isinstance(value, list):
        return value
    raise PydanticCustomError("content", "wanted a string or a list of text parts")


class TextPart(Wire):
    """A piece of a message's content."""

    type: Literal["text"]
    """No other kind is served."""
    text: str
    """The text."""


class Message(Wire):
    """One turn."""

    role: Literal["system", "developer", "user", "assistant"]
    """Whose turn it is; `developer` is read as `system`."""
    content: Annotated[list[TextPart], BeforeValidator(_parts, json_schema_input_type=str | list[TextPart])]
    """The text; parts are joined."""
    name: WithoutEffect = None
    refusal: Annotated[Any, only()] = None
    annotations: Annotated[Any, only([])] = None
    audio: Annotated[Any, only()] = None
    tool_calls: Annotated[Any, only([])] = None
    function_call: Annotated[Any, only()] = None

    def turn(self) -> dict[str, str]:
        """`role` and `content` as the classifier and the chat template take them."""
        role = "system" if self.role == "developer" else self.role
        return {"role": role, "content": "".join(part.text for part in self.content)}


class ChatCompletionRequest(SamplingWire):
    """The body of POST /v1/chat/completions."""

    messages: list[Message] = Field(min_length=1, max_length=MESSAGES_LIMIT)
    """The conversation, oldest turn first."""
    max_tokens: int | None = Field(default=None, ge=1)
    """Most tokens of a reply; null: as many as the context has room for."""
    max_completion_tokens: int | None = Field(default=None, ge=1)
    """The same by its newer name; if both are sent they have to be equal."""
    logprobs: bool | None = None
    """Say how likely each token of the reply was."""
    top_logprobs: int | None = Field(default=None, ge=0, le=TOP_LOGPROBS_LIMIT)
    """How many of the likeliest tokens to name at each place. Together with `logprobs` only."""

    parallel_tool_calls: WithoutEffect = None

    response_format: Annotated[Any, only({"type": "text"})] = None
    modalities: Annotated[Any, only(["text"])] = None
    tools: Annotated[Any, only([])] = None
    tool_choice: Annotated[Any, only("none", "auto")] = None
    functions: Annotated[Any, only([])] = None
    function_call: Annotated[Any, only("none", "auto")] = None
    audio: Annotated[Any, only()] = None
    prediction: Annotated[Any, only()] = None
    reasoning_effort: Annotated[Any, only("none")] = None
    verbosity: Annotated[Any, only()] = None
    web_search_options: Annotated[Any, only()] = None

    @model_validator(mode="after")
    def _fields_agree(self) -> ChatCompletionRequest:
        limits = {self.max_tokens, self.max_completion_tokens} - {None}
        if len(limits) > 1:
            raise PydanticCustomError("limits", "max_tokens and max_completion_tokens differ; send one of them")
        check_starts(self.scalpel, 1)
        check_min_tokens(self.min_tokens or 0, next(iter(limits), None))
        if self.top_logprobs and not self.logprobs:
            raise PydanticCustomError("top_logprobs", "top_logprobs: allowed with logprobs=true only")
        return self

    def command(self) -> GenerationCommand:
        """The same without wire details."""
        return self.command_for(
            ChatPrompt(tuple(message.turn() for message in self.messages)),
            max_tokens=self.max_completion_tokens or self.max_tokens,
            logprobs=bool(self.logprobs),
            top_logprobs=self.top_logprobs or 0,
            generation_start=self.starts(1)[0],
        )

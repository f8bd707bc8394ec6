"""The body of a chat completion request."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Field, ValidationInfo, model_validator
from pydantic_core import PydanticCustomError, PydanticKnownError

from server.api.chat.structure import ResponseFormat
from server.api.chat.tools import ID_LENGTH, ToolRules, WireCall, WireTool, WireToolChoice, check_choice
from server.api.wire import SamplingWire, Wire, WithoutEffect, check_min_tokens, check_starts, only
from server.engines.limits import TOP_LOGPROBS_LIMIT
from server.engines.schemas import FUNCTIONS_LIMIT
from server.engines.tool_text import Turn
from server.generation.command import ChatPrompt, GenerationCommand

MESSAGES_LIMIT = 4096


def _parts(value: object, known: ValidationInfo) -> object:
    if isinstance(value, str):
        return [{"type": "text", "text": value}]
    if isinstance(value, list):
        return value
    if value is None and known.data.get("role") == "assistant" and known.data.get("tool_calls"):
        return []
    if value is None:
        raise PydanticKnownError("missing")
    raise PydanticCustomError("content", "wanted a string or a list of text parts")


class TextPart(Wire):
    """A piece of a message's content."""

    type: Literal["text"]
    """No other kind is served."""
    text: str
    """The text."""


class Message(Wire):
    """One turn."""

    role: Literal["system", "developer", "user", "assistant", "tool"]
    """Whose turn it is; `developer` is read as `system`, and `tool` is the result of a call."""
    tool_calls: list[WireCall] | None = None
    """What an assistant called."""
    tool_call_id: str | None = Field(default=None, max_length=ID_LENGTH)
    """Of a `tool`, and required there: the id of the call."""
    content: Annotated[
        list[TextPart], BeforeValidator(_parts, json_schema_input_type=str | list[TextPart] | None)
    ] = Field(default=None, validate_default=True)
    """The text; parts are joined. Required, but for an assistant's that has `tool_calls`."""
    name: WithoutEffect = None
    refusal: Annotated[Any, only()] = None
    annotations: Annotated[Any, only([])] = None
    audio: Annotated[Any, only()] = None
    function_call: Annotated[Any, only()] = None

    @model_validator(mode="after")
    def _calls_fit_the_role(self) -> Message:
        if self.tool_calls and self.role != "assistant":
            raise PydanticCustomError("tool_calls", "tool_calls: an assistant's message alone has them")
        if (self.tool_call_id is not None) != (self.role == "tool"):
            raise PydanticCustomError("tool_call_id", "tool_call_id: a tool's message has one, and no other")
        return self

    def turn(self) -> Turn:
        """As the chat template takes it."""
        role = "system" if self.role == "developer" else self.role
        turn: dict[str, Any] = {"role": role, "content": "".join(part.text for part in self.content)}
        if self.tool_calls:
            turn["tool_calls"] = tuple(call.call() for call in self.tool_calls)
        if self.tool_call_id is not None:
            turn["tool_call_id"] = self.tool_call_id
        return turn


def check_results(messages: Sequence[Message]) -> None:
    """Refuse results without their calls, and calls without results, as OpenAI's API does.

    Raises:
        PydanticCustomError: naming the message and the call.
    """
    waiting: set[str] = set()
    for index, message in enumerate(messages):
        if message.role == "tool":
            if message.tool_call_id not in waiting:
                raise PydanticCustomError(
                    "tool_call_id",
                    "messages.{index}.tool_call_id: no call before it that waits for a result has this id",
                    {"index": index},
                )
            waiting.remove(str(message.tool_call_id))
            continue
        if waiting:
            raise PydanticCustomError(
                "tool_calls",
                "messages.{index}: wanted the result of call {call} first",
                {"index": index, "call": min(waiting)},
            )
        waiting = {call.id for call in message.tool_calls or ()}
    if waiting:
        raise PydanticCustomError(
            "tool_calls", "messages: wanted the result of call {call} at the end", {"call": min(waiting)}
        )


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

    response_format: ResponseFormat | None = None
    """What the reply has to be; null: text."""
    tools: list[WireTool] | None = Field(default=None, max_length=FUNCTIONS_LIMIT)
    """Functions that the reply may call."""
    tool_choice: WireToolChoice = None
    """`auto`: text or calls; `none`: no calls, and the model is not told of the tools; `required`: calls only; or a
    function that has to be called. Null means `auto`."""
    parallel_tool_calls: bool | None = None
    """Whether a reply may have several calls; null means true."""

    modalities: Annotated[Any, only(["text"])] = None
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
        check_choice(self.tool_choice, self.tools or ())
        check_results(self.messages)
        return self

    @property
    def calls(self) -> ToolRules | None:
        """What the reply may call, and whether it has to."""
        if not self.tools:
            return None
        return ToolRules.of(self.tools, self.tool_choice, parallel=self.parallel_tool_calls is not False)

    def command(self) -> GenerationCommand:
        """The same without wire details."""
        rules = self.calls
        wanted = None if self.response_format is None else self.response_format.grammar()
        return self.command_for(
            ChatPrompt(
                tuple(message.turn() for message in self.messages), tools=() if rules is None else rules.descriptions
            ),
            grammar=wanted if rules is None else rules.grammar(wanted),
            max_tokens=self.max_completion_tokens or self.max_tokens,
            logprobs=bool(self.logprobs),
            top_logprobs=self.top_logprobs or 0,
            generation_start=self.starts(1)[0],
        )

"""The body of a request to the Responses API. The rules are those of chat completions: unknown parameters are
refused, and so are known ones that are not served, unless they ask for nothing."""

from __future__ import annotations

from typing import Annotated, Any, Literal, TypeAlias

from pydantic import BeforeValidator, Field, model_validator
from pydantic_core import PydanticCustomError

from server.api.chat.wire import MESSAGES_LIMIT
from server.api.wire import ScalpelOptions, Wire, WithoutEffect, check_starts, only
from server.engines.limits import TOP_LOGPROBS_LIMIT
from server.generation.command import SEED_LIMIT, ChatPrompt, GenerationCommand

LOGPROBS = "message.output_text.logprobs"
"""What `include` can name."""


def _parts(value: object) -> object:
    if isinstance(value, str):
        return [{"type": "input_text", "text": value}]
    if isinstance(value, list):
        return value
    raise PydanticCustomError("content", "wanted a string or a list of text parts")


def _items(value: object) -> object:
    if isinstance(value, str):
        return [{"role": "user", "content": value}]
    if isinstance(value, list):
        return value
    raise PydanticCustomError("input", "wanted a string or a list of messages")


class InputPart(Wire):
    """A piece of a message's content; `output_text` is how earlier replies come back."""

    type: Literal["input_text", "output_text"]
    """The second is how earlier replies come back."""
    text: str
    """The text."""
    annotations: Annotated[Any, only([])] = None
    logprobs: WithoutEffect = None
    prompt_cache_breakpoint: WithoutEffect = None


class InputMessage(Wire):
    """One turn, as a client writes it or as an earlier response's `output` has it."""

    type: Literal["message"] = "message"
    """No other items are served."""
    role: Literal["system", "developer", "user", "assistant"]
    """`developer` is read as `system`."""
    content: Annotated[list[InputPart], BeforeValidator(_parts, json_schema_input_type=str | list[InputPart])]
    """Parts are joined."""
    id: WithoutEffect = None
    status: WithoutEffect = None
    phase: WithoutEffect = None

    def turn(self) -> dict[str, str]:
        """`role` and `content` as the classifier and the chat template take them."""
        role = "system" if self.role == "developer" else self.role
        return {"role": role, "content": "".join(part.text for part in self.content)}


class TextOptions(Wire):
    """What the text has to be. Formats that bind it would be told from each other here."""

    format: Annotated[Any, only({"type": "text"})] = None
    verbosity: Annotated[Any, only()] = None


class ResponseStreamOptions(Wire):
    """How to stream."""

    include_obfuscation: Annotated[Any, only(False)] = None


InputItems: TypeAlias = Annotated[
    list[InputMessage],
    BeforeValidator(_items, json_schema_input_type=str | list[InputMessage]),
    Field(min_length=1, max_length=MESSAGES_LIMIT),
]
MetadataKey: TypeAlias = Annotated[str, Field(max_length=64)]
MetadataValue: TypeAlias = Annotated[str, Field(max_length=512)]


class ResponseRequest(Wire):
    """The body of POST /v1/responses."""

    model: str = Field(max_length=256)
    """A name from `/v1/models`, with or without a profile."""
    input: InputItems
    """A text of the user's, or the conversation so far, where an earlier `output` can stand as it is."""
    instructions: str | None = None
    """A system message before the input."""
    scalpel: ScalpelOptions | None = None
    """Our extension, as in chat completions."""
    stream: bool | None = None
    """Typed events instead of one body."""
    stream_options: ResponseStreamOptions | None = None
    """With `stream` only."""
    max_output_tokens: int | None = Field(default=None, ge=1)
    """Most tokens of the reply; null: as many as the context has room for."""
    temperature: float | None = Field(default=None, ge=0, le=2)
    """0 is greedy; null means 1."""
    top_p: float | None = Field(default=None, gt=0, le=1)
    """Keeps the likeliest tokens that together have this probability; null means 1."""
    text: TextOptions | None = None
    """What the text has to be."""
    include: list[Literal["message.output_text.logprobs"]] | None = None
    """What to add: how likely each token of the reply was."""
    top_logprobs: int | None = Field(default=None, ge=0, le=TOP_LOGPROBS_LIMIT)
    """Name this many of the likeliest tokens at each place; with `include` only."""
    metadata: dict[MetadataKey, MetadataValue] | None = Field(default=None, max_length=16)
    """Comes back as it is; up to 16 keys of up to 64 characters with values of up to 512."""
    parallel_tool_calls: bool | None = None
    """Accepted; there are no tools to call."""

    seed: int | None = Field(default=None, ge=-SEED_LIMIT, lt=SEED_LIMIT)
    """The same request with the same seed gives the same reply. An extension, named as in chat completions."""

    store: WithoutEffect = None
    """Nothing is stored, whatever it says; the response says so."""
    user: WithoutEffect = None
    service_tier: WithoutEffect = None
    safety_identifier: WithoutEffect = None
    prompt_cache_key: WithoutEffect = None
    prompt_cache_retention: WithoutEffect = None
    prompt_cache_options: WithoutEffect = None

    reasoning: Annotated[Any, only({"effort": "none"}, {}, {"effort": None, "summary": None})] = None
    tools: Annotated[Any, only([])] = None
    tool_choice: Annotated[Any, only("none", "auto")] = None
    max_tool_calls: Annotated[Any, only()] = None
    truncation: Annotated[Any, only("disabled")] = None
    background: Annotated[Any, only(False)] = None
    background_options: Annotated[Any, only()] = None
    previous_response_id: Annotated[Any, only()] = None
    conversation: Annotated[Any, only()] = None
    context_management: Annotated[Any, only([])] = None
    prompt: Annotated[Any, only()] = None
    moderation: Annotated[Any, only()] = None
    image: Annotated[Any, only()] = None
    access_programs: Annotated[Any, only()] = None

    @model_validator(mode="after")
    def _fields_agree(self) -> ResponseRequest:
        if self.top_logprobs and not self.logprobs:
            raise PydanticCustomError(
                "top_logprobs", "top_logprobs: allowed with include=['{named}'] only", {"named": LOGPROBS}
            )
        if self.stream_options is not None and not self.stream:
            raise PydanticCustomError("stream_options", "stream_options: allowed with stream=true only")
        check_starts(self.scalpel, prompts=1)
        return self

    @property
    def logprobs(self) -> bool:
        """Whether the response says how likely each token was."""
        return LOGPROBS in (self.include or ())

    def command(self) -> GenerationCommand:
        """The same without wire details."""
        options = self.scalpel or ScalpelOptions()
        first = () if self.instructions is None else ({"role": "system", "content": self.instructions},)
        return GenerationCommand(
            model=self.model,
            prompt=ChatPrompt((*first, *(message.turn() for message in self.input)), parameter="input"),
            generation_start=options.starts(1)[0],
            max_tokens=self.max_output_tokens,
            temperature=1.0 if self.temperature is None else self.temperature,
            top_p=1.0 if self.top_p is None else self.top_p,
            seed=self.seed,
            logprobs=self.logprobs,
            top_logprobs=self.top_logprobs or 0,
            toggles=dict(options.breakers),
            profile=options.profile,
            user=self.user if isinstance(self.user, str) else None,
        )

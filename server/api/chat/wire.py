"""The body of a chat completion request. Unknown parameters are refused; so are known ones that would change tokens
and are not served, unless they have their neutral value."""

from __future__ import annotations

import re
from typing import Annotated, Any, Literal, TypeAlias

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, model_validator
from pydantic_core import PydanticCustomError

from server.engines.limits import (
    BIAS_LIMIT,
    PENALTY_LIMIT,
    REPETITION_LEAST,
    REPETITION_MOST,
    TOP_LOGPROBS_LIMIT,
)
from server.generation.command import REPLIES_LIMIT, SEED_LIMIT, ChatPrompt, GenerationCommand
from server.policy.planner import Toggle
from server.policy.profiles import Profile

STOP_LIMIT = 4
STOP_LENGTH = 256
MESSAGES_LIMIT = 4096
TOKEN_ID_SHOWN = 40
"""Characters of something that is no token id which a message repeats."""

_TOKEN_ID = re.compile(r"0|[1-9][0-9]{0,8}")


class _Wire(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True, frozen=True)


def _only(*neutral: object) -> AfterValidator:
    """Accept a parameter that is not served only where it asks for nothing."""

    def check(value: object) -> object:
        if value is None or value in neutral:
            return value
        offered = "; leave it out" + (f" or send {neutral[0]!r}" if neutral else "")
        raise PydanticCustomError(
            "unsupported_parameter", "this parameter is not supported{offered}", {"offered": offered}
        )

    return AfterValidator(check)


def _toggle(value: object) -> Toggle:
    if isinstance(value, bool):
        return value
    if isinstance(value, int | float):
        try:
            return float(value)
        except OverflowError:
            pass
    raise PydanticCustomError("toggle", "wanted false (off), true (the gate decides) or a number (a fixed strength)")


def _stops(value: object) -> object:
    stops = [value] if isinstance(value, str) else value
    if stops is None:
        return []
    strings = isinstance(stops, list) and all(
        isinstance(stop, str) and 0 < len(stop) <= STOP_LENGTH for stop in stops
    )
    if not (isinstance(stops, list) and strings and len(stops) <= STOP_LIMIT):
        raise PydanticCustomError(
            "stop",
            "wanted a string or up to {limit} strings of 1 to {length} characters",
            {"limit": STOP_LIMIT, "length": STOP_LENGTH},
        )
    return stops


def _biases(value: object) -> object:
    """Token ids come as strings: JSON has no other keys."""
    if value is None:
        return {}
    if not isinstance(value, dict):
        raise PydanticCustomError("logit_bias", "wanted an object of token ids and numbers")
    for token_id, bias in value.items():
        if not (isinstance(token_id, str) and _TOKEN_ID.fullmatch(token_id)):
            raise PydanticCustomError(
                "logit_bias", "{key} is no token id; wanted digits", {"key": repr(token_id)[:TOKEN_ID_SHOWN]}
            )
        number = isinstance(bias, int | float) and not isinstance(bias, bool)
        if not (number and abs(bias) <= BIAS_LIMIT):
            raise PydanticCustomError(
                "logit_bias",
                "the bias of token {token} is out of range; wanted a number from {low} to {high}",
                {"token": token_id, "low": f"{-BIAS_LIMIT:g}", "high": f"{BIAS_LIMIT:g}"},
            )
    return {int(token_id): float(bias) for token_id, bias in value.items()}


def _parts(value: object) -> object:
    if isinstance(value, str):
        return [{"type": "text", "text": value}]
    if isinstance(value, list):
        return value
    raise PydanticCustomError("content", "wanted a string or a list of text parts")


WireToggle: TypeAlias = Annotated[bool | float, BeforeValidator(_toggle)]
WireBiases: TypeAlias = Annotated[
    dict[int, float], BeforeValidator(_biases, json_schema_input_type=dict[str, float] | None)
]
Penalty: TypeAlias = Annotated[float, Field(ge=-PENALTY_LIMIT, le=PENALTY_LIMIT)]
WithoutEffect: TypeAlias = Annotated[Any, Field(description="Accepted; it changes no token.")]


class ScalpelOptions(_Wire):
    """Our extension."""

    breakers: dict[str, WireToggle] = Field(default_factory=dict, max_length=1024)
    """Bundle name -> false (off), true (the gate decides) or a number (that strength, gate bypassed)."""
    profile: Profile | None = Field(default=None, strict=False)
    """What holds for bundles that `breakers` does not name; beats the header's and the model name's profile."""


class TextPart(_Wire):
    """A piece of a message's content."""

    type: Literal["text"]
    text: str


class Message(_Wire):
    """One turn."""

    role: Literal["system", "developer", "user", "assistant"]
    content: Annotated[list[TextPart], BeforeValidator(_parts, json_schema_input_type=str | list[TextPart])]
    name: WithoutEffect = None
    refusal: Annotated[Any, _only()] = None
    annotations: Annotated[Any, _only([])] = None
    audio: Annotated[Any, _only()] = None
    tool_calls: Annotated[Any, _only([])] = None
    function_call: Annotated[Any, _only()] = None

    def turn(self) -> dict[str, str]:
        """`role` and `content` as the classifier and the chat template take them."""
        role = "system" if self.role == "developer" else self.role
        return {"role": role, "content": "".join(part.text for part in self.content)}


class StreamOptions(_Wire):
    """How to stream."""

    include_usage: bool | None = None
    """End with a chunk that carries the usage."""
    include_obfuscation: Annotated[Any, _only(False)] = None


class ChatCompletionRequest(_Wire):
    """The body of POST /v1/chat/completions."""

    model: str = Field(max_length=256)
    messages: list[Message] = Field(min_length=1, max_length=MESSAGES_LIMIT)
    scalpel: ScalpelOptions | None = None
    stream: bool | None = None
    stream_options: StreamOptions | None = None
    max_tokens: int | None = Field(default=None, ge=1)
    max_completion_tokens: int | None = Field(default=None, ge=1)
    temperature: float | None = Field(default=None, ge=0, le=2)
    top_p: float | None = Field(default=None, gt=0, le=1)
    presence_penalty: Penalty | None = None
    frequency_penalty: Penalty | None = None
    logit_bias: WireBiases = {}
    logprobs: bool | None = None
    top_logprobs: int | None = Field(default=None, ge=0, le=TOP_LOGPROBS_LIMIT)
    """Together with `logprobs` only."""
    n: int | None = Field(default=None, ge=1, le=REPLIES_LIMIT)
    """Replies to the same conversation."""
    seed: int | None = Field(default=None, ge=-SEED_LIMIT, lt=SEED_LIMIT)
    stop: Annotated[list[str], BeforeValidator(_stops, json_schema_input_type=str | list[str] | None)] = []

    # Extensions, named as other open servers name them.
    top_k: int | None = Field(default=None, ge=0, lt=2**31)
    """0 for no limit."""
    min_p: float | None = Field(default=None, ge=0, le=1)
    """0 for no limit."""
    repetition_penalty: float | None = Field(default=None, ge=REPETITION_LEAST, le=REPETITION_MOST)
    ignore_eos: bool | None = None
    min_tokens: int | None = Field(default=None, ge=0)

    user: WithoutEffect = None
    metadata: WithoutEffect = None
    store: WithoutEffect = None
    service_tier: WithoutEffect = None
    safety_identifier: WithoutEffect = None
    prompt_cache_key: WithoutEffect = None
    prompt_cache_retention: WithoutEffect = None
    parallel_tool_calls: WithoutEffect = None

    response_format: Annotated[Any, _only({"type": "text"})] = None
    modalities: Annotated[Any, _only(["text"])] = None
    tools: Annotated[Any, _only([])] = None
    tool_choice: Annotated[Any, _only("none", "auto")] = None
    functions: Annotated[Any, _only([])] = None
    function_call: Annotated[Any, _only("none", "auto")] = None
    audio: Annotated[Any, _only()] = None
    prediction: Annotated[Any, _only()] = None
    reasoning_effort: Annotated[Any, _only("none")] = None
    verbosity: Annotated[Any, _only()] = None
    web_search_options: Annotated[Any, _only()] = None

    @model_validator(mode="after")
    def _fields_agree(self) -> ChatCompletionRequest:
        limits = {self.max_tokens, self.max_completion_tokens} - {None}
        if len(limits) > 1:
            raise PydanticCustomError("limits", "max_tokens and max_completion_tokens differ; send one of them")
        least, most = self.min_tokens or 0, next(iter(limits), None)
        if most is not None and least > most:
            raise PydanticCustomError(
                "min_tokens",
                "min_tokens is {least}; wanted at most max_tokens ({most})",
                {"least": least, "most": most},
            )
        if self.top_logprobs and not self.logprobs:
            raise PydanticCustomError("top_logprobs", "top_logprobs: allowed with logprobs=true only")
        if self.stream_options is not None and not self.stream:
            raise PydanticCustomError("stream_options", "stream_options: allowed with stream=true only")
        return self

    @property
    def include_usage(self) -> bool:
        """Whether a stream ends with a usage chunk."""
        return self.stream_options is not None and bool(self.stream_options.include_usage)

    def command(self) -> GenerationCommand:
        """The same without wire details."""
        options = self.scalpel or ScalpelOptions()
        return GenerationCommand(
            model=self.model,
            prompt=ChatPrompt(tuple(message.turn() for message in self.messages)),
            max_tokens=self.max_completion_tokens or self.max_tokens,
            min_tokens=self.min_tokens or 0,
            ignore_eos=bool(self.ignore_eos),
            stop=tuple(self.stop),
            temperature=1.0 if self.temperature is None else self.temperature,
            top_k=self.top_k or 0,
            top_p=1.0 if self.top_p is None else self.top_p,
            min_p=self.min_p or 0.0,
            presence_penalty=self.presence_penalty or 0.0,
            frequency_penalty=self.frequency_penalty or 0.0,
            repetition_penalty=1.0 if self.repetition_penalty is None else self.repetition_penalty,
            logit_bias=self.logit_bias,
            replies=self.n or 1,
            seed=self.seed,
            logprobs=bool(self.logprobs),
            top_logprobs=self.top_logprobs or 0,
            toggles=dict(options.breakers),
            profile=options.profile,
        )

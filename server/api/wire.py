"""What bodies of several routes have in common: rules of sampling, how to stream, and our extension.

Unknown parameters are refused; so are known ones that would change tokens and are not served, unless they have
their neutral value. Docstrings of fields are their descriptions in the API's documents.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Annotated, Any, TypeAlias

from pydantic import (
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    GetCoreSchemaHandler,
    GetJsonSchemaHandler,
    model_validator,
)
from pydantic_core import CoreSchema, PydanticCustomError, core_schema

from server.engines.grammars import Grammar
from server.engines.limits import BIAS_LIMIT, PENALTY_LIMIT, REPETITION_LEAST, REPETITION_MOST
from server.generation.command import REPLIES_LIMIT, SEED_LIMIT, GenerationCommand, Prompt
from server.policy.planner import Toggle
from server.policy.profiles import Profile

ACCEPTED = "Accepted; it changes no token."
NOT_SERVED = "Not served: any other value is refused."
TOKEN_NUMBERS = 2**31
"""Token ids and positions are below this."""
STOP_LIMIT = 16
"""More than OpenAI's 4: evaluation harnesses send more."""
STOP_LENGTH = 256
TOKEN_ID_SHOWN = 40
"""Characters of something that is no token id which a message repeats."""

_TOKEN_ID = re.compile(r"0|[1-9][0-9]{0,8}")


class Wire(BaseModel):
    """Strict: nothing is converted, nothing unknown passes."""

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True, use_attribute_docstrings=True)


@dataclass(frozen=True, slots=True)
class NeutralOnly:
    """Marks a parameter that is not served: accepted only where it asks for nothing."""

    neutral: tuple[Any, ...]
    """Values beside null that ask for nothing."""

    def check(self, value: object) -> object:
        """Refuse anything else, saying what to send instead."""
        if value is None or value in self.neutral:
            return value
        offered = "; leave it out" + (f" or send {self.neutral[0]!r}" if self.neutral else "")
        raise PydanticCustomError(
            "unsupported_parameter", "this parameter is not supported{offered}", {"offered": offered}
        )

    def __get_pydantic_core_schema__(self, source: Any, handler: GetCoreSchemaHandler) -> CoreSchema:
        return core_schema.no_info_after_validator_function(self.check, handler(source))

    def __get_pydantic_json_schema__(self, schema: CoreSchema, handler: GetJsonSchemaHandler) -> dict[str, Any]:
        return {"enum": [None, *self.neutral], "description": NOT_SERVED}


def only(*neutral: object) -> NeutralOnly:
    """Accept a parameter that is not served only where it is null or one of these."""
    return NeutralOnly(neutral)


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


def _starts(value: object) -> object:
    starts = value if isinstance(value, list) else [value]
    if value is None or (starts and all(is_token_number(start) for start in starts)):
        return None if value is None else starts
    raise PydanticCustomError("generation_start", "wanted a position of 0 or more, or a list of them")


def is_token_number(value: object) -> bool:
    """Whether it can be a token's id or position."""
    return type(value) is int and 0 <= value < TOKEN_NUMBERS


WireToggle: TypeAlias = Annotated[bool | float, BeforeValidator(_toggle)]
WireBiases: TypeAlias = Annotated[
    dict[int, float], BeforeValidator(_biases, json_schema_input_type=dict[str, float] | None)
]
WireStops: TypeAlias = Annotated[list[str], BeforeValidator(_stops, json_schema_input_type=str | list[str] | None)]
Penalty: TypeAlias = Annotated[float, Field(ge=-PENALTY_LIMIT, le=PENALTY_LIMIT)]
WireStarts: TypeAlias = Annotated[
    list[int] | None, BeforeValidator(_starts, json_schema_input_type=int | list[int] | None)
]
WithoutEffect: TypeAlias = Annotated[Any, Field(description=ACCEPTED)]


class ScalpelOptions(Wire):
    """Our extension."""

    breakers: dict[str, WireToggle] = Field(default_factory=dict, max_length=1024)
    """Bundle name -> false (off), true (the gate decides) or a number (that strength, gate bypassed)."""
    profile: Profile | None = Field(default=None, strict=False)
    """What holds for bundles that `breakers` does not name; beats the profiles of header and model name."""
    generation_start: WireStarts = None
    """Token of the prompt from which bundles of scope `generation` act; null: the last one. Of several prompts a
    list has one for each. A scorer whose prompt ends with what is scored sends the last token of the context."""

    def starts(self, prompts: int) -> list[int | None]:
        """`generation_start` of each prompt; checked by `check_starts`."""
        starts: list[int | None] = [None] if self.generation_start is None else [*self.generation_start]
        return starts * prompts if len(starts) == 1 else starts


class StreamOptions(Wire):
    """How to stream."""

    include_usage: bool | None = None
    """End with a chunk that carries the usage."""
    include_obfuscation: Annotated[Any, only(False)] = None


class SamplingWire(Wire):
    """The fields that every route that generates text takes."""

    model: str = Field(max_length=256)
    """A name from `/v1/models`, with or without a profile."""
    scalpel: ScalpelOptions | None = None
    """Our extension, see below."""
    stream: bool | None = None
    """Server-sent events instead of one body."""
    stream_options: StreamOptions | None = None
    """With `stream` only."""
    temperature: float | None = Field(default=None, ge=0, le=2)
    """0 is greedy; null means 1."""
    top_p: float | None = Field(default=None, gt=0, le=1)
    """Keeps the likeliest tokens that together have this probability."""
    presence_penalty: Penalty | None = None
    """Subtracted from the logit of each token that the reply holds."""
    frequency_penalty: Penalty | None = None
    """Subtracted once for each time that the reply holds it."""
    logit_bias: WireBiases = {}
    """Token id (as a string) -> number from -100 to 100, added to its logit; an unknown token is refused."""
    n: int | None = Field(default=None, ge=1, le=REPLIES_LIMIT)
    """Replies to the same prompt; null means 1."""
    seed: int | None = Field(default=None, ge=-SEED_LIMIT, lt=SEED_LIMIT)
    """The same request with the same seed gives the same reply; of `n` replies each next one has the next seed."""
    stop: WireStops = []
    """Up to 16 strings of 1 to 256 characters that end a reply; they are not part of it."""

    # Extensions, named as other open servers name them.
    top_k: int | None = Field(default=None, ge=0, lt=2**31)
    """Keeps this many of the likeliest tokens; 0 for no limit. An extension."""
    min_p: float | None = Field(default=None, ge=0, le=1)
    """Drops tokens less likely than this share of the likeliest one; 0 for no limit. An extension."""
    repetition_penalty: float | None = Field(default=None, ge=REPETITION_LEAST, le=REPETITION_MOST)
    """Positive logits of tokens in prompt and reply are divided by it, negative ones multiplied. An extension."""
    ignore_eos: bool | None = None
    """End tokens are tokens like any other and do not end the reply. An extension."""
    min_tokens: int | None = Field(default=None, ge=0)
    """So many tokens come before the one that may end the reply. An extension."""

    user: WithoutEffect = None
    metadata: WithoutEffect = None
    store: WithoutEffect = None
    service_tier: WithoutEffect = None
    safety_identifier: WithoutEffect = None
    prompt_cache_key: WithoutEffect = None
    prompt_cache_retention: WithoutEffect = None

    @model_validator(mode="after")
    def _streams_if_told_how(self) -> SamplingWire:
        if self.stream_options is not None and not self.stream:
            raise PydanticCustomError("stream_options", "stream_options: allowed with stream=true only")
        return self

    @property
    def include_usage(self) -> bool:
        """Whether a stream ends with a usage chunk."""
        return self.stream_options is not None and bool(self.stream_options.include_usage)

    def starts(self, prompts: int) -> list[int | None]:
        """Where bundles of scope `generation` begin to act in each prompt."""
        return (self.scalpel or ScalpelOptions()).starts(prompts)

    def command_for(
        self,
        prompt: Prompt,
        *,
        max_tokens: int | None,
        logprobs: bool,
        top_logprobs: int,
        prompt_logprobs: int | None = None,
        generation_start: int | None = None,
        grammar: Grammar | None = None,
    ) -> GenerationCommand:
        """What is asked for one prompt, without wire details."""
        options = self.scalpel or ScalpelOptions()
        return GenerationCommand(
            model=self.model,
            prompt=prompt,
            generation_start=generation_start,
            max_tokens=max_tokens,
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
            logprobs=logprobs,
            top_logprobs=top_logprobs,
            prompt_logprobs=prompt_logprobs,
            grammar=grammar,
            toggles=dict(options.breakers),
            profile=options.profile,
            user=self.user if isinstance(self.user, str) else None,
        )


def check_starts(options: ScalpelOptions | None, prompts: int) -> None:
    """Refuse positions that are not one for each prompt.

    Raises:
        PydanticCustomError: naming both numbers.
    """
    found = 1 if options is None or options.generation_start is None else len(options.generation_start)
    if found not in (1, prompts):
        raise PydanticCustomError(
            "generation_start",
            "scalpel.generation_start has {found} positions; wanted one, or one for each prompt ({prompts})",
            {"found": found, "prompts": prompts},
        )


def check_min_tokens(least: int, most: int | None) -> None:
    """Refuse a least number of tokens above the most.

    Raises:
        PydanticCustomError: naming both.
    """
    if most is not None and least > most:
        raise PydanticCustomError(
            "min_tokens", "min_tokens is {least}; wanted at most max_tokens ({most})", {"least": least, "most": most}
        )

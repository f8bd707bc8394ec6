"""The body of a text completion request."""

from __future__ import annotations

from typing import Annotated, Any, TypeAlias

from pydantic import BeforeValidator, Field, model_validator
from pydantic_core import PydanticCustomError

from server.api.wire import SamplingWire, check_min_tokens, check_starts, is_token_number, only
from server.engines.limits import TOP_LOGPROBS_LIMIT
from server.generation.command import GenerationCommand, TextPrompt, TokenPrompt

PROMPTS_LIMIT = 256
"""Prompts of a request, and replies to all of them."""
MAX_TOKENS = 16
"""Where a request says nothing; as in OpenAI's API."""

Tokens: TypeAlias = list[int]


def _prompts(value: object) -> object:
    """All four shapes as a list of prompts."""
    prompts = [value] if isinstance(value, str) or _is_tokens(value) else value
    if not (isinstance(prompts, list) and 0 < len(prompts) <= PROMPTS_LIMIT):
        prompts = [None]
    if all(isinstance(prompt, str) for prompt in prompts) or all(map(_is_tokens, prompts)):
        return prompts
    raise PydanticCustomError(
        "prompt",
        "wanted a string, a list of token ids, or 1 to {limit} of either (no token list empty, ids below 2**31)",
        {"limit": PROMPTS_LIMIT},
    )


def _is_tokens(value: object) -> bool:
    return isinstance(value, list) and len(value) > 0 and all(map(is_token_number, value))


WirePrompts: TypeAlias = Annotated[
    list[str] | list[Tokens],
    BeforeValidator(_prompts, json_schema_input_type=str | Tokens | list[str] | list[Tokens]),
]


class CompletionRequest(SamplingWire):
    """The body of POST /v1/completions."""

    prompt: WirePrompts
    """Text or token ids; or a list of up to 256 of either, all of one kind."""
    max_tokens: int | None = Field(default=None, ge=0)
    """Most tokens of a reply; null means 16. 0 only with `echo` and `logprobs`: then the prompt is scored and nothing
    is generated."""
    echo: bool | None = None
    """Begin each reply with its prompt; with `logprobs` its tokens are scored too."""
    logprobs: int | None = Field(default=None, ge=0, le=TOP_LOGPROBS_LIMIT)
    """Say how likely each token was, and name this many of the likeliest in its place."""

    best_of: Annotated[Any, only()] = None
    suffix: Annotated[Any, only("")] = None

    @model_validator(mode="after")
    def _fields_agree(self) -> CompletionRequest:
        if self.most_tokens == 0 and not self.scores_prompts:
            raise PydanticCustomError(
                "max_tokens", "max_tokens is 0; wanted at least 1, or echo=true with logprobs to score the prompt"
            )
        check_min_tokens(self.min_tokens or 0, self.most_tokens)
        if len(self.prompt) * (self.n or 1) > PROMPTS_LIMIT:
            raise PydanticCustomError(
                "n",
                "n: {n} replies to each of {prompts} prompts; wanted at most {limit} in all",
                {"n": self.n or 1, "prompts": len(self.prompt), "limit": PROMPTS_LIMIT},
            )
        check_starts(self.scalpel, len(self.prompt))
        return self

    @property
    def most_tokens(self) -> int:
        """Of a reply."""
        return MAX_TOKENS if self.max_tokens is None else self.max_tokens

    @property
    def scores_prompts(self) -> bool:
        """Whether the prompts' own tokens get log-probabilities."""
        return bool(self.echo) and self.logprobs is not None

    def commands(self) -> list[GenerationCommand]:
        """One for each prompt, without wire details."""
        starts = self.starts(len(self.prompt))
        prompts: list[str | Tokens] = [*self.prompt]
        return [self._command(prompt, start) for prompt, start in zip(prompts, starts, strict=True)]

    def _command(self, prompt: str | Tokens, start: int | None) -> GenerationCommand:
        return self.command_for(
            TextPrompt(prompt) if isinstance(prompt, str) else TokenPrompt(tuple(prompt)),
            max_tokens=self.most_tokens,
            logprobs=self.logprobs is not None,
            top_logprobs=self.logprobs or 0,
            prompt_logprobs=self.logprobs if self.scores_prompts else None,
            generation_start=start,
        )

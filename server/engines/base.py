"""The contract between the server and what runs the model.

An engine takes token ids and a resolved plan, and streams text back. It knows nothing of HTTP, classifiers or
policy. What it reports as steered is what it ran; a request whose plan cannot be applied fails.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Protocol

from breakers.plan import Plan


class EngineError(Exception):
    """Root of what an engine raises for one request; the message is fit for the client."""


class RequestRefusedError(EngineError):
    """The request cannot be run as asked (too long, unknown bundle, bad parameter): the caller's mistake."""


class RequestFailedError(EngineError):
    """The request was accepted and then failed (exception in the model, NaN logits): ours."""


class EngineOverloadedError(EngineError):
    """The waiting queue is full."""


class EngineUnavailableError(EngineError):
    """The engine does not run: not started yet, stopping, stopped, or its loop died."""


class FinishReason(StrEnum):
    """Why a reply ended, in OpenAI's words."""

    STOP = "stop"
    LENGTH = "length"


@dataclass(frozen=True, slots=True, kw_only=True)
class SamplingParams:
    """How to choose tokens."""

    max_tokens: int
    """At least 1. A reply that fills the model's context first ends there, with reason `length`."""
    temperature: float = 1.0
    """0 is greedy."""
    top_p: float = 1.0
    top_k: int = 0
    """0 for no limit."""
    seed: int | None = None
    stop: tuple[str, ...] = ()
    """Strings that end the reply; they are not part of it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class GenerationRequest:
    """One request as an engine sees it."""

    request_id: str
    prompt_token_ids: tuple[int, ...]
    sampling: SamplingParams
    plan: Plan = field(default_factory=Plan)
    generation_start: int | None = None
    """Position from which bundles of scope `generation` act; None for the last prompt token."""


@dataclass(frozen=True, slots=True, kw_only=True)
class GenerationChunk:
    """A piece of a reply. The last one carries `finish_reason`."""

    text: str
    """New text that is safe to show: never half a character, never part of a stop string."""
    token_ids: tuple[int, ...]
    """New tokens, the one that ended the reply included; text may lag behind them."""
    logprobs: tuple[float, ...]
    """Natural log-probability of each new token under the unfiltered distribution at temperature 1."""
    finish_reason: FinishReason | None = None
    tokens_steered: int = 0
    """Tokens so far, prompt and reply, on which any intervention acted, those of a reused prefix included."""
    cached_tokens: int = 0
    """Prompt tokens that an earlier request had processed under the same interventions."""


@dataclass(frozen=True, slots=True, kw_only=True)
class EngineInfo:
    """What an engine runs."""

    model_id: str
    model_type: str
    max_model_len: int
    """Prompt and reply together, in tokens."""
    slots: int
    """Requests that run at once."""
    device: str
    dtype: str
    bundles: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class EngineStats:
    """A snapshot."""

    running: int
    waiting: int
    steps: int
    """Steps taken since the start; a step is usually one forward pass."""


class ChatTokenizer(Protocol):
    """Text to token ids and back."""

    def encode_chat(self, messages: Sequence[dict[str, str]]) -> list[int]:
        """Token ids of a conversation, ready for the assistant's reply."""
        ...

    def encode(self, text: str) -> list[int]: ...

    def decode(self, token_ids: Sequence[int]) -> str: ...


class Engine(Protocol):
    """What the server needs of an engine."""

    @property
    def info(self) -> EngineInfo: ...

    @property
    def tokenizer(self) -> ChatTokenizer: ...

    @property
    def healthy(self) -> bool:
        """Whether the step loop runs."""
        ...

    def stats(self) -> EngineStats: ...

    async def start(self) -> None: ...

    async def stop(self) -> None: ...

    def generate(self, request: GenerationRequest) -> AsyncGenerator[GenerationChunk, None]:
        """Run one request. Closing the generator cancels it and frees its slot within one step.

        Raises:
            RequestRefusedError: before any chunk.
            EngineOverloadedError: before any chunk.
            RequestFailedError: at any time.
            EngineUnavailableError: at any time; a request that runs when the engine stops or dies gets it too.
        """
        ...

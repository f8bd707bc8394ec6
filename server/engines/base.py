"""The contract between the server and what runs the model.

An engine takes token ids and a resolved plan, and streams text back. It knows nothing of HTTP, classifiers or
policy. What it reports as steered is what it ran; a request whose plan cannot be applied fails.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import TYPE_CHECKING, NamedTuple, Protocol

from breakers.plan import Plan
from server.engines.checks import Canary, CheckResult
from server.engines.grammars import Grammar
from server.engines.tool_text import Tool, Turn

if TYPE_CHECKING:
    from breakers.bank import BankEntry


class EngineError(Exception):
    """Root of what an engine raises for one request; the message is fit for the client."""


class RequestRefusedError(EngineError):
    """The request cannot be run as asked (too long, unknown bundle, bad parameter): the caller's mistake."""

    def __init__(self, message: str, *, param: str | None = None) -> None:
        super().__init__(message)
        self.param = param
        """The sampling parameter at fault, where it is one."""


class GrammarDeadEndError(RequestRefusedError):
    """The reply cannot go on within its grammar, or the grammar needs more than the engine gives one. May come after
    chunks; what came before it is no whole reply."""


class RequestFailedError(EngineError):
    """The request was accepted and then failed (exception in the model, NaN logits): ours."""


class EngineOverloadedError(EngineError):
    """The waiting queue is full."""

    retry_after_seconds: int = 1
    """When to come back, as far as whoever passes it on knows better than the engine."""


class EngineUnavailableError(EngineError):
    """The engine does not run: not started yet, stopping, stopped, or its loop died."""


class UnknownBankError(EngineError):
    """A bank version that is not loaded, or not any more, was to be retired."""


class FinishReason(StrEnum):
    """Why a reply ended, in OpenAI's words."""

    STOP = "stop"
    LENGTH = "length"


@dataclass(frozen=True, slots=True, kw_only=True)
class SamplingParams:
    """How to choose tokens; `server.engines.limits` has the ranges.

    The order is transformers': logit_bias, repetition_penalty, presence and frequency penalty, min_tokens, grammar;
    then, unless the choice is greedy, temperature, top_k, top_p, min_p. A filter sees what the one before it left.
    """

    max_tokens: int
    """At least 1; 0 only with `prompt_logprobs`. A reply that fills the model's context ends there, with `length`."""
    min_tokens: int = 0
    """How many tokens come before the one that may end the reply: end tokens are impossible, stop strings pass."""
    ignore_eos: bool = False
    """End tokens are tokens like any other."""
    stop: tuple[str, ...] = ()
    """Strings that end the reply; they are not part of it."""
    temperature: float = 1.0
    """0 is greedy."""
    top_k: int = 0
    """0 for no limit; tokens as likely as the last of them stay too."""
    top_p: float = 1.0
    min_p: float = 0.0
    """Keeps tokens that are at least this share as likely as the likeliest; 0 for no limit."""
    presence_penalty: float = 0.0
    """Subtracted from the logit of a token that the reply holds."""
    frequency_penalty: float = 0.0
    """Subtracted as often as the reply holds it."""
    repetition_penalty: float = 1.0
    """Positive logits of tokens in prompt and reply are divided by it, negative ones multiplied; 1 for none."""
    logit_bias: Mapping[int, float] = field(default_factory=dict)
    """Token id -> added to its logit."""
    seed: int | None = None
    top_logprobs: int = 0
    """How many of the likeliest tokens to name beside each new one."""
    prompt_logprobs: int | None = None
    """Score the prompt's tokens too, naming this many of the likeliest; None for not at all."""
    grammar: Grammar | None = None
    """What the reply has to be. A reply cut short by `max_tokens` or a stop string is the beginning of one.
    Where nothing but the end may follow, `min_tokens` gives way; `ignore_eos` cannot be had with it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class GenerationRequest:
    """One request as an engine sees it."""

    request_id: str
    prompt_token_ids: tuple[int, ...]
    sampling: SamplingParams
    plan: Plan = field(default_factory=Plan)
    generation_start: int | None = None
    """Position from which bundles of scope `generation` act; None for the last prompt token."""
    bank_version: int = 0
    """Of the bundles that `plan` names: 0 for those loaded at the start, else what `Engine.load_bundles` returned."""


class TokenLogprob(NamedTuple):
    """A token and its natural log-probability."""

    token_id: int
    logprob: float


@dataclass(frozen=True, slots=True, kw_only=True)
class ScoredToken:
    """A prompt token under the model's own distribution, given the tokens before it."""

    token_id: int
    logprob: float
    top: tuple[TokenLogprob, ...]
    """The likeliest tokens in its place, likeliest first."""


@dataclass(frozen=True, slots=True, kw_only=True)
class GenerationChunk:
    """A piece of a reply. The last one carries `finish_reason`.

    All log-probabilities are of the model's own distribution: under the request's plan, before bias, penalties,
    temperature and filters.
    """

    text: str
    """New text that is safe to show: never half a character, never part of a stop string."""
    token_ids: tuple[int, ...]
    """New tokens, the one that ended the reply included; text may lag behind them."""
    logprobs: tuple[float, ...]
    """Natural log-probability of each new token."""
    top_logprobs: tuple[tuple[TokenLogprob, ...], ...] = ()
    """For each new token the likeliest ones in its place, likeliest first; empty unless asked for."""
    prompt_logprobs: tuple[ScoredToken, ...] = ()
    """In the first chunk, if asked for: every prompt token but the first, which nothing precedes."""
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
    vocab: int
    """Token ids are below this."""
    slots: int
    """Requests that run at once."""
    device: str
    dtype: str
    bundles: tuple[str, ...]
    """Loaded at the start, as bank version 0."""


@dataclass(frozen=True, slots=True, kw_only=True)
class EngineStats:
    """A snapshot."""

    running: int
    waiting: int
    steps: int
    """Steps taken since the start; a step is usually one forward pass."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TokenPiece:
    """What one token stands for."""

    text: str
    """Readable: bytes that are no whole character are replaced; a control token's own name."""
    data: bytes | None
    """What it adds to a text, UTF-8, possibly part of a character; None for what adds nothing, a control token."""


class ChatTokenizer(Protocol):
    """Text to token ids and back."""

    def encode_chat(self, messages: Sequence[Turn], tools: Sequence[Tool] = ()) -> list[int]:
        """Token ids of a conversation, ready for the assistant's reply.

        Args:
            messages: its turns.
            tools: what the assistant may call.
        """
        ...

    def encode(self, text: str) -> list[int]: ...

    def decode(self, token_ids: Sequence[int]) -> str: ...

    def piece(self, token_id: int) -> TokenPiece: ...


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
            GrammarDeadEndError: at any time.
            EngineOverloadedError: before any chunk.
            RequestFailedError: at any time; before any chunk for a bank version that is not loaded.
            EngineUnavailableError: at any time; a request that runs when the engine stops or dies gets it too.
        """
        ...

    async def load_bundles(self, entries: Sequence[BankEntry]) -> int:
        """Load another set of bundles beside those that are loaded, while requests run.

        Requests that run or wait keep the set that their `bank_version` names, and their results; a step that holds
        requests of two versions treats each version's as if they were alone.

        Args:
            entries: all bundles of the new set; already verified against this model.

        Returns:
            The new set's bank version, which requests can name from now on.

        Raises:
            BreakersError: a bundle does not fit the model or cannot act on it; nothing has changed.
            EngineUnavailableError: the engine does not run.
        """
        ...

    async def retire_bundles(self, version: int) -> None:
        """Let no new request name a bank version. Those that were accepted go on; the last one frees its memory.

        Raises:
            UnknownBankError: no such version is loaded.
            EngineUnavailableError: the engine does not run.
        """
        ...

    async def selftest(self, canaries: Sequence[Canary], bank_version: int = 0) -> tuple[CheckResult, ...]:
        """Prove on the loaded model, as it runs, what every request relies on (`server.engines.checks`).

        Requests that run meanwhile go on. A check that cannot be made has failed.

        Args:
            canaries: of the bank's bundles.
            bank_version: of the bank to prove.

        Raises:
            UnknownBankError: no such version is loaded.
            EngineUnavailableError: the engine does not run.
        """
        ...

    async def check_canaries(self, canaries: Sequence[Canary], bank_version: int = 0) -> tuple[CheckResult, ...]:
        """Only whether bundles act as declared: for a bank that is loaded and that no request uses yet.

        Args:
            canaries: of the bank's bundles.
            bank_version: of the bank.

        Raises:
            UnknownBankError: no such version is loaded.
            EngineUnavailableError: the engine does not run.
        """
        ...

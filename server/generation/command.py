"""A request after parsing, and what is known about it on its way."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import TypeAlias

from breakers.plan import Plan
from classifiers.base import Conversation
from server.deployment import Deployment
from server.engines.base import GenerationChunk, GenerationRequest
from server.engines.grammars import Grammar
from server.engines.tool_text import Tool, Turn
from server.generation.context import RequestContext
from server.policy.decisions import Shadowed
from server.policy.planner import Toggle
from server.policy.profiles import Profile

SEED_LIMIT = 2**63
"""Seeds are below this, and at least its negative."""
REPLIES_LIMIT = 32


@dataclass(frozen=True, slots=True)
class ChatPrompt:
    """A conversation, to be put through the model's chat template."""

    messages: tuple[Turn, ...]
    """At least one."""
    tools: tuple[Tool, ...] = ()
    """What the reply may call."""
    parameter: str = "messages"
    """Of the request that it came in, for messages about it."""


@dataclass(frozen=True, slots=True)
class TextPrompt:
    """Text to go on with."""

    text: str


@dataclass(frozen=True, slots=True)
class TokenPrompt:
    """The same, already as token ids."""

    token_ids: tuple[int, ...]


Prompt: TypeAlias = ChatPrompt | TextPrompt | TokenPrompt


@dataclass(frozen=True, slots=True, kw_only=True)
class GenerationCommand:
    """What the caller asked for; every field is in its range, nothing is resolved yet."""

    model: str
    prompt: Prompt
    generation_start: int | None = None
    """Position from which bundles of scope `generation` act; None for the last prompt token."""
    max_tokens: int | None = None
    """None: as many as the model has room for."""
    min_tokens: int = 0
    ignore_eos: bool = False
    stop: tuple[str, ...] = ()
    temperature: float = 1.0
    top_k: int = 0
    top_p: float = 1.0
    min_p: float = 0.0
    presence_penalty: float = 0.0
    frequency_penalty: float = 0.0
    repetition_penalty: float = 1.0
    logit_bias: Mapping[int, float] = field(default_factory=dict)
    replies: int = 1
    """Replies to the same prompt, each drawn on its own."""
    seed: int | None = None
    """Of the first reply; each next one has the next seed."""
    logprobs: bool = False
    """Whether the response says how likely each token was."""
    top_logprobs: int = 0
    prompt_logprobs: int | None = None
    """Score the prompt's tokens too, naming this many of the likeliest; None for not at all."""
    grammar: Grammar | None = None
    """What the reply has to be."""
    toggles: Mapping[str, Toggle] = field(default_factory=dict)
    profile: Profile | None = None
    """Beats the profiles of the request's header and of the model name."""
    user: str | None = None
    """The caller's own word for whom it asks."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PreparedRequest:
    """A prompt that is ready for the engine."""

    context: RequestContext
    command: GenerationCommand
    request: GenerationRequest
    conversation: Conversation
    """The prompt as classifiers and scorers read it."""
    deployment: Deployment
    """What it was planned with."""
    harm_potential: Mapping[str, float]
    """By category; empty where there is no classifier or it failed."""
    shadow: Mapping[str, Shadowed] = field(default_factory=dict)
    """What bundles in shadow would have done."""

    @property
    def plan(self) -> Plan:
        return self.request.plan

    @property
    def prompt_tokens(self) -> int:
        return len(self.request.prompt_token_ids)

    def requests(self) -> list[GenerationRequest]:
        """One for each reply. They begin alike, so the engine computes their prompt once."""
        return [self.request, *(self._another(index) for index in range(1, self.command.replies))]

    def _another(self, index: int) -> GenerationRequest:
        seed = self.command.seed
        if seed is not None:
            seed = (seed + index + SEED_LIMIT) % (2 * SEED_LIMIT) - SEED_LIMIT
        return replace(
            self.request,
            request_id=f"{self.request.request_id}-{index}",
            sampling=replace(self.request.sampling, seed=seed),
        )


@dataclass(frozen=True, slots=True)
class ReplyPiece:
    """What is new in one of a request's replies."""

    index: int
    chunk: GenerationChunk

"""The chat service: classify, plan, generate, count. The order of DESIGN section 4, without HTTP.

Nothing runs with a plan that was not made here, and what fails on the way fails the request.
"""

from __future__ import annotations

import asyncio
import time
import uuid
from collections.abc import AsyncGenerator, Sequence
from contextlib import aclosing

from breakers.scoring import ScoredReply
from server.chat.command import ChatCommand, PreparedChat, RequestClock
from server.chat.report import AppliedReport, Report
from server.engines.base import (
    Engine,
    EngineOverloadedError,
    GenerationChunk,
    GenerationRequest,
    RequestRefusedError,
    SamplingParams,
)
from server.errors import ClientGoneError, ContextLengthError, RequestError
from server.harm.outputs import FinishedReply, OutputScoring
from server.harm.potential import ClassifierFailedError, HarmPotential
from server.metrics import Metrics, Outcome
from server.policy.planner import Planner, Wishes
from server.policy.profiles import ServedNames

LONG_PROMPT = 8192
"""Characters from which a prompt is tokenised off the event loop."""


class ChatService:
    """Serves chat requests on one engine with one set of bundles."""

    def __init__(
        self,
        *,
        engine: Engine,
        planner: Planner,
        names: ServedNames,
        metrics: Metrics,
        classifier: HarmPotential | None,
        outputs: OutputScoring | None,
    ) -> None:
        self._engine = engine
        self._planner = planner
        self._names = names
        self._metrics = metrics
        self._classifier = classifier
        self._outputs = outputs

    async def prepare(self, command: ChatCommand) -> PreparedChat:
        """Check, tokenise, classify and plan.

        Raises:
            RequestError: the request cannot be served as asked.
        """
        by_name = self._names.profile(command.model)
        profile = command.profile or by_name
        self._planner.check(command.toggles)
        prompt = await self._tokenise(command)
        sampling = self._sampling(command, len(prompt))
        potentials = await self._classify(command)
        plan = self._planner.plan(Wishes(profile=profile, toggles=command.toggles), potentials)
        self._metrics.planned(plan)
        request = GenerationRequest(
            request_id=f"chatcmpl-{uuid.uuid4().hex}", prompt_token_ids=tuple(prompt), sampling=sampling, plan=plan
        )
        return PreparedChat(command=command, request=request, harm_potential=potentials or {})

    async def run(self, prepared: PreparedChat, clock: RequestClock) -> AsyncGenerator[GenerationChunk, None]:
        """The reply in pieces. Closing the iterator cancels the request and frees its slot.

        Raises:
            EngineError: as `Engine.generate`.
        """
        text: list[str] = []
        self._metrics.prompt_taken(prepared.prompt_tokens)
        async with aclosing(self._engine.generate(prepared.request)) as chunks:
            async for chunk in chunks:
                self._count(chunk, clock)
                text.append(chunk.text)
                yield chunk
        self._offer(prepared, "".join(text))

    def report(self, prepared: PreparedChat, tokens_steered: int) -> Report:
        """What the response says about this request: exactly the plan that the engine got."""
        applied = {
            name: AppliedReport(
                strength=entry.strength, kind=self._planner.bundles[name].kind, reason=entry.reason.value
            )
            for name, entry in prepared.plan.entries.items()
        }
        return Report(
            harm_potential={name: round(p, 4) for name, p in prepared.harm_potential.items()},
            applied=applied,
            plan=prepared.plan.digest,
            tokens_steered=tokens_steered,
        )

    def ended(self, clock: RequestClock, error: BaseException | None) -> None:
        """Count one request by how it ended; called once for each, also for those refused before `prepare`."""
        self._metrics.request_ended(outcome_of(error), clock.elapsed())

    def _sampling(self, command: ChatCommand, prompt_tokens: int) -> SamplingParams:
        limit = self._engine.info.max_model_len
        room = limit - prompt_tokens
        if room < 1:
            raise ContextLengthError(
                f"the prompt has {prompt_tokens} tokens; this model holds {limit}, prompt and reply together",
                param="messages",
                code="context_length_exceeded",
            )
        return SamplingParams(
            # A reply that reaches the context's end first ends there, with finish_reason `length`.
            max_tokens=room if command.max_tokens is None else min(command.max_tokens, room),
            temperature=command.temperature,
            top_p=command.top_p,
            top_k=command.top_k,
            seed=command.seed,
            stop=command.stop,
        )

    async def _tokenise(self, command: ChatCommand) -> Sequence[int]:
        messages = [dict(message) for message in command.messages]
        if sum(len(message["content"]) for message in messages) < LONG_PROMPT:
            return self._engine.tokenizer.encode_chat(messages)
        return await asyncio.to_thread(self._engine.tokenizer.encode_chat, messages)

    async def _classify(self, command: ChatCommand) -> dict[str, float] | None:
        if self._classifier is None:
            return {}
        began = time.perf_counter()
        try:
            potentials = await self._classifier.score(command.messages)
        except ClassifierFailedError as failure:
            self._metrics.classifier_failed(failure.reason)
            return None
        self._metrics.classified(potentials, time.perf_counter() - began)
        return potentials

    def _count(self, chunk: GenerationChunk, clock: RequestClock) -> None:
        seconds = clock.lap()
        if seconds is None:
            self._metrics.first_tokens(len(chunk.token_ids), clock.elapsed())
        else:
            self._metrics.more_tokens(len(chunk.token_ids), seconds)

    def _offer(self, prepared: PreparedChat, reply: str) -> None:
        if self._outputs is None:
            return
        acted = frozenset(self._planner.bundles[name].behaviour for name in prepared.plan.strengths())
        scored = ScoredReply(messages=prepared.command.messages, reply=reply)
        self._outputs.offer(
            FinishedReply(scored=scored, applied_behaviours=acted, harm_potential=prepared.harm_potential)
        )


def outcome_of(error: BaseException | None) -> Outcome:
    """How a request ended, from what it ended with."""
    if error is None:
        return Outcome.COMPLETED
    if isinstance(error, RequestError | RequestRefusedError):
        return Outcome.REFUSED
    if isinstance(error, EngineOverloadedError):
        return Outcome.OVERLOADED
    if isinstance(error, ClientGoneError | asyncio.CancelledError | GeneratorExit):
        return Outcome.CANCELLED
    return Outcome.FAILED

"""The generation service: classify, plan, generate, count. The order of DESIGN section 4, without HTTP.

Nothing runs with a plan that was not made here, and what fails on the way fails the request.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncGenerator, Sequence
from contextlib import aclosing

from breakers.scoring import ScoredReply
from classifiers.base import Conversation
from server.deployment import Deployments
from server.engines.base import (
    Engine,
    EngineOverloadedError,
    GenerationRequest,
    RequestRefusedError,
    SamplingParams,
    TokenPiece,
)
from server.errors import ClientGoneError, ContextLengthError, InvalidRequestError, RequestError
from server.generation.command import ChatPrompt, GenerationCommand, PreparedRequest, ReplyPiece
from server.generation.context import ReplyClock, RequestContext
from server.generation.merging import merged
from server.generation.prompts import PromptReader
from server.generation.report import AppliedReport, Report
from server.harm.outputs import FinishedReply, OutputScoring
from server.harm.potential import ClassifierFailedError, HarmPotential
from server.metrics import Metrics, Outcome
from server.policy.planner import Wishes
from server.policy.profiles import ServedNames


class GenerationService:
    """Serves requests on one engine."""

    def __init__(
        self,
        *,
        engine: Engine,
        deployments: Deployments,
        names: ServedNames,
        metrics: Metrics,
        classifier: HarmPotential | None,
        outputs: OutputScoring | None,
    ) -> None:
        self._engine = engine
        self._prompts = PromptReader(engine)
        self._deployments = deployments
        self._names = names
        self._metrics = metrics
        self._classifier = classifier
        self._outputs = outputs

    async def prepare(self, command: GenerationCommand, context: RequestContext, index: int = 0) -> PreparedRequest:
        """Check, tokenise, classify and plan.

        Args:
            command: what is asked.
            context: of the HTTP request.
            index: of the prompt, where the request has several.

        Raises:
            RequestError: the request cannot be served as asked.
        """
        deployment = self._deployments.current
        profile = command.profile or self._names.profile(command.model)
        deployment.planner.check(command.toggles)
        prompt = await self._prompts.token_ids(command.prompt)
        sampling = self._sampling(command, len(prompt))
        conversations = await self._prompts.conversations(command.prompt, command.grammar)
        potentials = await self._classify(conversations)
        plan = deployment.planner.plan(Wishes(profile=profile, toggles=command.toggles), potentials)
        self._metrics.planned(plan)
        request = GenerationRequest(
            request_id=f"{context.request_id}-{index}",
            prompt_token_ids=tuple(prompt),
            sampling=sampling,
            plan=plan,
            generation_start=command.generation_start,
            bank_version=deployment.bank_version,
        )
        return PreparedRequest(
            context=context,
            command=command,
            request=request,
            conversation=conversations[0],
            deployment=deployment,
            harm_potential=potentials or {},
        )

    async def run(self, prepared: PreparedRequest) -> AsyncGenerator[ReplyPiece, None]:
        """The replies in pieces, as they come. Closing the iterator cancels the request and frees its slots.

        Raises:
            EngineError: as `Engine.generate`; one failed reply fails the request.
        """
        requests = prepared.requests()
        texts: list[list[str]] = [[] for _ in requests]
        clocks = [ReplyClock() for _ in requests]
        self._metrics.prompt_taken(prepared.prompt_tokens)
        async with aclosing(merged([self._engine.generate(request) for request in requests])) as pieces:
            async for piece in pieces:
                self._count(piece, prepared.context, clocks[piece.index])
                texts[piece.index].append(piece.chunk.text)
                yield piece
        for text in texts:
            self._offer(prepared, "".join(text))

    def report(self, prepared: PreparedRequest, tokens_steered: int) -> Report:
        """What the response says about this request: exactly the plan that the engine got."""
        bundles = prepared.deployment.planner.bundles
        applied = {
            name: AppliedReport(strength=entry.strength, kind=bundles[name].kind, reason=entry.reason.value)
            for name, entry in prepared.plan.entries.items()
        }
        return Report(
            harm_potential={name: round(p, 4) for name, p in prepared.harm_potential.items()},
            applied=applied,
            plan=prepared.plan.digest,
            tokens_steered=tokens_steered,
        )

    def piece(self, token_id: int) -> TokenPiece:
        """What a token of a reply stands for."""
        return self._engine.tokenizer.piece(token_id)

    def ended(self, context: RequestContext, error: BaseException | None) -> None:
        """Count one request by how it ended; called once for each, also for those refused before `prepare`."""
        self._metrics.request_ended(outcome_of(error), context.elapsed())

    def _sampling(self, command: GenerationCommand, prompt_tokens: int) -> SamplingParams:
        limit = self._engine.info.max_model_len
        room = limit - prompt_tokens
        # Without a reply, a prompt may fill the context.
        if room < min(1, 1 if command.max_tokens is None else command.max_tokens):
            raise ContextLengthError(
                f"the prompt has {prompt_tokens} tokens; this model holds {limit}, prompt and reply together",
                param="messages" if isinstance(command.prompt, ChatPrompt) else "prompt",
                code="context_length_exceeded",
            )
        if command.min_tokens > room:
            raise InvalidRequestError(
                f"min_tokens is {command.min_tokens}; this prompt leaves room for {room}",
                param="min_tokens",
                code="invalid_value",
            )
        start = command.generation_start
        if start is not None and not 0 <= start < prompt_tokens:
            raise InvalidRequestError(
                f"scalpel.generation_start is {start}; this prompt has tokens 0 to {prompt_tokens - 1}",
                param="scalpel.generation_start",
                code="invalid_value",
            )
        return SamplingParams(
            # A reply that reaches the context's end first ends there, with finish_reason `length`.
            max_tokens=room if command.max_tokens is None else min(command.max_tokens, room),
            min_tokens=command.min_tokens,
            ignore_eos=command.ignore_eos,
            stop=command.stop,
            temperature=command.temperature,
            top_k=command.top_k,
            top_p=command.top_p,
            min_p=command.min_p,
            presence_penalty=command.presence_penalty,
            frequency_penalty=command.frequency_penalty,
            repetition_penalty=command.repetition_penalty,
            logit_bias=command.logit_bias,
            seed=command.seed,
            top_logprobs=command.top_logprobs,
            prompt_logprobs=command.prompt_logprobs,
            grammar=command.grammar,
        )

    async def _classify(self, conversations: Sequence[Conversation]) -> dict[str, float] | None:
        """The highest harm potential of each category; None where the classifier failed on any conversation."""
        if self._classifier is None:
            return {}
        began = time.perf_counter()
        try:
            scores = [await self._classifier.score(conversation) for conversation in conversations]
        except ClassifierFailedError as failure:
            self._metrics.classifier_failed(failure.reason)
            return None
        potentials = {category: max(score[category] for score in scores) for category in scores[0]}
        self._metrics.classified(potentials, time.perf_counter() - began)
        return potentials

    def _count(self, piece: ReplyPiece, context: RequestContext, clock: ReplyClock) -> None:
        seconds = clock.lap()
        if seconds is not None:
            self._metrics.more_tokens(len(piece.chunk.token_ids), seconds)
            return
        if piece.index == 0:
            self._metrics.prompt_reused(piece.chunk.cached_tokens)
        self._metrics.first_tokens(len(piece.chunk.token_ids), context.elapsed())

    def _offer(self, prepared: PreparedRequest, reply: str) -> None:
        if self._outputs is None:
            return
        acted = frozenset(prepared.deployment.planner.bundles[name].behaviour for name in prepared.plan.strengths())
        scored = ScoredReply(messages=prepared.conversation, reply=reply)
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

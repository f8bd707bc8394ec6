"""The generation service: classify, plan, generate, count. The order of DESIGN section 4, without HTTP.

Nothing runs with a plan that was not made here, and what fails on the way fails the request.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncGenerator, Sequence
from contextlib import aclosing

from breakers.plan import Plan
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
from server.errors import (
    ClientGoneError,
    ContextLengthError,
    InvalidRequestError,
    RequestError,
    RequestTimeoutError,
    ServerError,
)
from server.generation.command import ChatPrompt, GenerationCommand, PreparedRequest, ReplyPiece
from server.generation.context import ReplyClock, RequestContext
from server.generation.enforcement import Enforcement
from server.generation.interruption import Interruptions
from server.generation.limits import NO_LIMITS, GenerationLimits
from server.generation.merging import merged
from server.generation.pace import Pace
from server.generation.prompts import PromptReader
from server.generation.report import AppliedReport, Report, ShadowReport
from server.harm.outputs import FinishedReply, OutputScoring
from server.harm.potential import ClassifierFailedError, HarmPotential
from server.logs import REQUEST
from server.metrics import Metrics, Outcome
from server.policy.planner import Wishes
from server.policy.profiles import ServedNames, settle_profile
from server.tracing.base import NO_TRACING, Tracing, spanned


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
        enforcement: Enforcement,
        limits: GenerationLimits = NO_LIMITS,
        tracing: Tracing = NO_TRACING,
    ) -> None:
        self._engine = engine
        self._prompts = PromptReader(engine)
        self._deployments = deployments
        self._names = names
        self._metrics = metrics
        self._classifier = classifier
        self._outputs = outputs
        self._enforcement = enforcement
        self._limits = limits
        self._tracing = tracing
        self._running = Interruptions(limits.request_seconds)
        self._pace = Pace()

    async def prepare(self, command: GenerationCommand, context: RequestContext, index: int = 0) -> PreparedRequest:
        """Check, tokenise, classify and plan.

        Args:
            command: what is asked.
            context: of the HTTP request.
            index: of the prompt, where the request has several.

        Raises:
            RequestError: the request cannot be served as asked.
            ClassifierRequiredError, AuditFailedError: it must not be served as things are.
        """
        # The same one for all prompts of an HTTP request, until `ended`.
        deployment = self._deployments.acquire(context.request_id)
        planner = deployment.planner
        profile = settle_profile(command.profile, context.profile_header, self._names.profile(command.model))
        wishes = Wishes(profile=profile, toggles=command.toggles, caller=context.caller, user=command.user)
        planner.check(command.toggles)
        await self._enforcement.allow(planner, wishes, context)
        prompt = await self._prompts.token_ids(command.prompt)
        sampling = self._sampling(command, len(prompt))
        self._enforcement.take_prompt(planner, context, len(prompt))
        conversations = await self._prompts.conversations(command.prompt, command.grammar)
        with spanned(self._tracing, "classify"):
            potentials = await self._classify(conversations)
        with spanned(self._tracing, "plan") as span:
            decision = await self._enforcement.decide(planner, wishes, potentials, context)
            span.set("scalpel.plan", decision.plan.digest)
        self._metrics.planned(decision.plan)
        note_prompt(len(prompt), decision.plan)
        request = GenerationRequest(
            request_id=f"{context.request_id}-{index}",
            prompt_token_ids=tuple(prompt),
            sampling=sampling,
            plan=decision.plan,
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
            shadow=decision.shadow,
        )

    async def run(self, prepared: PreparedRequest) -> AsyncGenerator[ReplyPiece, None]:
        """The replies in pieces, as they come. Closing the iterator cancels the request and frees its slots.

        Raises:
            EngineError: as `Engine.generate`; one failed reply fails the request.
            ServerError: the time limit is over, or `interrupt_all` was called.
        """
        requests = prepared.requests()
        texts: list[list[str]] = [[] for _ in requests]
        clocks = [ReplyClock() for _ in requests]
        limits = prepared.deployment.planner.policy.rates(prepared.context.caller)
        self._metrics.prompt_taken(prepared.prompt_tokens)
        replies = merged([self._engine.generate(request) for request in requests])
        record, tokens = REQUEST.get(), 0
        try:
            with spanned(self._tracing, "generate") as span:
                async with aclosing(self._running.guarded(replies, prepared.context.elapsed())) as pieces:
                    async for piece in pieces:
                        self._count(piece, prepared.context, clocks[piece.index])
                        self._enforcement.spend(limits, prepared.context, len(piece.chunk.token_ids))
                        texts[piece.index].append(piece.chunk.text)
                        tokens += len(piece.chunk.token_ids)
                        yield piece
                span.set("scalpel.completion_tokens", tokens)
        except EngineOverloadedError as overloaded:
            overloaded.retry_after_seconds = self._pace.retry_after(self._engine.stats())
            raise
        finally:
            if record is not None:
                record.completion_tokens += tokens
        for text in texts:
            self._offer(prepared, "".join(text))

    def report(self, prepared: PreparedRequest, tokens_steered: int) -> Report:
        """What the response says about this request: exactly the plan that the engine got."""
        bundles = prepared.deployment.planner.bundles
        applied: dict[str, AppliedReport | ShadowReport] = {
            name: AppliedReport(strength=entry.strength, kind=bundles[name].kind, reason=entry.reason.value)
            for name, entry in prepared.plan.entries.items()
        }
        for name, would in prepared.shadow.items():
            applied[name] = ShadowReport.of(bundles[name].kind, would)
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
        self._deployments.release(context.request_id)
        seconds = context.elapsed()
        if error is None:
            self._pace.took(seconds)
        self._metrics.request_ended(outcome_of(error), seconds)

    def interrupt_all(self, error: ServerError) -> None:
        """End every request that runs with this error."""
        self._running.interrupt_all(error)

    def _sampling(self, command: GenerationCommand, prompt_tokens: int) -> SamplingParams:
        limit = self._engine.info.max_model_len
        self._limits.check(prompt_tokens=prompt_tokens, max_tokens=command.max_tokens)
        room = self._limits.reply_room(limit - prompt_tokens)
        # Without a reply, a prompt may fill the context.
        if room < min(1, 1 if command.max_tokens is None else command.max_tokens):
            raise ContextLengthError(
                f"the prompt has {prompt_tokens} tokens; this model holds {limit}, prompt and reply together",
                param=command.prompt.parameter if isinstance(command.prompt, ChatPrompt) else "prompt",
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


def note_prompt(tokens: int, plan: Plan) -> None:
    """For the request's line in the log."""
    record = REQUEST.get()
    if record is not None:
        record.prompt_tokens += tokens
        record.plan = plan.digest


def outcome_of(error: BaseException | None) -> Outcome:
    """How a request ended, from what it ended with."""
    if error is None:
        return Outcome.COMPLETED
    if isinstance(error, RequestError | RequestRefusedError):
        return Outcome.REFUSED
    if isinstance(error, RequestTimeoutError):
        return Outcome.TIMED_OUT
    if isinstance(error, EngineOverloadedError):
        return Outcome.OVERLOADED
    if isinstance(error, ClientGoneError | asyncio.CancelledError | GeneratorExit):
        return Outcome.CANCELLED
    return Outcome.FAILED

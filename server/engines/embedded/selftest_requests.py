"""The checks of the self-test that are about requests: they go the way of every request, mailbox to reply.

What is compared are log-probabilities of given continuations, so that one near tie cannot send two runs of a request
different ways.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch

from breakers.bank import Bank
from breakers.plan import Plan
from server.engines.base import EngineInfo, EngineOverloadedError, GenerationRequest, SamplingParams
from server.engines.checks import BATCH, PREFIX, CheckResult, Verdict
from server.engines.embedded.mailbox import Mailbox
from server.engines.embedded.replies import ReplyStream
from server.engines.embedded.selftest_forwards import share_of_all
from server.engines.embedded.sequence import RunningRequest

BATCHING = {"float32": 1e-3, "bfloat16": 0.5, "float16": 0.1}
"""How far batching may move a log-probability; it does so without interventions too. 0 in deterministic mode."""

_TOGETHER = 4
_PROMPT = 12
"""Tokens of the longest prompt of the batch check: too few for the prefix cache."""
_CONTINUATION = 8
_PATIENCE = 600
"""Times that a full queue is tried again, every 50 ms."""

Prepare = Callable[[GenerationRequest, ReplyStream, Sequence[int], type[RunningRequest]], RunningRequest]
"""A request, where its news go, the continuation to score, and what it runs as."""


class ColdRequest(RunningRequest):
    """Computes all of its prompt, whatever earlier requests left."""

    @property
    def reusable_prompt(self) -> Sequence[int]:
        """Nothing."""
        return []


@dataclass(frozen=True, slots=True)
class Probe:
    """A request whose continuation is given."""

    request: GenerationRequest
    continuation: tuple[int, ...]
    kind: type[RunningRequest] = RunningRequest


class RequestChecks:
    """One run of them, on an event loop."""

    def __init__(
        self,
        mailbox: Mailbox,
        prepare: Prepare,
        bank: Bank,
        info: EngineInfo,
        *,
        block: int | None,
        bitwise: bool,
        run: int,
    ) -> None:
        """Prepare.

        Args:
            mailbox: where requests go in.
            prepare: makes them.
            bank: what they are steered with.
            info: of the engine.
            block: of the prefix cache; None where there is none.
            bitwise: whether the engine promises the same bits in any batch.
            run: counts the runs: each has prompts that no earlier one left in the prefix cache.
        """
        self._mailbox = mailbox
        self._prepare = prepare
        self._plan = share_of_all(bank.entries)
        self._info = info
        self._block = block
        self._limit = 0.0 if bitwise else BATCHING[info.dtype]
        self._generator = torch.Generator().manual_seed(1 + run)

    async def batch(self) -> CheckResult:
        """Requests alone, and then all of them together, steered and not."""
        together = min(_TOGETHER, self._info.slots)
        if together < 2:
            return CheckResult(
                name=BATCH, verdict=Verdict.PASSED, detail="the engine has one slot: no two requests share a batch"
            )
        plans = [self._plan if steered else Plan() for steered in (True, False, True, False)]
        probes = [self._probe(_PROMPT - 2 * i, plans[i]) for i in range(together)]
        alone = [(await self._score([probe]))[0] for probe in probes]
        mixed = await self._score(probes)
        return self._judged(BATCH, alone, mixed, f"{together} requests alone and in one batch")

    async def prefix(self) -> CheckResult:
        """A request behind one with another plan and the same prompt, and the same request computed afresh."""
        if self._block is None:
            return CheckResult(name=PREFIX, verdict=Verdict.PASSED, detail="there is no prefix cache")
        behind, afresh = [], []
        for before, plan in ((self._plan, Plan()), (Plan(), self._plan)):
            first = self._probe(2 * self._block + 3, before)
            probe = self._like(first, plan)
            await self._score([first])
            behind += await self._score([probe])
            afresh += await self._score([self._like(first, plan, ColdRequest)])
        said = "a request behind one with another plan and the same prompt, and a cold run"
        return self._judged(PREFIX, afresh, behind, said)

    def _judged(
        self, name: str, wanted: Sequence[Sequence[float]], found: Sequence[Sequence[float]], said: str
    ) -> CheckResult:
        pairs = zip(torch.tensor(wanted), torch.tensor(found), strict=True)
        distance = max(float((w - f).abs().nan_to_num(torch.inf, torch.inf).max()) for w, f in pairs)
        return CheckResult(
            name=name,
            verdict=Verdict.PASSED if distance <= self._limit else Verdict.FAILED,
            detail=f"log-probabilities differ by {distance:.2g} between {said} (wanted at most {self._limit:g})",
            measured=distance if distance < float("inf") else None,
            limit=self._limit,
        )

    def _probe(self, length: int, plan: Plan) -> Probe:
        room = self._info.max_model_len
        continued = min(_CONTINUATION, room // 2)
        ids = torch.randint(self._info.vocab, (min(length, room - continued) + continued,), generator=self._generator)
        tokens = ids.tolist()
        request = GenerationRequest(
            request_id="selftest",
            prompt_token_ids=tuple(tokens[:-continued]),
            sampling=SamplingParams(max_tokens=continued, temperature=0.0),
            plan=plan,
        )
        return Probe(request, tuple(tokens[-continued:]))

    def _like(self, probe: Probe, plan: Plan, kind: type[RunningRequest] = RunningRequest) -> Probe:
        request = GenerationRequest(
            request_id="selftest",
            prompt_token_ids=probe.request.prompt_token_ids,
            sampling=probe.request.sampling,
            plan=plan,
        )
        return Probe(request, probe.continuation, kind)

    async def _score(self, probes: Sequence[Probe]) -> list[list[float]]:
        """Log-probabilities of the probes' continuations, run together.

        Raises:
            EngineError: one failed, or the queue was full for too long.
        """
        for _ in range(_PATIENCE):
            try:
                return await self._score_now(probes)
            except EngineOverloadedError:
                await asyncio.sleep(0.05)
        return await self._score_now(probes)

    async def _score_now(self, probes: Sequence[Probe]) -> list[list[float]]:
        streams = [ReplyStream() for _ in probes]
        requests = [
            self._prepare(probe.request, stream, probe.continuation, probe.kind)
            for probe, stream in zip(probes, streams, strict=True)
        ]

        def submit() -> None:
            for request in requests:
                self._mailbox.submit(request)

        try:
            # Between two steps, so that the next one finds all of them.
            await asyncio.wrap_future(self._mailbox.call(submit))
            return [await _logprobs(stream) for stream in streams]
        finally:
            for request in requests:
                self._mailbox.cancel(request)


async def _logprobs(stream: ReplyStream) -> list[float]:
    found: list[float] = []
    while True:
        chunk = await stream.next()
        found.extend(chunk.logprobs)
        if chunk.finish_reason is not None:
            return found

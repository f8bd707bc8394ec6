"""The embedded engine: what the server talks to."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Sequence
from contextlib import aclosing
from dataclasses import replace

from breakers.bank import BankEntry
from breakers.errors import PlanError
from server.engines.base import (
    EngineInfo,
    EngineStats,
    GenerationChunk,
    GenerationRequest,
    RequestRefusedError,
    SamplingParams,
)
from server.engines.checks import Canary, CheckResult
from server.engines.embedded.banks import Banks, LoadedBank
from server.engines.embedded.grammar.compiler import GrammarCompiler
from server.engines.embedded.grammar.matcher import GrammarMatcher
from server.engines.embedded.loop import StepLoop
from server.engines.embedded.mailbox import Mailbox
from server.engines.embedded.replies import ReplyReader, ReplyStream
from server.engines.embedded.selftest import SelfTest
from server.engines.embedded.sequence import RunningRequest
from server.engines.embedded.swapping import BankSwapper
from server.engines.embedded.tokenizer import HuggingFaceTokenizer
from server.engines.limits import check_request, check_tokens


class EmbeddedEngine:
    """Continuous batching on one model in this process. Made by `load_embedded_engine`."""

    def __init__(
        self,
        *,
        info: EngineInfo,
        tokenizer: HuggingFaceTokenizer,
        banks: Banks,
        swapper: BankSwapper,
        vocab: int,
        eos_ids: frozenset[int],
        grammars: GrammarCompiler,
        mailbox: Mailbox,
        loop: StepLoop,
        selftest: SelfTest,
        drain_seconds: float,
    ) -> None:
        self._info = info
        self._tokenizer = tokenizer
        self._banks = banks
        self._swapper = swapper
        self._vocab = vocab
        self._eos_ids = eos_ids
        self._grammars = grammars
        self._mailbox = mailbox
        self._loop = loop
        self._selftest = selftest
        self._drain_seconds = drain_seconds

    @property
    def info(self) -> EngineInfo:
        """What runs."""
        return self._info

    @property
    def tokenizer(self) -> HuggingFaceTokenizer:
        """The model's tokenizer."""
        return self._tokenizer

    @property
    def healthy(self) -> bool:
        """Whether the step loop runs."""
        return self._loop.alive

    def stats(self) -> EngineStats:
        """A snapshot, from any thread."""
        return EngineStats(running=self._mailbox.running, waiting=self._mailbox.waiting, steps=self._loop.steps)

    async def start(self) -> None:
        """Start the step loop. An engine starts once."""
        self._loop.start()

    async def stop(self) -> None:
        """Accept no more, let accepted requests finish for `drain_seconds`, then end the loop."""
        await asyncio.to_thread(self._loop.stop, self._drain_seconds)
        self._grammars.stop()

    async def load_bundles(self, entries: Sequence[BankEntry]) -> int:
        """A new bank version beside the others; see `Engine.load_bundles`.

        In deterministic mode its registration takes up to two forwards a slot, for which running requests wait.
        """
        return await self._swapper.load(entries)

    async def retire_bundles(self, version: int) -> None:
        """Let a bank version go; see `Engine.retire_bundles`."""
        await self._swapper.retire(version)

    def generate(self, request: GenerationRequest) -> AsyncGenerator[GenerationChunk, None]:
        """Run one request; see `Engine.generate`."""
        return self._run(request)

    async def admit(
        self, request: GenerationRequest, reader: ReplyReader, forced: Sequence[int] = ()
    ) -> RunningRequest:
        """Check a request and queue it: `generate` for a reader that brings the news elsewhere.

        What it needs of the bank it has before anything is awaited: a version retired afterwards serves it still.

        Args:
            request: what to run.
            reader: hears of it, possibly before this call returns.
            forced: the reply to score, token by token, instead of one that is chosen.

        Raises:
            EngineError: as `generate`, before any chunk.
        """
        bank = self._banks.of_request(request.bank_version)
        self._check(request, bank)
        grammar = request.sampling.grammar
        matcher = await self._grammars.matcher(grammar) if grammar is not None else None
        running = self._prepare(request, reader, forced, bank, grammar=matcher)
        self._mailbox.submit(running)
        return running

    def withdraw(self, running: RunningRequest) -> None:
        """Cancel what `admit` queued, and free its slot within one step; nothing where it is over."""
        self._mailbox.cancel(running)

    async def score(self, request: GenerationRequest, continuation: Sequence[int]) -> tuple[float, ...]:
        """Log-probabilities of a given continuation of the prompt, decoded token by token under the plan.

        `request.sampling` is not used. Bundles of scope `generation` act from `generation_start`, by default the
        last prompt token, so that all of the continuation is scored as the steered model would say it.

        Returns:
            Natural log-probability of each token at temperature 1.

        Raises:
            EngineError: as `generate`.
        """
        room = self._info.max_model_len - len(request.prompt_token_ids)
        if not 0 < len(continuation) <= room:
            raise RequestRefusedError(f"the continuation has {len(continuation)} tokens; wanted 1 to {room}")
        check_tokens(continuation, "continuation", vocab=self._vocab)
        request = replace(request, sampling=SamplingParams(max_tokens=len(continuation), temperature=0.0))
        async with aclosing(self._run(request, continuation)) as chunks:
            return tuple([logprob async for chunk in chunks for logprob in chunk.logprobs])

    async def selftest(self, canaries: Sequence[Canary], bank_version: int = 0) -> tuple[CheckResult, ...]:
        """Prove what every request relies on; see `Engine.selftest`."""
        bank = self._banks.of_check(bank_version)
        return await self._selftest.run(
            bank,
            canaries,
            lambda request, stream, forced, kind: self._prepare(request, stream, forced, bank, kind),
        )

    async def check_canaries(self, canaries: Sequence[Canary], bank_version: int = 0) -> tuple[CheckResult, ...]:
        """Whether bundles act as declared; see `Engine.check_canaries`."""
        return await self._selftest.canaries(self._banks.of_check(bank_version), canaries)

    async def _run(
        self, request: GenerationRequest, forced: Sequence[int] = ()
    ) -> AsyncGenerator[GenerationChunk, None]:
        stream = ReplyStream()
        running = await self.admit(request, stream, forced)
        try:
            while True:
                chunk = await stream.next()
                yield chunk
                if chunk.finish_reason is not None:
                    return
        finally:
            self.withdraw(running)

    def _prepare(
        self,
        request: GenerationRequest,
        reader: ReplyReader,
        forced: Sequence[int],
        bank: LoadedBank,
        kind: type[RunningRequest] = RunningRequest,
        grammar: GrammarMatcher | None = None,
    ) -> RunningRequest:
        return kind(
            request,
            reader,
            decode=self._tokenizer.decode_list,
            eos_ids=frozenset() if forced else self._eos_ids,
            max_model_len=self._info.max_model_len,
            bank=bank,
            forced=forced,
            grammar=grammar,
        )

    def _check(self, request: GenerationRequest, bank: LoadedBank) -> None:
        """Refuse what cannot run.

        Raises:
            RequestRefusedError: the message names what was found and what was wanted.
        """
        check_request(request, max_model_len=self._info.max_model_len, vocab=self._vocab)
        try:
            bank.bank.row(request.plan.strengths())
        except PlanError as error:
            raise RequestRefusedError(f"the plan cannot be applied: {error}") from error

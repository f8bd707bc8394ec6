"""Stubs of everything that the server calls, each with switches for what can go wrong."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass, field, replace

from breakers.bank import BankEntry
from breakers.scoring import ScoredReply
from classifiers.base import Conversation
from server.engines.base import (
    EngineInfo,
    EngineStats,
    FinishReason,
    GenerationChunk,
    GenerationRequest,
    RequestFailedError,
    ScoredToken,
    TokenLogprob,
    TokenPiece,
    UnknownBankError,
)
from server.engines.checks import BATCH, PREFIX, STRENGTH_0, Canary, CheckResult, Verdict


class StubTokenizer:
    """One token a character."""

    def encode_chat(self, messages: Sequence[Mapping[str, object]], tools: Sequence[object] = ()) -> list[int]:
        return self.encode("".join(str(message["content"]) for message in messages) + ">")

    def encode(self, text: str) -> list[int]:
        return [ord(c) for c in text]

    def decode(self, token_ids: Sequence[int]) -> str:
        return "".join(map(chr, token_ids))

    def piece(self, token_id: int) -> TokenPiece:
        return TokenPiece(text=chr(token_id), data=chr(token_id).encode())


@dataclass
class StubEngine:
    """Replies with fixed pieces, one token a character."""

    bundles: tuple[str, ...] = ()
    pieces: tuple[str, ...] = ("Hel", "lo", " you")
    names_likely_tokens: bool = True
    """As many as were asked for: the token itself, and the characters after it."""
    max_model_len: int = 128
    refusal: Exception | None = None
    """Raised before the first piece."""
    failure: Exception | None = None
    """Raised after the first piece."""
    endless: bool = False
    """Never finish: repeat the last piece."""
    healthy: bool = True
    requests: list[GenerationRequest] = field(default_factory=list)
    running: int = 0
    banks: dict[int, tuple[str, ...] | None] = field(default_factory=dict)
    """Bundles by version, None once it is retired; version 0 has `bundles`."""
    load_failure: Exception | None = None
    tokenizer: StubTokenizer = field(default_factory=StubTokenizer)
    started: bool = False
    failing_checks: tuple[str, ...] = ()
    """Names of the self-test's checks that fail; the others pass."""
    selftest_error: Exception | None = None
    """Raised by the self-test."""
    canaries: list[Canary] = field(default_factory=list)
    """What it was last asked to check."""

    @property
    def info(self) -> EngineInfo:
        return EngineInfo(
            model_id="stub",
            model_type="stub",
            max_model_len=self.max_model_len,
            vocab=0x110000,
            slots=2,
            device="cpu",
            dtype="float32",
            bundles=self.bundles,
        )

    def stats(self) -> EngineStats:
        return EngineStats(running=self.running, waiting=0, steps=0)

    async def start(self) -> None:
        self.started = True

    async def stop(self) -> None:
        self.started = False

    async def load_bundles(self, entries: Sequence[BankEntry]) -> int:
        await asyncio.sleep(0)
        if self.load_failure is not None:
            raise self.load_failure
        version = max(self.banks, default=0) + 1
        self.banks[version] = tuple(entry.name for entry in entries)
        return version

    async def retire_bundles(self, version: int) -> None:
        if self.banks.get(version, self.bundles if version == 0 else None) is None:
            raise UnknownBankError(f"bank version {version} is not loaded")
        self.banks[version] = None

    async def selftest(self, canaries: Sequence[Canary], bank_version: int = 0) -> tuple[CheckResult, ...]:
        return (*map(self._check, (STRENGTH_0, BATCH, PREFIX)), *await self.check_canaries(canaries, bank_version))

    async def check_canaries(self, canaries: Sequence[Canary], bank_version: int = 0) -> tuple[CheckResult, ...]:
        if self.selftest_error is not None:
            raise self.selftest_error
        self.canaries = list(canaries)
        return tuple(self._check(canary.check) for canary in canaries)

    def _check(self, name: str) -> CheckResult:
        verdict = Verdict.FAILED if name in self.failing_checks else Verdict.PASSED
        return CheckResult(name=name, verdict=verdict, detail=f"a stub's {name}", measured=0.5, limit=1.0)

    async def generate(self, request: GenerationRequest) -> AsyncIterator[GenerationChunk]:
        if self.refusal is not None:
            raise self.refusal
        names = self.banks.get(request.bank_version, self.bundles if request.bank_version == 0 else None)
        if names is None or not set(request.plan.strengths()) <= set(names):
            raise RequestFailedError(f"bank version {request.bank_version} is not loaded, or lacks a bundle")
        self.requests.append(request)
        self.running += 1
        try:
            steered, steers = 0, bool(request.plan.strengths())
            likely = request.sampling.top_logprobs if self.names_likely_tokens else 0
            for n, piece in enumerate(self.pieces):
                steered += steers * len(piece)
                last = n == len(self.pieces) - 1 and not self.endless
                chunk = _chunk(piece, steered, FinishReason.STOP if last else None, likely)
                yield chunk if n else replace(chunk, prompt_logprobs=_scored(request))
                if self.failure is not None:
                    raise self.failure
            while self.endless:
                await asyncio.sleep(0.005)
                yield _chunk(self.pieces[-1], steered, None, likely)
        finally:
            self.running -= 1


def _scored(request: GenerationRequest) -> tuple[ScoredToken, ...]:
    named = request.sampling.prompt_logprobs
    if named is None:
        return ()
    return tuple(
        ScoredToken(token_id=token, logprob=-1.0, top=tuple(TokenLogprob(token + i, -1.0 - i) for i in range(named)))
        for token in request.prompt_token_ids[1:]
    )


def _chunk(text: str, steered: int, finish: FinishReason | None, likely: int) -> GenerationChunk:
    tokens = tuple(ord(c) for c in text)
    named = tuple(tuple(TokenLogprob(token + i, -1.0 - i) for i in range(likely)) for token in tokens)
    return GenerationChunk(
        text=text,
        token_ids=tokens,
        logprobs=tuple(-1.0 for _ in tokens),
        top_logprobs=named if likely else (),
        finish_reason=finish,
        tokens_steered=steered,
    )


@dataclass
class StubClassifier:
    """Harm potential by keyword: 0.95 for a category whose name is in the last turn, else 0.02."""

    categories: tuple[str, ...] = ("toxicity", "gender_bias")
    name: str = "stub:1"
    failure: Exception | None = None
    stall_seconds: float = 0.0
    scores: Mapping[str, float] | None = None
    """Returned whatever the input."""
    calls: int = 0

    def score(self, conversations: Sequence[Conversation]) -> list[dict[str, float]]:
        self.calls += 1
        if self.failure is not None:
            raise self.failure
        if self.stall_seconds:
            time.sleep(self.stall_seconds)
        if self.scores is not None:
            return [dict(self.scores) for _ in conversations]
        return [{c: 0.95 if c in turns[-1]["content"] else 0.02 for c in self.categories} for turns in conversations]


@dataclass
class StubScorer:
    """A reply is as toxic as it says."""

    name: str = "stub-scorer"
    behaviours: tuple[str, ...] = ("toxicity",)
    failure: Exception | None = None
    score_of_all: float | None = None
    seen: list[ScoredReply] = field(default_factory=list)

    def score(self, replies: Sequence[ScoredReply]) -> list[dict[str, float]]:
        self.seen.extend(replies)
        if self.failure is not None:
            raise self.failure
        fixed = self.score_of_all
        return [{"toxicity": (1.0 if "potato" in r.reply else 0.0) if fixed is None else fixed} for r in replies]

"""One request and its answer, as a whole or as a stream of events, whatever API it came through.

Owns the order of things: read, prepare, run, put the replies together, count the request once however it ends. What
bodies and events look like is a `Format`'s business. Reply r to prompt p has index p * n + r.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncGenerator, Awaitable, Callable, Sequence
from contextlib import aclosing
from dataclasses import dataclass
from typing import Protocol

from fastapi import Request, Response
from pydantic import BaseModel

from server.api.connection import EventStream, unless_gone
from server.api.context import request_context
from server.api.errors import ErrorReply, describe
from server.api.headers import answer_headers
from server.api.usage import TokenCounts
from server.engines.base import FinishReason, GenerationChunk, RequestFailedError
from server.errors import ServerError
from server.generation.command import GenerationCommand, PreparedRequest, ReplyPiece
from server.generation.context import RequestContext
from server.generation.merging import interleaved
from server.generation.report import Report
from server.generation.service import GenerationService

logger = logging.getLogger(__name__)

PROMPTS_AT_ONCE = 16
"""Of one request; the others wait, so that a long list does not fill the engine's queue."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """All replies to one prompt."""

    prepared: PreparedRequest
    replies: Sequence[Sequence[GenerationChunk]]
    """Chunks of each reply; the last one says why it ended."""
    report: Report


class Format(Protocol):
    """The bodies and events of one API, for one request."""

    def whole(self, answers: Sequence[Answer], counts: TokenCounts) -> BaseModel:
        """The body of an answer that does not stream."""
        ...

    def begin(self, index: int, prepared: PreparedRequest, first: GenerationChunk, report: Report | None) -> bytes:
        """Events before a reply's first text; `report` with the first reply to each prompt."""
        ...

    def text(self, index: int, chunk: GenerationChunk) -> bytes:
        """Events of what is new; called for each token, so it has to be fast."""
        ...

    def end(self, index: int, last: GenerationChunk, report: Report | None) -> bytes:
        """Events of a reply's end; `report` with the last reply to each prompt."""
        ...

    def close(self, counts: TokenCounts) -> bytes:
        """Events after the last reply."""
        ...

    def failure(self, failure: ErrorReply) -> bytes:
        """The last event of a stream that failed: what was sent is not a whole answer, and must not look like one."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Question:
    """What a route has read."""

    commands: Sequence[GenerationCommand]
    """One for each prompt, all with the same number of replies."""
    format: Format
    stream: bool


async def respond(
    request: Request, service: GenerationService, read: Callable[[RequestContext], Awaitable[Question]]
) -> Response:
    """Answer a request.

    Args:
        request: as it came.
        service: does the work.
        read: reads the body.

    Raises:
        RequestError, EngineError: the request gets a status of its own.
    """
    context = request_context(request)
    try:
        question = await read(context)
        exchange = Exchange(service, question, context)
        if question.stream:
            return await unless_gone(request.receive, exchange.stream())
        whole = await unless_gone(request.receive, exchange.whole())
    except BaseException as error:
        service.ended(context, error)
        raise
    service.ended(context, None)
    return whole


def finish_reason(chunks: Sequence[GenerationChunk]) -> FinishReason:
    """Why a reply ended.

    Raises:
        RequestFailedError: the engine did not say.
    """
    if not chunks or chunks[-1].finish_reason is None:
        raise RequestFailedError("the engine ended the reply without saying why")
    return chunks[-1].finish_reason


class Exchange:
    """Turns what the service yields into one response."""

    def __init__(self, service: GenerationService, question: Question, context: RequestContext) -> None:
        self._service = service
        self._commands = question.commands
        self._format = question.format
        self._context = context
        self._replies = question.commands[0].replies

    async def whole(self) -> Response:
        """The response of a request that does not stream.

        Raises:
            RequestError, EngineError: as the service.
        """
        prepared = await self._prepare()
        replies: list[list[GenerationChunk]] = [[] for _ in range(len(prepared) * self._replies)]
        async with aclosing(self._run(prepared)) as pieces:
            async for piece in pieces:
                replies[piece.index].append(piece.chunk)
        for chunks in replies:
            finish_reason(chunks)
        answers = [self._answer(p, replies[i * self._replies :][: self._replies]) for i, p in enumerate(prepared)]
        counts = TokenCounts(
            prompt=sum(one.prompt_tokens for one in prepared),
            completion=sum(len(chunk.token_ids) for chunks in replies for chunk in chunks),
            cached=sum(answer.replies[0][-1].cached_tokens for answer in answers),
        )
        body = self._format.whole(answers, counts).model_dump_json()
        headers = answer_headers([answer.report for answer in answers], self._context.request_id)
        return Response(body, media_type="application/json", headers=headers)

    async def stream(self) -> EventStream:
        """The response of a request that streams; waits for the first piece, so that what is refused before it
        gets its own status.

        Raises:
            RequestError, EngineError: as the service.
        """
        prepared = await self._prepare()
        pieces = self._run(prepared)
        try:
            first = await anext(pieces)
        except StopAsyncIteration:
            raise RequestFailedError("the engine ended the reply before it began") from None
        failures: list[Exception] = []

        async def finish(ended_with: BaseException | None) -> None:
            await pieces.aclose()
            self._service.ended(self._context, failures[0] if failures else ended_with)

        headers = answer_headers([self._service.report(one, 0) for one in prepared], self._context.request_id)
        return EventStream(self._events(prepared, first, pieces, failures), finish, headers)

    async def _prepare(self) -> list[PreparedRequest]:
        if len(self._commands) == 1:
            return [await self._service.prepare(self._commands[0], self._context)]
        preparing = (self._service.prepare(c, self._context, i) for i, c in enumerate(self._commands))
        prepared = await asyncio.gather(*preparing, return_exceptions=True)
        # Only now, so that no prompt is left being prepared for a request that is over.
        if failures := [one for one in prepared if isinstance(one, BaseException)]:
            raise failures[0]
        return [one for one in prepared if not isinstance(one, BaseException)]

    def _run(self, prepared: Sequence[PreparedRequest]) -> AsyncGenerator[ReplyPiece, None]:
        return self._service.run(prepared[0]) if len(prepared) == 1 else self._run_all(prepared)

    async def _run_all(self, prepared: Sequence[PreparedRequest]) -> AsyncGenerator[ReplyPiece, None]:
        runs = [self._service.run(one) for one in prepared]
        async with aclosing(interleaved(runs, at_once=PROMPTS_AT_ONCE)) as pieces:
            async for prompt, piece in pieces:
                yield ReplyPiece(prompt * self._replies + piece.index, piece.chunk)

    def _answer(self, prepared: PreparedRequest, replies: Sequence[Sequence[GenerationChunk]]) -> Answer:
        report = self._service.report(prepared, sum(chunks[-1].tokens_steered for chunks in replies))
        return Answer(prepared=prepared, replies=replies, report=report)

    async def _events(
        self,
        prepared: Sequence[PreparedRequest],
        first: ReplyPiece,
        rest: AsyncGenerator[ReplyPiece, None],
        failures: list[Exception],
    ) -> AsyncGenerator[bytes, None]:
        try:
            async for events in self._streamed(prepared, first, rest):
                yield events
        except Exception as failure:  # the status is out: every failure has to become an event
            # Where the server itself ended it, the failure says all that there is to say.
            told = None if isinstance(failure, ServerError) else failure
            logger.error("failed in mid-stream: %s", type(failure).__name__, exc_info=told)
            failures.append(failure)
            yield self._format.failure(describe(failure))

    async def _streamed(
        self,
        prepared: Sequence[PreparedRequest],
        first: ReplyPiece,
        rest: AsyncGenerator[ReplyPiece, None],
    ) -> AsyncGenerator[bytes, None]:
        """All events; those that are known at once go out as one piece, which is one system call."""
        progress = _Progress(prompts=len(prepared), replies=self._replies)
        events, tokens = b"", 0
        async for piece in _chained(first, rest):
            index, chunk = piece.index, piece.chunk
            events = b""
            if index not in progress.last:
                events = self._begin(prepared, progress, piece)
            progress.last[index] = chunk
            tokens += len(chunk.token_ids)
            events += self._format.text(index, chunk)
            if chunk.finish_reason is not None:
                events += self._end(prepared, progress, piece)
            if events and progress.left:
                yield events
        if progress.left:
            raise RequestFailedError("the engine ended the reply without saying why")
        prompt_tokens = sum(one.prompt_tokens for one in prepared)
        counts = TokenCounts(prompt=prompt_tokens, completion=tokens, cached=progress.cached)
        yield events + self._format.close(counts)

    def _begin(self, prepared: Sequence[PreparedRequest], progress: _Progress, piece: ReplyPiece) -> bytes:
        prompt, reply = divmod(piece.index, self._replies)
        if reply == 0:
            progress.cached += piece.chunk.cached_tokens
        # At the start of all: what a client wants to know of the plan before it reads on.
        report = None
        if progress.begins(prompt):
            report = self._service.report(prepared[prompt], piece.chunk.tokens_steered)
        return self._format.begin(piece.index, prepared[prompt], piece.chunk, report)

    def _end(self, prepared: Sequence[PreparedRequest], progress: _Progress, piece: ReplyPiece) -> bytes:
        prompt = piece.index // self._replies
        report = None
        if progress.ends(prompt):
            report = self._service.report(prepared[prompt], progress.steered(prompt))
        return self._format.end(piece.index, piece.chunk, report)


class _Progress:
    """How far the replies of a stream are."""

    def __init__(self, *, prompts: int, replies: int) -> None:
        self._replies = replies
        self._open = [replies] * prompts
        """Replies to each prompt that have not ended."""
        self.left = prompts * replies
        """The same of all prompts."""
        self.last: dict[int, GenerationChunk] = {}
        """Latest chunk of each reply that has begun."""
        self.cached = 0

    def begins(self, prompt: int) -> bool:
        """Whether no reply to this prompt has begun."""
        return not any(index in self.last for index in self._indices(prompt))

    def ends(self, prompt: int) -> bool:
        """Count one ended reply; whether it was the last to this prompt."""
        self.left -= 1
        self._open[prompt] -= 1
        return self._open[prompt] == 0

    def steered(self, prompt: int) -> int:
        """Tokens on which interventions acted, in all replies to a prompt."""
        return sum(self.last[index].tokens_steered for index in self._indices(prompt))

    def _indices(self, prompt: int) -> range:
        return range(prompt * self._replies, (prompt + 1) * self._replies)


async def _chained(first: ReplyPiece, rest: AsyncGenerator[ReplyPiece, None]) -> AsyncGenerator[ReplyPiece, None]:
    yield first
    async for piece in rest:
        yield piece

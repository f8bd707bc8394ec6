"""One request and its answer, as a whole or as a stream of chunks."""

from __future__ import annotations

import json
import logging
import time
from collections.abc import AsyncGenerator, Sequence
from contextlib import aclosing

from pydantic import BaseModel
from pydantic_core import to_json

from server.api.chat.answers import (
    AssistantMessage,
    ChatCompletion,
    ChatCompletionChunk,
    Choice,
    ChoiceLogprobs,
    ChunkChoice,
    Delta,
    Usage,
    UsageChunk,
)
from server.api.chat.logprobs import choice_logprobs
from server.api.chat.wire import ChatCompletionRequest
from server.api.connection import EventStream
from server.api.errors import describe
from server.engines.base import FinishReason, GenerationChunk, RequestFailedError
from server.errors import ServerError
from server.generation.command import PreparedRequest, ReplyPiece
from server.generation.context import RequestContext
from server.generation.report import Report
from server.generation.service import GenerationService

logger = logging.getLogger(__name__)

DONE = b"data: [DONE]\n\n"

_PLACE = "\u0000text\u0000"
"""Stands where text will be; no model name or request id holds it."""


class Exchange:
    """Turns what the service yields into response bodies."""

    def __init__(self, service: GenerationService, wire: ChatCompletionRequest, context: RequestContext) -> None:
        self._service = service
        self._wire = wire
        self._context = context
        self._id = f"chatcmpl-{context.request_id}"
        self._created = int(time.time())

    async def whole(self) -> ChatCompletion:
        """The response of a request that does not stream.

        Raises:
            RequestError, EngineError: as the service.
        """
        prepared = await self._service.prepare(self._wire.command(), self._context)
        replies: list[list[GenerationChunk]] = [[] for _ in range(prepared.command.replies)]
        async with aclosing(self._service.run(prepared)) as pieces:
            async for piece in pieces:
                replies[piece.index].append(piece.chunk)
        choices = tuple(self._choice(index, chunks) for index, chunks in enumerate(replies))
        tokens = sum(len(chunk.token_ids) for chunks in replies for chunk in chunks)
        return ChatCompletion(
            id=self._id,
            created=self._created,
            model=self._wire.model,
            choices=choices,
            usage=Usage.of(prepared.prompt_tokens, tokens, replies[0][-1].cached_tokens),
            scalpel=self._service.report(prepared, sum(chunks[-1].tokens_steered for chunks in replies)),
        )

    def _choice(self, index: int, chunks: Sequence[GenerationChunk]) -> Choice:
        finish = _finish_reason(chunks[-1] if chunks else None)
        message = AssistantMessage(content="".join(chunk.text for chunk in chunks))
        return Choice(index=index, message=message, logprobs=self._logprobs(chunks), finish_reason=finish)

    async def stream(self) -> EventStream:
        """The response of a request that streams; waits for the first piece, so that what is refused before it
        gets its own status.

        Raises:
            RequestError, EngineError: as the service.
        """
        prepared = await self._service.prepare(self._wire.command(), self._context)
        pieces = self._service.run(prepared)
        try:
            first = await anext(pieces)
        except StopAsyncIteration:
            raise RequestFailedError("the engine ended the reply before it began") from None
        failures: list[Exception] = []

        async def finish(ended_with: BaseException | None) -> None:
            await pieces.aclose()
            self._service.ended(self._context, failures[0] if failures else ended_with)

        return EventStream(self._events(prepared, first, pieces, failures), finish)

    async def _events(
        self,
        prepared: PreparedRequest,
        first: ReplyPiece,
        rest: AsyncGenerator[ReplyPiece, None],
        failures: list[Exception],
    ) -> AsyncGenerator[bytes, None]:
        try:
            async for event in self._reply(prepared, first, rest):
                yield event
        except Exception as failure:  # the status is out: every failure has to become an event
            # Where the server itself ended it, the failure says all that there is to say.
            told = None if isinstance(failure, ServerError) else failure
            logger.error("%s failed in mid-stream: %s", self._id, type(failure).__name__, exc_info=told)
            failures.append(failure)
            # No [DONE] after this: what was sent is not a whole reply.
            yield f"data: {json.dumps(describe(failure).body())}\n\n".encode()

    async def _reply(
        self, prepared: PreparedRequest, first: ReplyPiece, rest: AsyncGenerator[ReplyPiece, None]
    ) -> AsyncGenerator[bytes, None]:
        """Events up to [DONE]; those that are known at once go out as one piece, which is one system call."""
        templates = [self._template(prepared, index) for index in range(prepared.command.replies)]
        last: dict[int, GenerationChunk] = {}
        tokens = cached = finished = 0
        events = b""
        async for piece in _chained(first, rest):
            index, chunk = piece.index, piece.chunk
            events = b""
            if index not in last:
                # In the first event of all: what a client wants to know of the plan before it reads on.
                report = None if last else self._service.report(prepared, chunk.tokens_steered)
                cached = chunk.cached_tokens if index == 0 else cached
                events = self._chunk(prepared, index, Delta(role="assistant", content=""), scalpel=report)
            last[index] = chunk
            tokens += len(chunk.token_ids)
            events += self._content(prepared, index, chunk, templates[index])
            if chunk.finish_reason is not None:
                finished += 1
                steered = sum(c.tokens_steered for c in last.values())
                report = self._service.report(prepared, steered) if finished == prepared.command.replies else None
                events += self._chunk(prepared, index, Delta(), finish=chunk.finish_reason, scalpel=report)
            if events and finished < prepared.command.replies:
                yield events
        if finished < prepared.command.replies:
            _finish_reason(None)
        if self._wire.include_usage:
            events += self._usage(prepared, tokens, cached)
        yield events + DONE

    def _content(
        self, prepared: PreparedRequest, index: int, chunk: GenerationChunk, template: tuple[bytes, bytes]
    ) -> bytes:
        """The event of new text, and of new tokens where they are reported: text may lag behind them."""
        if self._wire.logprobs and chunk.token_ids:
            return self._chunk(prepared, index, Delta(content=chunk.text), logprobs=self._logprobs([chunk]))
        return template[0] + to_json(chunk.text) + template[1] if chunk.text else b""

    def _template(self, prepared: PreparedRequest, index: int) -> tuple[bytes, bytes]:
        """What stands before and behind the text in a text event.

        These events differ in their text only, and serialising a model for each would take longer than choosing its
        token.
        """
        before, _, after = self._chunk(prepared, index, Delta(content=_PLACE)).partition(to_json(_PLACE))
        return before, after

    def _logprobs(self, chunks: Sequence[GenerationChunk]) -> ChoiceLogprobs | None:
        if not self._wire.logprobs:
            return None
        named = self._wire.top_logprobs or 0
        return choice_logprobs(chunks, self._service.piece, named)

    def _chunk(
        self,
        prepared: PreparedRequest,
        index: int,
        delta: Delta,
        *,
        logprobs: ChoiceLogprobs | None = None,
        finish: FinishReason | None = None,
        scalpel: Report | None = None,
    ) -> bytes:
        chunk = ChatCompletionChunk(
            id=self._id,
            created=self._created,
            model=self._wire.model,
            choices=(ChunkChoice(index=index, delta=delta, logprobs=logprobs, finish_reason=finish),),
            scalpel=scalpel,
        )
        return _event(chunk)

    def _usage(self, prepared: PreparedRequest, completion_tokens: int, cached_tokens: int) -> bytes:
        usage = Usage.of(prepared.prompt_tokens, completion_tokens, cached_tokens)
        return _event(
            UsageChunk(
                id=self._id,
                created=self._created,
                model=self._wire.model,
                usage=usage,
            )
        )


async def _chained(first: ReplyPiece, rest: AsyncGenerator[ReplyPiece, None]) -> AsyncGenerator[ReplyPiece, None]:
    yield first
    async for piece in rest:
        yield piece


def _event(body: BaseModel) -> bytes:
    return f"data: {body.model_dump_json()}\n\n".encode()


def _finish_reason(last: GenerationChunk | None) -> FinishReason:
    if last is None or last.finish_reason is None:
        raise RequestFailedError("the engine ended the reply without saying why")
    return last.finish_reason

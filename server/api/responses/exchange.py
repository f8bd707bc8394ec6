"""One request and its answer, as a whole or as a stream of typed events."""

from __future__ import annotations

import logging
import time
from collections.abc import AsyncGenerator
from contextlib import aclosing

from server.api.chat.answers import TokenLogprobs
from server.api.chat.logprobs import choice_logprobs
from server.api.connection import EventStream
from server.api.errors import describe
from server.api.headers import answer_headers
from server.api.responses.answers import (
    FailureDetails,
    IncompleteDetails,
    OutputMessage,
    OutputText,
    Progress,
    ResponseObject,
    ResponseUsage,
)
from server.api.responses.events import EventWriter
from server.api.responses.wire import ResponseRequest
from server.engines.base import FinishReason, GenerationChunk, RequestFailedError
from server.generation.command import PreparedRequest, ReplyPiece
from server.generation.context import RequestContext
from server.generation.service import GenerationService

logger = logging.getLogger(__name__)


class ResponseExchange:
    """Turns what the service yields into response objects and events."""

    def __init__(self, service: GenerationService, wire: ResponseRequest, context: RequestContext) -> None:
        self._service = service
        self._wire = wire
        self._context = context
        self._id = f"resp_{context.request_id}"
        self._item_id = f"msg_{context.request_id}"
        self._created = int(time.time())

    async def whole(self) -> ResponseObject:
        """The response of a request that does not stream.

        Raises:
            RequestError, EngineError: as the service.
        """
        prepared = await self._service.prepare(self._wire.command(), self._context)
        chunks: list[GenerationChunk] = []
        async with aclosing(self._service.run(prepared)) as pieces:
            async for piece in pieces:
                chunks.append(piece.chunk)
        return self._ended(prepared, chunks)

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

        stream = EventStream(self._events(prepared, first, pieces, failures), finish)
        report = self._service.report(prepared, first.chunk.tokens_steered)
        stream.headers.update(answer_headers([report], self._context.request_id))
        return stream

    async def _events(
        self,
        prepared: PreparedRequest,
        first: ReplyPiece,
        rest: AsyncGenerator[ReplyPiece, None],
        failures: list[Exception],
    ) -> AsyncGenerator[bytes, None]:
        writer = EventWriter(self._item_id)
        chunks: list[GenerationChunk] = []
        try:
            async for events in self._reply(writer, prepared, first, rest, chunks):
                yield events
        except Exception as failure:  # the status is out: every failure has to become an event
            logger.exception("%s failed in mid-stream", self._id)
            failures.append(failure)
            yield writer.failure(self._failed(prepared, chunks, failure))

    async def _reply(
        self,
        writer: EventWriter,
        prepared: PreparedRequest,
        first: ReplyPiece,
        rest: AsyncGenerator[ReplyPiece, None],
        chunks: list[GenerationChunk],
    ) -> AsyncGenerator[bytes, None]:
        """Events up to the last; those that are known at once go out as one piece, which is one system call."""
        events = writer.opening(self._response(prepared, first.chunk.tokens_steered))
        async for piece in _chained(first, rest):
            chunks.append(piece.chunk)
            events += writer.delta(piece.chunk.text, self._logprobs([piece.chunk]))
            if events and piece.chunk.finish_reason is None:
                yield events
                events = b""
        yield events + writer.closing(self._ended(prepared, chunks))

    def _logprobs(self, chunks: list[GenerationChunk]) -> tuple[TokenLogprobs, ...]:
        if not self._wire.logprobs:
            return ()
        return tuple(choice_logprobs(chunks, self._service.piece, self._wire.top_logprobs or 0).content)

    def _response(self, prepared: PreparedRequest, tokens_steered: int) -> ResponseObject:
        """The response in progress, with what the request settles."""
        wire = self._wire
        return ResponseObject(
            id=self._id,
            created_at=self._created,
            status="in_progress",
            model=wire.model,
            scalpel=self._service.report(prepared, tokens_steered),
            instructions=wire.instructions,
            max_output_tokens=wire.max_output_tokens,
            temperature=prepared.command.temperature,
            top_p=prepared.command.top_p,
            top_logprobs=prepared.command.top_logprobs,
            metadata=wire.metadata or {},
            parallel_tool_calls=wire.parallel_tool_calls is not False,
            tool_choice=wire.tool_choice or "auto",
        )

    def _ended(self, prepared: PreparedRequest, chunks: list[GenerationChunk]) -> ResponseObject:
        """The response of a reply that came to its end.

        Raises:
            RequestFailedError: it did not.
        """
        if not chunks or chunks[-1].finish_reason is None:
            raise RequestFailedError("the engine ended the reply without saying why")
        whole = chunks[-1].finish_reason is FinishReason.STOP
        text = OutputText(text="".join(chunk.text for chunk in chunks), logprobs=self._logprobs(chunks))
        status: Progress = "completed" if whole else "incomplete"
        changes = {
            "status": status,
            "incomplete_details": None if whole else IncompleteDetails(),
            "output": (OutputMessage(id=self._item_id, status=status, content=(text,)),),
            "usage": ResponseUsage.of(
                prepared.prompt_tokens, sum(len(chunk.token_ids) for chunk in chunks), chunks[0].cached_tokens
            ),
        }
        return self._response(prepared, chunks[-1].tokens_steered).model_copy(update=changes)

    def _failed(self, prepared: PreparedRequest, chunks: list[GenerationChunk], failure: Exception) -> ResponseObject:
        """The response of a reply that failed: what was sent of it is no reply."""
        changes = {"status": "failed", "error": FailureDetails(message=describe(failure).message)}
        return self._response(prepared, chunks[-1].tokens_steered).model_copy(update=changes)


async def _chained(first: ReplyPiece, rest: AsyncGenerator[ReplyPiece, None]) -> AsyncGenerator[ReplyPiece, None]:
    yield first
    async for piece in rest:
        yield piece

"""One request and its answer, as a whole or as a stream of chunks."""

from __future__ import annotations

import json
import logging
import time
from collections.abc import AsyncGenerator, Callable
from contextlib import aclosing

from pydantic import BaseModel
from pydantic_core import to_json

from server.api.chat.answers import (
    AssistantMessage,
    ChatCompletion,
    ChatCompletionChunk,
    Choice,
    ChunkChoice,
    Delta,
    Usage,
    UsageChunk,
)
from server.api.chat.wire import ChatCompletionRequest
from server.api.connection import EventStream
from server.api.errors import describe
from server.chat.command import PreparedChat, RequestClock
from server.chat.report import Report
from server.chat.service import ChatService
from server.engines.base import FinishReason, GenerationChunk, RequestFailedError

logger = logging.getLogger(__name__)

DONE = b"data: [DONE]\n\n"

_PLACE = "\u0000text\u0000"
"""Stands where text will be; no model name or request id holds it."""


class Exchange:
    """Turns what the service yields into response bodies."""

    def __init__(self, service: ChatService, wire: ChatCompletionRequest, clock: RequestClock) -> None:
        self._service = service
        self._wire = wire
        self._clock = clock
        self._created = int(time.time())

    async def whole(self) -> ChatCompletion:
        """The response of a request that does not stream.

        Raises:
            RequestError, EngineError: as the service.
        """
        prepared = await self._service.prepare(self._wire.command())
        async with aclosing(self._service.run(prepared, self._clock)) as run:
            chunks = [chunk async for chunk in run]
        finish = _finish_reason(chunks[-1] if chunks else None)
        message = AssistantMessage(content="".join(chunk.text for chunk in chunks))
        return ChatCompletion(
            id=prepared.request.request_id,
            created=self._created,
            model=self._wire.model,
            choices=(Choice(message=message, finish_reason=finish),),
            usage=Usage.of(prepared.prompt_tokens, sum(len(chunk.token_ids) for chunk in chunks)),
            scalpel=self._service.report(prepared, chunks[-1].tokens_steered),
        )

    async def stream(self) -> EventStream:
        """The response of a request that streams; waits for the first piece, so that what is refused before it
        gets its own status.

        Raises:
            RequestError, EngineError: as the service.
        """
        prepared = await self._service.prepare(self._wire.command())
        chunks = self._service.run(prepared, self._clock)
        try:
            first = await anext(chunks)
        except StopAsyncIteration:
            raise RequestFailedError("the engine ended the reply before it began") from None
        failures: list[Exception] = []

        async def finish(ended_with: BaseException | None) -> None:
            await chunks.aclose()
            self._service.ended(self._clock, failures[0] if failures else ended_with)

        return EventStream(self._events(prepared, first, chunks, failures), finish)

    async def _events(
        self,
        prepared: PreparedChat,
        first: GenerationChunk,
        rest: AsyncGenerator[GenerationChunk, None],
        failures: list[Exception],
    ) -> AsyncGenerator[bytes, None]:
        try:
            async for event in self._reply(prepared, first, rest):
                yield event
        except Exception as failure:  # the status is out: every failure has to become an event
            logger.exception("%s failed in mid-stream", prepared.request.request_id)
            failures.append(failure)
            # No [DONE] after this: what was sent is not a whole reply.
            yield f"data: {json.dumps(describe(failure).body())}\n\n".encode()

    async def _reply(
        self, prepared: PreparedChat, first: GenerationChunk, rest: AsyncGenerator[GenerationChunk, None]
    ) -> AsyncGenerator[bytes, None]:
        """Events up to [DONE]; those that are known at once go out as one piece, which is one system call."""
        text_event = self._text_events(prepared)
        report = self._service.report(prepared, first.tokens_steered)
        piece = self._chunk(prepared, Delta(role="assistant", content=""), scalpel=report) + text_event(first.text)
        last, tokens = first, len(first.token_ids)
        if first.finish_reason is None:
            yield piece
            piece = b""
            async for last in rest:
                tokens += len(last.token_ids)
                piece = text_event(last.text)
                if piece and last.finish_reason is None:
                    yield piece
        report = self._service.report(prepared, last.tokens_steered)
        piece += self._chunk(prepared, Delta(), finish=_finish_reason(last), scalpel=report)
        if self._wire.include_usage:
            piece += self._usage(prepared, tokens)
        yield piece + DONE

    def _text_events(self, prepared: PreparedChat) -> Callable[[str], bytes]:
        """Text -> its event, nothing for no text.

        These events differ in their text only, and serialising a model for each would take longer than choosing its
        token.
        """
        before, _, after = self._chunk(prepared, Delta(content=_PLACE)).partition(to_json(_PLACE))
        return lambda text: before + to_json(text) + after if text else b""

    def _chunk(
        self, prepared: PreparedChat, delta: Delta, finish: FinishReason | None = None, scalpel: Report | None = None
    ) -> bytes:
        chunk = ChatCompletionChunk(
            id=prepared.request.request_id,
            created=self._created,
            model=self._wire.model,
            choices=(ChunkChoice(delta=delta, finish_reason=finish),),
            scalpel=scalpel,
        )
        return _event(chunk)

    def _usage(self, prepared: PreparedChat, completion_tokens: int) -> bytes:
        usage = Usage.of(prepared.prompt_tokens, completion_tokens)
        return _event(
            UsageChunk(
                id=prepared.request.request_id,
                created=self._created,
                model=self._wire.model,
                usage=usage,
            )
        )


def _event(body: BaseModel) -> bytes:
    return f"data: {body.model_dump_json()}\n\n".encode()


def _finish_reason(last: GenerationChunk | None) -> FinishReason:
    if last is None or last.finish_reason is None:
        raise RequestFailedError("the engine ended the reply without saying why")
    return last.finish_reason

"""How chat completions are written: whole, and as the events of a stream."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Sequence

from server.api.chat.answers import (
    AssistantMessage,
    ChatCompletion,
    ChatCompletionChunk,
    Choice,
    ChoiceFinish,
    ChoiceLogprobs,
    ChunkChoice,
    Delta,
    UsageChunk,
)
from server.api.chat.calls import CallDeltas, CalledMessage, finish_of
from server.api.chat.logprobs import choice_logprobs
from server.api.chat.wire import ChatCompletionRequest
from server.api.errors import ErrorReply
from server.api.events import DONE, PLACE, TextEvent, error_event, event
from server.api.exchange import Answer, finish_reason
from server.api.usage import TokenCounts, Usage
from server.engines.base import GenerationChunk, TokenPiece
from server.generation.command import PreparedRequest
from server.generation.report import Report


class ChatFormat:
    """The `Format` of one chat completion request."""

    def __init__(self, wire: ChatCompletionRequest, piece: Callable[[int], TokenPiece], request_id: str) -> None:
        self._wire = wire
        self._piece = piece
        self._id = f"chatcmpl-{request_id}"
        self._created = int(time.time())
        self._text_events: dict[int, TextEvent] = {}
        self._has_calls = wire.calls is not None
        self._deltas: dict[int, CallDeltas] = {}

    def whole(self, answers: Sequence[Answer], counts: TokenCounts) -> ChatCompletion:
        """The one prompt's replies."""
        [answer] = answers
        return ChatCompletion(
            id=self._id,
            created=self._created,
            model=self._wire.model,
            choices=tuple(self._choice(index, chunks) for index, chunks in enumerate(answer.replies)),
            usage=Usage.of(counts),
            scalpel=answer.report,
        )

    def _choice(self, index: int, chunks: Sequence[GenerationChunk]) -> Choice:
        text = "".join(chunk.text for chunk in chunks)
        message, finish = AssistantMessage(content=text), finish_reason(chunks)
        if self._has_calls:
            called = CalledMessage.of(text)
            return Choice(
                index=index,
                message=called.message,
                logprobs=self._logprobs(chunks),
                finish_reason=called.finish(finish),
            )
        return Choice(index=index, message=message, logprobs=self._logprobs(chunks), finish_reason=finish)

    def begin(self, index: int, prepared: PreparedRequest, first: GenerationChunk, report: Report | None) -> bytes:
        """The role."""
        self._text_events[index] = TextEvent.around(self._chunk(index, Delta(content=PLACE)))
        if self._has_calls:
            self._deltas[index] = CallDeltas()
        # Where there may be a call and no text, there is no content until some comes.
        content = None if self._has_calls else ""
        return self._chunk(index, Delta(role="assistant", content=content), scalpel=report)

    def text(self, index: int, chunk: GenerationChunk) -> bytes:
        """The event of new text, and of new tokens where they are reported: text may lag behind them."""
        if self._has_calls:
            return self._call_events(index, self._deltas[index].of(chunk.text), [chunk])
        if self._wire.logprobs and chunk.token_ids:
            return self._chunk(index, Delta(content=chunk.text), logprobs=self._logprobs([chunk]))
        return self._text_events[index].holding(chunk.text) if chunk.text else b""

    def end(self, index: int, last: GenerationChunk, report: Report | None) -> bytes:
        """Why the reply ended."""
        if not self._has_calls:
            return self._chunk(index, Delta(), finish=last.finish_reason, scalpel=report)
        deltas = self._deltas[index]
        events = self._call_events(index, deltas.finish(), [])
        finish = None if last.finish_reason is None else finish_of(last.finish_reason, calls=deltas.complete)
        return events + self._chunk(index, Delta(), finish=finish, scalpel=report)

    def _call_events(self, index: int, deltas: Iterable[Delta], chunks: Sequence[GenerationChunk]) -> bytes:
        """Events of what is new in a reply that may have calls; new tokens go with the first."""
        logprobs = self._logprobs(chunks) if chunks and chunks[0].token_ids else None
        events = b""
        for delta in deltas:
            events += self._chunk(index, delta, logprobs=logprobs)
            logprobs = None
        return events if logprobs is None else self._chunk(index, Delta(), logprobs=logprobs)

    def close(self, counts: TokenCounts) -> bytes:
        """The usage, if asked for."""
        if not self._wire.include_usage:
            return DONE
        usage = Usage.of(counts)
        return event(UsageChunk(id=self._id, created=self._created, model=self._wire.model, usage=usage)) + DONE

    def failure(self, failure: ErrorReply) -> bytes:
        """The error, and no [DONE]."""
        return error_event(failure)

    def _logprobs(self, chunks: Sequence[GenerationChunk]) -> ChoiceLogprobs | None:
        if not self._wire.logprobs:
            return None
        return choice_logprobs(chunks, self._piece, self._wire.top_logprobs or 0)

    def _chunk(
        self,
        index: int,
        delta: Delta,
        *,
        logprobs: ChoiceLogprobs | None = None,
        finish: ChoiceFinish | None = None,
        scalpel: Report | None = None,
    ) -> bytes:
        choice = ChunkChoice(index=index, delta=delta, logprobs=logprobs, finish_reason=finish)
        chunk = ChatCompletionChunk(
            id=self._id, created=self._created, model=self._wire.model, choices=(choice,), scalpel=scalpel
        )
        return event(chunk)

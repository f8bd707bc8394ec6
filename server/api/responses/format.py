"""How responses of the Responses API are written: whole, and as typed events."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence

from server.api.chat.answers import TokenLogprobs
from server.api.chat.logprobs import choice_logprobs
from server.api.errors import ErrorReply
from server.api.exchange import Answer, finish_reason
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
from server.api.usage import TokenCounts
from server.engines.base import FinishReason, GenerationChunk, TokenPiece
from server.generation.command import PreparedRequest
from server.generation.report import Report


class ResponseFormat:
    """The `Format` of one request to the Responses API, which has one prompt and one reply."""

    def __init__(self, wire: ResponseRequest, piece: Callable[[int], TokenPiece], request_id: str) -> None:
        self._wire = wire
        self._piece = piece
        self._id = f"resp_{request_id}"
        self._item_id = f"msg_{request_id}"
        self._created = int(time.time())
        self._events = EventWriter(self._item_id)
        self._chunks: list[GenerationChunk] = []
        self._report: Report | None = None

    def whole(self, answers: Sequence[Answer], counts: TokenCounts) -> ResponseObject:
        """The response of a reply that came to its end."""
        [answer] = answers
        [chunks] = answer.replies
        return self._ended(chunks, answer.report, counts)

    def begin(self, index: int, prepared: PreparedRequest, first: GenerationChunk, report: Report | None) -> bytes:
        """The response in progress, and where its text will be."""
        self._report = report
        return self._events.opening(self._response(report))

    def text(self, index: int, chunk: GenerationChunk) -> bytes:
        """The event of new text, and of new tokens where they are reported."""
        self._chunks.append(chunk)
        return self._events.delta(chunk.text, self._logprobs([chunk]))

    def end(self, index: int, last: GenerationChunk, report: Report | None) -> bytes:
        """Nothing yet: what ends a response carries the usage."""
        self._report = report
        return b""

    def close(self, counts: TokenCounts) -> bytes:
        """All of the text, and the response as it would have been without a stream."""
        return self._events.closing(self._ended(self._chunks, self._report, counts))

    def failure(self, failure: ErrorReply) -> bytes:
        """A response that failed. What was sent of it is no reply, so it has no output."""
        changes = {"status": "failed", "error": FailureDetails(message=failure.message)}
        return self._events.failure(self._response(self._report).model_copy(update=changes))

    def _response(self, report: Report | None) -> ResponseObject:
        """The response in progress, with what the request settles."""
        wire = self._wire
        return ResponseObject(
            id=self._id,
            created_at=self._created,
            status="in_progress",
            model=wire.model,
            scalpel=report,
            instructions=wire.instructions,
            max_output_tokens=wire.max_output_tokens,
            temperature=1.0 if wire.temperature is None else wire.temperature,
            top_p=1.0 if wire.top_p is None else wire.top_p,
            top_logprobs=wire.top_logprobs or 0,
            metadata=wire.metadata or {},
            parallel_tool_calls=wire.parallel_tool_calls is not False,
            tool_choice=wire.tool_choice or "auto",
        )

    def _ended(self, chunks: Sequence[GenerationChunk], report: Report | None, counts: TokenCounts) -> ResponseObject:
        whole = finish_reason(chunks) is FinishReason.STOP
        status: Progress = "completed" if whole else "incomplete"
        text = OutputText(text="".join(chunk.text for chunk in chunks), logprobs=self._logprobs(chunks))
        changes = {
            "status": status,
            "incomplete_details": None if whole else IncompleteDetails(),
            "output": (OutputMessage(id=self._item_id, status=status, content=(text,)),),
            "usage": ResponseUsage.of(counts),
        }
        return self._response(report).model_copy(update=changes)

    def _logprobs(self, chunks: Sequence[GenerationChunk]) -> tuple[TokenLogprobs, ...]:
        if not self._wire.logprobs:
            return ()
        return tuple(choice_logprobs(chunks, self._piece, self._wire.top_logprobs or 0).content)

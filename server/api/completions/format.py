"""How text completions are written: whole, and as the events of a stream."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence

from server.api.completions.answers import (
    Completion,
    CompletionChoice,
    CompletionEvent,
    CompletionLogprobs,
    CompletionUsageEvent,
)
from server.api.completions.logprobs import ReplyLogprobs
from server.api.completions.wire import CompletionRequest
from server.api.errors import ErrorReply
from server.api.events import DONE, PLACE, TextEvent, error_event, event
from server.api.exchange import Answer, finish_reason
from server.api.usage import TokenCounts, Usage
from server.engines.base import GenerationChunk, TokenPiece
from server.generation.command import PreparedRequest
from server.generation.report import Report


class CompletionFormat:
    """The `Format` of one text completion request."""

    def __init__(
        self,
        wire: CompletionRequest,
        piece: Callable[[int], TokenPiece],
        request_id: str,
    ) -> None:
        self._wire = wire
        self._piece = piece
        self._id = f"cmpl-{request_id}"
        self._created = int(time.time())
        self._alone = len(wire.prompt) == 1
        """Whether reports stand at the top."""
        self._text_events: dict[int, TextEvent] = {}
        self._logprobs: dict[int, ReplyLogprobs] = {}

    def whole(self, answers: Sequence[Answer], counts: TokenCounts) -> Completion:
        """All replies to all prompts."""
        replies = len(answers[0].replies)
        choices = tuple(
            self._choice(prompt * replies + reply, answer, chunks)
            for prompt, answer in enumerate(answers)
            for reply, chunks in enumerate(answer.replies)
        )
        return Completion(
            id=self._id,
            created=self._created,
            model=self._wire.model,
            choices=choices,
            usage=Usage.of(counts),
            scalpel=answers[0].report if self._alone else None,
        )

    def _choice(self, index: int, answer: Answer, chunks: Sequence[GenerationChunk]) -> CompletionChoice:
        echoed = self._echoed(answer.prepared)
        logprobs = None
        if self._wire.logprobs is not None:
            scores = ReplyLogprobs(self._piece, self._wire.logprobs)
            of_prompt = self._prompt_logprobs(scores, answer.prepared, chunks[0], echoed)
            logprobs = _joined(of_prompt, scores.chunks(chunks))
        return CompletionChoice(
            index=index,
            text=echoed + "".join(chunk.text for chunk in chunks),
            logprobs=logprobs,
            finish_reason=finish_reason(chunks),
            scalpel=None if self._alone else answer.report,
        )

    def begin(self, index: int, prepared: PreparedRequest, first: GenerationChunk, report: Report | None) -> bytes:
        """The report, and the prompt where it is echoed."""
        self._text_events[index] = TextEvent.around(self._event(index, text=PLACE))
        echoed, logprobs = self._echoed(prepared), None
        if self._wire.logprobs is not None:
            self._logprobs[index] = ReplyLogprobs(self._piece, self._wire.logprobs)
            logprobs = self._prompt_logprobs(self._logprobs[index], prepared, first, echoed)
        if not echoed and report is None:
            return b""
        return self._event(index, text=echoed, logprobs=logprobs, report=report)

    def text(self, index: int, chunk: GenerationChunk) -> bytes:
        """The event of new text, and of new tokens where they are reported: text may lag behind them."""
        if self._wire.logprobs is not None and chunk.token_ids:
            return self._event(index, text=chunk.text, logprobs=self._logprobs[index].chunks([chunk]))
        return self._text_events[index].holding(chunk.text) if chunk.text else b""

    def end(self, index: int, last: GenerationChunk, report: Report | None) -> bytes:
        """Why the reply ended."""
        return self._event(index, last=last, report=report)

    def close(self, counts: TokenCounts) -> bytes:
        """The usage, if asked for."""
        if not self._wire.include_usage:
            return DONE
        usage = Usage.of(counts)
        body = CompletionUsageEvent(id=self._id, created=self._created, model=self._wire.model, usage=usage)
        return event(body) + DONE

    def failure(self, failure: ErrorReply) -> bytes:
        """The error, and no [DONE]."""
        return error_event(failure)

    def _echoed(self, prepared: PreparedRequest) -> str:
        return "".join(turn["content"] for turn in prepared.conversation) if self._wire.echo else ""

    def _prompt_logprobs(
        self, scores: ReplyLogprobs, prepared: PreparedRequest, first: GenerationChunk, echoed: str
    ) -> CompletionLogprobs | None:
        if not self._wire.scores_prompts:
            return None
        return scores.prompt(prepared.request.prompt_token_ids, first.prompt_logprobs, echoed)

    def _event(
        self,
        index: int,
        *,
        text: str = "",
        logprobs: CompletionLogprobs | None = None,
        last: GenerationChunk | None = None,
        report: Report | None = None,
    ) -> bytes:
        choice = CompletionChoice(
            index=index,
            text=text,
            logprobs=logprobs,
            finish_reason=last.finish_reason if last is not None else None,
            scalpel=None if self._alone else report,
        )
        body = CompletionEvent(
            id=self._id,
            created=self._created,
            model=self._wire.model,
            choices=(choice,),
            scalpel=report if self._alone else None,
        )
        return event(body)


def _joined(prompt: CompletionLogprobs | None, reply: CompletionLogprobs) -> CompletionLogprobs:
    if prompt is None:
        return reply
    named = prompt.top_logprobs is not None and reply.top_logprobs is not None
    return CompletionLogprobs(
        tokens=prompt.tokens + reply.tokens,
        token_logprobs=prompt.token_logprobs + reply.token_logprobs,
        top_logprobs=(prompt.top_logprobs or []) + (reply.top_logprobs or []) if named else None,
        text_offset=prompt.text_offset + reply.text_offset,
    )

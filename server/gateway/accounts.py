"""What a request leaves behind: how it ended, what it used, and its replies for the scorer. Once, however it ends.

None of it holds up the reply: texts are read after it was sent, on a thread.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Sequence
from dataclasses import dataclass, field

from breakers.scoring import ScoredReply
from server.access.rates import RateLimiter
from server.deployment import Deployments
from server.engines.base import EngineOverloadedError, EngineStats
from server.gateway.errors import UpstreamError
from server.gateway.metrics import UpstreamMetrics
from server.gateway.planning import PlannedRequest
from server.gateway.replies import TokenUsage, texts_in, texts_in_events, usage_in
from server.generation.context import RequestContext
from server.generation.pace import Pace
from server.generation.service import outcome_of
from server.harm.outputs import FinishedReply, OutputScoring
from server.logs import REQUEST, RequestRecord
from server.metrics import Metrics, Unscored

logger = logging.getLogger(__name__)

KEPT_BYTES = 4 * 1024 * 1024
"""Of a stream's events, for the scorer; a longer reply is not scored."""
READERS = 8
"""Replies that are read at once; the next ones go unscored."""


@dataclass(slots=True, kw_only=True)
class Ledger:
    """One request on its way."""

    planned: PlannedRequest
    metrics: Metrics
    keeps: bool
    """Whether the reply is wanted afterwards."""
    replies: int = 1
    """To each prompt."""
    echoes: bool = False
    """Whether replies begin with their prompts."""
    record: RequestRecord | None = None
    events: list[bytes] = field(default_factory=list)
    kept: int = 0
    pieces: int = 0
    """Events of replies so far."""
    usage_event: bytes | None = None
    """The last one that may report the usage so far."""
    failure: Exception | None = None
    """What ended it, where the client heard of it in the stream."""

    def replied(self, event: bytes) -> None:
        """A piece of a reply came."""
        if not self.pieces:
            self.metrics.began(self.planned.context.elapsed())
        self.pieces += 1
        if self.keeps:
            self.kept += len(event)
            self.keeps = self.kept <= KEPT_BYTES
            self.events.append(event)


class Accounts:
    """Keeps the ledgers. Belongs to the event loop."""

    def __init__(
        self,
        *,
        metrics: Metrics,
        upstream: UpstreamMetrics,
        outputs: OutputScoring | None,
        rates: RateLimiter,
        deployments: Deployments,
    ) -> None:
        self._deployments = deployments
        self._pace = Pace()
        self._running = 0
        self._metrics = metrics
        self._upstream = upstream
        self._outputs = outputs
        self._rates = rates
        self._reading: set[asyncio.Task[None]] = set()

    @property
    def running(self) -> int:
        """Requests that were let in and are not over."""
        return self._running

    def let_in(self, most: int) -> None:
        """Count a request in.

        Raises:
            EngineOverloadedError: as many run as may.
        """
        if self._running >= most:
            full = EngineOverloadedError(f"{self._running} requests run; this gateway takes {most}")
            full.retry_after_seconds = self._pace.retry_after(EngineStats(running=0, waiting=self._running, steps=0))
            raise full
        self._running += 1

    def ended(self, context: RequestContext, error: BaseException | None, *, let_in: bool = True) -> None:
        """Count a request by how it ended, once each, also those that were never planned.

        Args:
            context: its own.
            error: what it ended with.
            let_in: whether `let_in` counted it.
        """
        self._running -= let_in
        self._deployments.release(context.request_id)
        if error is None:
            self._pace.took(context.elapsed())
        if isinstance(error, UpstreamError):
            self._upstream.failed()
        self._metrics.request_ended(outcome_of(error), context.elapsed())

    def open(self, planned: PlannedRequest, *, replies: int, echoes: bool) -> Ledger:
        """A request is about to be sent.

        Args:
            planned: it.
            replies: to each prompt.
            echoes: whether replies begin with their prompts; such are not scored.
        """
        return Ledger(
            planned=planned,
            metrics=self._metrics,
            keeps=self._outputs is not None and not echoes,
            replies=replies,
            echoes=echoes,
            record=REQUEST.get(),
        )

    def close(self, ledger: Ledger, error: BaseException | None, body: bytes | None = None) -> None:
        """The request is over.

        Args:
            ledger: its own.
            error: what it ended with; None where it was answered whole.
            body: of a reply that did not stream.
        """
        self.ended(ledger.planned.context, error)
        told = ledger.usage_event if body is None else body
        usage = None if told is None else usage_in(told)
        if usage is not None:
            self._spend(ledger, usage)
        else:
            # Cut off before vLLM said: each event had a token at least.
            self._rates.spend(ledger.planned.context.caller.key_id, ledger.planned.rates, ledger.pieces)
        if body is not None and error is None:
            self._metrics.began(ledger.planned.context.elapsed())
        if error is None:
            self._offer(ledger, body)

    def _spend(self, ledger: Ledger, usage: TokenUsage) -> None:
        planned = ledger.planned
        self._metrics.prompt_taken(usage.prompt)
        self._metrics.prompt_reused(usage.cached)
        self._metrics.replied(usage.completion)
        # One was taken when the request came.
        self._rates.spend(planned.context.caller.key_id, planned.rates, max(0, usage.total - 1))
        if ledger.record is not None:
            ledger.record.prompt_tokens += usage.prompt
            ledger.record.completion_tokens += usage.completion

    def _offer(self, ledger: Ledger, body: bytes | None) -> None:
        if self._outputs is None or ledger.echoes:
            return
        if not ledger.keeps or len(self._reading) >= READERS:
            self._metrics.output_unscored(Unscored.QUEUE_FULL)
            return
        task = asyncio.create_task(self._read(self._outputs, ledger, body), name="reply-texts")
        self._reading.add(task)
        task.add_done_callback(self._reading.discard)

    async def _read(self, outputs: OutputScoring, ledger: Ledger, body: bytes | None) -> None:
        planned, last = ledger.planned, len(ledger.planned.prompts) - 1
        for index, text in (await asyncio.to_thread(_texts, body, ledger.events)).items():
            scored = ScoredReply(messages=planned.prompts[min(index // ledger.replies, last)], reply=text)
            outputs.offer(
                FinishedReply(
                    scored=scored, applied_behaviours=planned.behaviours, harm_potential=planned.harm_potential
                )
            )


def _texts(body: bytes | None, events: Sequence[bytes]) -> dict[int, str]:
    return texts_in_events(events) if body is None else texts_in(body)

"""What a step gave, to the parent in one message; written by the engine's thread itself."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Sequence
from typing import cast

from server.engines.apart.failures import Failure
from server.engines.apart.messages import Ended, News, Telling, frame
from server.engines.base import EngineError, GenerationChunk, RequestFailedError
from server.engines.embedded.replies import News as Item
from server.engines.embedded.replies import ReplyReader
from server.engines.embedded.sequence import RunningRequest

logger = logging.getLogger(__name__)

Send = Callable[..., bool]
"""`Connection.send`."""


class WireReader:
    """The parent, as the reader of one request."""

    __slots__ = ("cancelled", "carrier", "number", "running")

    def __init__(self, number: int, carrier: NewsCarrier) -> None:
        self.number = number
        self.carrier = carrier
        self.running: RunningRequest | None = None
        """Once it was admitted."""
        self.cancelled = False


class NewsCarrier:
    """Carries replies and hears of the engine's steps.

    `open`, `cancel` and `refuse` belong to the event loop's thread, everything else to the engine's.
    """

    def __init__(self, send: Send) -> None:
        """`send` writes frames, from any thread."""
        self._send = send
        self._readers: dict[int, WireReader] = {}
        self._holders: frozenset[int] = frozenset()
        """Requests with a slot, as last seen."""
        self._started: tuple[int, ...] = ()
        self._freed: tuple[int, ...] = ()
        self._steps = 0

    def open(self, number: int) -> WireReader:
        """The reader of a new request."""
        reader = self._readers[number] = WireReader(number, self)
        return reader

    def cancel(self, number: int) -> WireReader | None:
        """The reader of a request that nobody waits for any more; None where it is over."""
        reader = self._readers.pop(number, None)
        if reader is not None:
            reader.cancelled = True
        return reader

    def refuse(self, reader: WireReader, error: Exception) -> None:
        """A request was not admitted."""
        self._readers.pop(reader.number, None)
        self._tell(News(steps=0, failures=((reader.number, Failure.of(error)),)))

    def before_step(self, running: Sequence[RunningRequest]) -> None:
        """See `StepWatcher`: who starts, or was cancelled, is told before the forwards, which may take long."""
        self._look(running)
        if self._started or self._freed:
            self._tell(self._news())

    def after_step(self, running: Sequence[RunningRequest], steps: int) -> None:
        """See `StepWatcher`; told with what the step gave."""
        self._steps = steps
        self._look(running)

    def ended(self, reason: str) -> None:
        """See `StepWatcher`."""
        self._tell(Ended(reason=reason))

    def carry(self, news: Sequence[tuple[ReplyReader, Item]]) -> Iterable[ReplyReader]:
        """See `ReplyCarrier`. Readers are lost where the parent does not read what was sent before."""
        chunks: list[tuple[int, GenerationChunk]] = []
        failures: list[tuple[int, Failure]] = []
        for reader, item in news:
            # Nothing else names this carrier.
            number = cast(WireReader, reader).number
            if isinstance(item, EngineError):
                failures.append((number, Failure.of(item)))
            else:
                chunks.append((number, item))
                if item.finish_reason is None:
                    continue
            self._readers.pop(number, None)
        message = self._news(tuple(chunks), tuple(failures))
        if self._send(frame(message), can_be_lost=True):
            return ()
        return self._give_up(message, [reader for reader, _ in news])

    def _give_up(self, message: News, readers: list[ReplyReader]) -> list[ReplyReader]:
        logger.warning("%d replies were ended: the server does not take what the engine sends", len(readers))
        slow = Failure.of(RequestFailedError("the server did not take the reply in time"))
        failed = tuple((number, slow) for number, _ in message.chunks)
        for number, _ in failed:
            self._readers.pop(number, None)
        self._tell(
            News(
                steps=message.steps,
                started=message.started,
                freed=message.freed,
                failures=message.failures + failed,
            )
        )
        return readers

    def _look(self, running: Sequence[RunningRequest]) -> None:
        holders = frozenset(r.reader.number for r in running if isinstance(r.reader, WireReader))
        if holders != self._holders:
            self._started += tuple(holders - self._holders)
            self._freed += tuple(self._holders - holders)
            self._holders = holders

    def _news(
        self, chunks: tuple[tuple[int, GenerationChunk], ...] = (), failures: tuple[tuple[int, Failure], ...] = ()
    ) -> News:
        started, self._started = self._started, ()
        freed, self._freed = self._freed, ()
        return News(steps=self._steps, started=started, freed=freed, chunks=chunks, failures=failures)

    def _tell(self, message: Telling) -> None:
        self._send(frame(message))

"""The way back: from the engine's thread to whoever waits for a reply.

Each reply has a reader. The news of a step go out once for each carrier, however many replies it carries.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Protocol, TypeAlias, cast, runtime_checkable

from server.engines.base import EngineError, GenerationChunk

News: TypeAlias = GenerationChunk | EngineError
"""What a step gave a request: a piece of its reply, or its end."""


@runtime_checkable
class ReplyReader(Protocol):
    """Whom the news of one request are for."""

    @property
    def carrier(self) -> ReplyCarrier:
        """What brings it its news; readers with equal carriers get those of a step together."""
        ...


@runtime_checkable
class ReplyCarrier(Protocol):
    """Brings news to the readers that name it. Hashable."""

    def carry(self, news: Sequence[tuple[ReplyReader, News]]) -> Iterable[ReplyReader]:
        """Take the news of a step, in order, on the engine's thread; must not wait.

        Returns:
            The readers that could not be reached: nobody waits there any more.
        """
        ...


@dataclass(frozen=True, slots=True)
class LoopCarrier:
    """To readers on one event loop, which is woken once."""

    loop: asyncio.AbstractEventLoop

    def carry(self, news: Sequence[tuple[ReplyReader, News]]) -> Iterable[ReplyReader]:
        """Hand them over; see `ReplyCarrier`."""
        try:
            self.loop.call_soon_threadsafe(_put_all, news)
        except RuntimeError:  # the loop is closed
            return [reader for reader, _ in news]
        return ()


class ReplyStream:
    """Chunks of one reply, in order. Made and read on an event loop, filled by `deliver` from any thread."""

    def __init__(self) -> None:
        """Must be made inside a running event loop."""
        self.carrier = LoopCarrier(asyncio.get_running_loop())
        self._items: asyncio.Queue[News] = asyncio.Queue()

    async def next(self) -> GenerationChunk:
        """The next chunk.

        Raises:
            EngineError: the request failed.
        """
        item = await self._items.get()
        if isinstance(item, EngineError):
            raise item
        return item

    def put(self, item: News) -> None:
        """Append; on the event loop's own thread only."""
        self._items.put_nowait(item)


def deliver(items: Iterable[tuple[ReplyReader, News]]) -> list[ReplyReader]:
    """Hand news over, to each carrier once.

    Returns:
        The readers that could not be reached.
    """
    by_carrier: dict[ReplyCarrier, list[tuple[ReplyReader, News]]] = {}
    for reader, item in items:
        by_carrier.setdefault(reader.carrier, []).append((reader, item))
    return [lost for carrier, news in by_carrier.items() for lost in carrier.carry(news)]


def _put_all(news: Sequence[tuple[ReplyReader, News]]) -> None:
    for reader, item in news:
        # Nothing else has an event loop for its carrier.
        cast(ReplyStream, reader).put(item)

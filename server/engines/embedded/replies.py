"""The way back: from the engine's thread to the event loop that waits for a reply."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable

from server.engines.base import EngineError, GenerationChunk


class ReplyStream:
    """Chunks of one reply, in order. Made and read on an event loop, filled by `deliver` from any thread."""

    def __init__(self) -> None:
        """Must be made inside a running event loop."""
        self.loop = asyncio.get_running_loop()
        self._items: asyncio.Queue[GenerationChunk | EngineError] = asyncio.Queue()

    async def next(self) -> GenerationChunk:
        """The next chunk.

        Raises:
            EngineError: the request failed.
        """
        item = await self._items.get()
        if isinstance(item, EngineError):
            raise item
        return item

    def put(self, item: GenerationChunk | EngineError) -> None:
        """Append; on the event loop's own thread only."""
        self._items.put_nowait(item)


def deliver(items: Iterable[tuple[ReplyStream, GenerationChunk | EngineError]]) -> list[ReplyStream]:
    """Hand chunks over, waking each event loop once.

    Returns:
        The streams whose event loop is closed: nobody waits there any more.
    """
    by_loop: dict[asyncio.AbstractEventLoop, list[tuple[ReplyStream, GenerationChunk | EngineError]]] = {}
    for stream, item in items:
        by_loop.setdefault(stream.loop, []).append((stream, item))
    lost: list[ReplyStream] = []
    for loop, batch in by_loop.items():
        try:
            loop.call_soon_threadsafe(_put_all, batch)
        except RuntimeError:  # the loop is closed
            lost.extend(stream for stream, _ in batch)
    return lost


def _put_all(batch: list[tuple[ReplyStream, GenerationChunk | EngineError]]) -> None:
    for stream, item in batch:
        stream.put(item)

"""Several replies at once, as one stream of pieces."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Sequence
from contextlib import aclosing
from typing import TypeAlias, TypeVar

from server.engines.base import GenerationChunk
from server.generation.command import ReplyPiece

Item = TypeVar("Item")
Reply: TypeAlias = AsyncGenerator[GenerationChunk, None]


async def merged(replies: Sequence[Reply]) -> AsyncGenerator[ReplyPiece, None]:
    """Yield the pieces of all replies as they come. Closing it closes every reply, which cancels it.

    Raises:
        Exception: the first that a reply raises; the others are closed then.
    """
    if len(replies) == 1:
        async with aclosing(replies[0]) as chunks:
            async for chunk in chunks:
                yield ReplyPiece(0, chunk)
        return
    async with aclosing(interleaved(replies, at_once=len(replies))) as pieces:
        async for index, chunk in pieces:
            yield ReplyPiece(index, chunk)


async def interleaved(
    sources: Sequence[AsyncGenerator[Item, None]], *, at_once: int
) -> AsyncGenerator[tuple[int, Item], None]:
    """Yield what all sources yield as it comes, each item with its source's number.

    Args:
        sources: closed when this is closed, whether they were begun or not.
        at_once: how many sources run at the same time; the others wait in order.

    Raises:
        Exception: the first that a source raises; the others are closed then.
    """
    news: asyncio.Queue[tuple[int, Item] | Exception | None] = asyncio.Queue()
    room = asyncio.Semaphore(at_once)
    tasks = [asyncio.create_task(_pump(index, source, room, news)) for index, source in enumerate(sources)]
    try:
        left = len(tasks)
        while left:
            item = await news.get()
            if isinstance(item, Exception):
                raise item
            if item is None:
                left -= 1
            else:
                yield item
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


async def _pump(
    index: int,
    source: AsyncGenerator[Item, None],
    room: asyncio.Semaphore,
    news: asyncio.Queue[tuple[int, Item] | Exception | None],
) -> None:
    try:
        async with room, aclosing(source) as items:
            async for item in items:
                news.put_nowait((index, item))
    except Exception as error:  # noqa: BLE001 - whatever it is, the reader of the merged stream has to raise it
        news.put_nowait(error)
    else:
        news.put_nowait(None)

"""Several replies at once, as one stream of pieces."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Sequence
from contextlib import aclosing

from server.engines.base import GenerationChunk
from server.generation.command import ReplyPiece

Reply = AsyncGenerator[GenerationChunk, None]


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
    news: asyncio.Queue[ReplyPiece | Exception | None] = asyncio.Queue()
    tasks = [asyncio.create_task(_pump(index, reply, news)) for index, reply in enumerate(replies)]
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


async def _pump(index: int, reply: Reply, news: asyncio.Queue[ReplyPiece | Exception | None]) -> None:
    try:
        async with aclosing(reply) as chunks:
            async for chunk in chunks:
                news.put_nowait(ReplyPiece(index, chunk))
    except Exception as error:  # noqa: BLE001 - whatever it is, the reader of the merged stream has to raise it
        news.put_nowait(error)
    else:
        news.put_nowait(None)

"""The client's end of a connection: work is cancelled when nobody waits for it, and events go out as they come."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncGenerator, Awaitable, Callable, Coroutine, Mapping
from typing import Any, TypeVar

from fastapi import Response
from starlette.types import Receive, Scope, Send

from server.errors import ClientGoneError

logger = logging.getLogger(__name__)

Result = TypeVar("Result")
Finish = Callable[[BaseException | None], Awaitable[None]]


async def unless_gone(receive: Receive, work: Coroutine[Any, Any, Result]) -> Result:
    """Run `work`, but cancel it, and wait for its clean-up, when the client closes the connection.

    Args:
        receive: the request's ASGI receive; its body has been read.
        work: what to run.

    Raises:
        ClientGoneError: the client closed the connection first.
    """
    task = asyncio.ensure_future(work)
    watch = asyncio.ensure_future(_gone(receive))
    try:
        await asyncio.wait({task, watch}, return_when=asyncio.FIRST_COMPLETED)
        if not task.done():
            raise ClientGoneError("the client closed the connection")
        return task.result()
    finally:
        await _cancel(task)
        await _cancel(watch)


class EventStream(Response):
    """Server-sent events. However it ends, the events' iterator is closed and then `finish` runs, once."""

    media_type = "text/event-stream"

    def __init__(
        self, events: AsyncGenerator[bytes, None], finish: Finish, headers: Mapping[str, str] | None = None
    ) -> None:
        super().__init__(headers={"Cache-Control": "no-cache", "X-Accel-Buffering": "no", **(headers or {})})
        del self.headers["content-length"]
        self._events = events
        self._finish = finish

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Send all events, or as many as the client waits for."""
        ended_with: BaseException | None = None
        try:
            await unless_gone(receive, self._send_all(send))
        except ClientGoneError as gone:
            ended_with = gone
        except BaseException as error:
            ended_with = error
            raise
        finally:
            await self._events.aclose()
            await self._finish(ended_with)

    async def _send_all(self, send: Send) -> None:
        await send({"type": "http.response.start", "status": self.status_code, "headers": self.raw_headers})
        async for event in self._events:
            await send({"type": "http.response.body", "body": event, "more_body": True})
        await send({"type": "http.response.body", "body": b"", "more_body": False})


async def _gone(receive: Receive) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass


async def _cancel(task: asyncio.Future[Any]) -> None:
    if task.done():
        return
    task.cancel()
    await asyncio.wait({task})
    if not task.cancelled() and (error := task.exception()) is not None:
        logger.error("work failed while it was being cancelled", exc_info=error)

"""Ending running requests from outside: at a time limit, or when the server stops."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator
from contextlib import aclosing
from typing import Any, TypeVar

from server.errors import RequestTimeoutError, ServerError

Piece = TypeVar("Piece")


class _Running:
    """One request, and the task that waits for its next piece."""

    def __init__(self) -> None:
        self.error: ServerError | None = None
        self.waiting: asyncio.Task[Any] | None = None
        self.cancelled = False
        """Whether `waiting` was cancelled for it."""

    def raise_if_interrupted(self) -> None:
        """Raise what it was interrupted with."""
        if self.error is not None:
            raise self.error from None

    def interrupt(self, error: ServerError) -> None:
        """Have it end with `error`; the first one counts."""
        if self.error is None:
            self.error = error
            if self.waiting is not None:
                self.cancelled = True
                self.waiting.cancel()


class Interruptions:
    """The requests that run. Belongs to the event loop."""

    def __init__(self, seconds: float | None = None) -> None:
        """`seconds`: the time limit of a request, from its arrival; None for none."""
        self._seconds = seconds
        self._running: set[_Running] = set()

    def interrupt_all(self, error: ServerError) -> None:
        """End everything that runs with this error."""
        for running in list(self._running):
            running.interrupt(error)

    async def guarded(self, pieces: AsyncGenerator[Piece, None], elapsed: float) -> AsyncGenerator[Piece, None]:
        """Yield the pieces until they end or the request is interrupted; they are closed then.

        Costs no task and no timer for a piece. Consecutive pieces may be awaited by different tasks.

        Args:
            pieces: of the request.
            elapsed: seconds since its arrival.

        Raises:
            RequestTimeoutError: the time limit is over.
            ServerError: what it was interrupted with.
        """
        running, alarm = _Running(), None
        if self._seconds is not None:
            error = RequestTimeoutError(f"the request took longer than {self._seconds:g} s, and was ended")
            left = max(0.0, self._seconds - elapsed)
            alarm = asyncio.get_running_loop().call_later(left, running.interrupt, error)
        self._running.add(running)
        try:
            async with aclosing(pieces):
                while True:
                    try:
                        piece = await _next(running, pieces)
                    except StopAsyncIteration:
                        return
                    yield piece
        finally:
            self._running.discard(running)
            if alarm is not None:
                alarm.cancel()


async def _next(running: _Running, pieces: AsyncGenerator[Piece, None]) -> Piece:
    """The next piece, or what the request was interrupted with; a cancellation of others' making passes through."""
    running.raise_if_interrupted()
    task = asyncio.current_task()
    if task is None:
        raise RuntimeError("pieces are awaited outside a task")
    already = task.cancelling()
    running.waiting = task
    try:
        return await anext(pieces)
    except asyncio.CancelledError:
        if running.cancelled and task.uncancel() <= already:
            running.raise_if_interrupted()
        raise
    finally:
        running.waiting = None

"""Questions to the child that wait for an answer."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from itertools import count

from server.engines.apart.messages import Answer
from server.engines.base import EngineUnavailableError


class Calls:
    """By number; on one event loop."""

    def __init__(self) -> None:
        self._numbers = count(1)
        self._waiting: dict[int, asyncio.Future[Answer]] = {}
        self._unheard: dict[int, Callable[[Answer], None]] = {}

    def open(self) -> int:
        """The number of a new call. To be waited for before anything else happens on the event loop."""
        number = next(self._numbers)
        self._waiting[number] = asyncio.get_running_loop().create_future()
        return number

    async def answer(self, number: int, unheard: Callable[[Answer], None] | None = None) -> Answer:
        """Wait.

        Args:
            number: of the call.
            unheard: what to do with an answer that comes when nobody waits for it any more.

        Raises:
            Exception: what the call raised in the child.
            EngineUnavailableError: the engine ended first.
        """
        future = self._waiting[number]
        try:
            found = await future
        finally:
            del self._waiting[number]
            if future.cancelled() and unheard is not None:
                self._unheard[number] = unheard
        if found.failure is not None:
            raise found.failure.error()
        return found

    def answered(self, answer: Answer) -> None:
        """An answer came."""
        future = self._waiting.get(answer.call)
        if future is not None and not future.done():
            future.set_result(answer)
        elif (unheard := self._unheard.pop(answer.call, None)) is not None:
            unheard(answer)

    def end(self, reason: str) -> None:
        """No answer will come: the engine does not run."""
        self._unheard.clear()
        for future in self._waiting.values():
            if not future.done():
                future.set_exception(EngineUnavailableError(reason))

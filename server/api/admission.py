"""Turning requests away while the engine is full, before their bodies are read, classified and planned.

The engine has the last word, whoever asks it; this only keeps requests that it would refuse from taking time that
those it runs need.
"""

from __future__ import annotations

import time
from collections.abc import AsyncGenerator

from fastapi import Request

from server.api.context import request_context
from server.engines.base import Engine, EngineOverloadedError
from server.generation.pace import Pace
from server.generation.service import GenerationService


class Admission:
    """A dependency of the routes that generate."""

    def __init__(self, engine: Engine, service: GenerationService, queue_size: int) -> None:
        """`queue_size`: requests that the engine lets wait."""
        self._engine = engine
        self._service = service
        self._limit = engine.info.slots + queue_size
        self._pace = Pace()

    async def admit(self, request: Request) -> AsyncGenerator[None, None]:
        """Let a request in, and note how long it takes; one that fails says nothing of that.

        Raises:
            EngineOverloadedError: as many requests run and wait as the engine takes.
        """
        stats = self._engine.stats()
        if stats.running + stats.waiting >= self._limit:
            full = EngineOverloadedError(
                f"{stats.running} requests run and {stats.waiting} wait; the engine takes {self._limit}"
            )
            full.retry_after_seconds = self._pace.retry_after(stats)
            self._service.ended(request_context(request), full)
            raise full
        began = time.monotonic()
        yield
        self._pace.took(time.monotonic() - began)

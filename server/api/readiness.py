"""The guard of all routes that run the model: none is served before the self-test passed, or once draining began."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

from fastapi import Request

from server.api.context import request_context
from server.errors import NotReadyError
from server.generation.service import GenerationService
from server.readiness import Readiness


def require_ready(readiness: Readiness, service: GenerationService) -> Callable[[Request], Awaitable[None]]:
    """A dependency that refuses requests while the server is not ready, and counts them."""

    async def guard(request: Request) -> None:
        try:
            readiness.require()
        except NotReadyError as error:
            service.ended(request_context(request), error)
            raise

    return guard

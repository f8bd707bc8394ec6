"""What a route knows of a request before its body: who sent it, and when it came."""

from __future__ import annotations

from fastapi import Request

from server.generation.context import RequestContext

CONTEXT = "scalpel.context"
"""Key of the context in a request's ASGI scope."""


def request_context(request: Request) -> RequestContext:
    """The context that the request travels with; made where nothing before the route made it."""
    found = request.scope.get(CONTEXT)
    if not isinstance(found, RequestContext):
        found = request.scope[CONTEXT] = RequestContext()
    return found

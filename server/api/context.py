"""What a route knows of a request before its body: who sent it, when it came, and which profile its header names."""

from __future__ import annotations

from dataclasses import replace

from fastapi import Request

from server.generation.context import RequestContext
from server.policy.profiles import HEADER

CONTEXT = "scalpel.context"
"""Key of the context in a request's ASGI scope."""


def request_context(request: Request) -> RequestContext:
    """The context that the request travels with; made where nothing before the route made it."""
    found = request.scope.get(CONTEXT)
    if not isinstance(found, RequestContext):
        found = RequestContext()
    named = request.headers.getlist(HEADER)
    # Two headers are one value that no profile has: which of them was meant is not ours to guess.
    found = replace(found, profile_header=", ".join(named) if named else None)
    request.scope[CONTEXT] = found
    return found

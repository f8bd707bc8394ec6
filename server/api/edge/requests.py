"""What happens to every request, whatever its route: an id, a line in the log, a span, and 503 while draining."""

from __future__ import annotations

import re
import time

from starlette.responses import JSONResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from server.api.context import CONTEXT
from server.api.errors import describe
from server.errors import DrainingError
from server.generation.context import RequestContext
from server.lifecycle import Lifecycle
from server.logs import REQUEST, RequestRecord, log_access
from server.tracing.base import Span, Tracing

REQUEST_ID = b"x-request-id"
_ID = re.compile(rb"[A-Za-z0-9][A-Za-z0-9._:-]{0,127}")
_METHODS = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"})
_ALWAYS = ("/health", "/metrics")
"""Answered while draining, and not waited for."""


class RequestEdge:
    """Wraps the application."""

    def __init__(self, lifecycle: Lifecycle, tracing: Tracing) -> None:
        self._lifecycle = lifecycle
        self._tracing = tracing

    async def serve(self, app: ASGIApp, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request with `app`."""
        if scope["type"] != "http":
            await app(scope, receive, send)
            return
        context = RequestContext()
        scope[CONTEXT] = context
        given = _given_id(scope)
        record = RequestRecord(request_id=context.request_id, client_request_id=given)
        answer = _Answer(send, (given or context.request_id).encode())
        counts = not scope["path"].startswith(_ALWAYS)
        began, token = time.perf_counter(), REQUEST.set(record)
        self._lifecycle.in_flight += counts
        headers = {name.decode("latin-1"): value.decode("latin-1") for name, value in scope["headers"]}
        method = scope["method"] if scope["method"] in _METHODS else "other"
        try:
            with self._tracing.request(method, headers) as span:
                await self._answer(app, scope, receive, answer, refuse=counts and self._lifecycle.draining)
                _note(span, record, scope, answer)
        finally:
            self._lifecycle.in_flight -= counts
            seconds = time.perf_counter() - began
            log_access(record, method=method, path=scope["path"], status=answer.status, seconds=seconds)
            REQUEST.reset(token)

    async def _answer(self, app: ASGIApp, scope: Scope, receive: Receive, answer: _Answer, *, refuse: bool) -> None:
        if refuse:
            reply = describe(DrainingError("the server is about to stop and takes no new requests"))
            headers = {**reply.headers, "Connection": "close"}
            await JSONResponse(reply.body(), reply.status, headers)(scope, receive, answer.send)
            return
        try:
            await app(scope, receive, answer.send)
        except Exception:
            # Logged and answered with a 500 by then; raised again it would also cost the connection.
            if not answer.complete:
                raise


class _Answer:
    """The way back, noting what goes by."""

    def __init__(self, send: Send, request_id: bytes) -> None:
        self._send = send
        self._request_id = request_id
        self.status: int | None = None
        self.complete = False

    async def send(self, message: Message) -> None:
        """Pass a message on."""
        if message["type"] == "http.response.start":
            self.status = message["status"]
            message = {**message, "headers": [*message.get("headers", ()), (REQUEST_ID, self._request_id)]}
        else:
            self.complete = not message.get("more_body", False)
        await self._send(message)


def _given_id(scope: Scope) -> str | None:
    """What the client calls the request, if it is harmless to repeat and log."""
    found = next((value for name, value in scope["headers"] if name == REQUEST_ID), None)
    return found.decode() if found is not None and _ID.fullmatch(found) else None


def _note(span: Span, record: RequestRecord, scope: Scope, answer: _Answer) -> None:
    span.set("http.request.method", scope["method"])
    route = getattr(scope.get("route"), "path", None)
    if route is not None:
        span.set("http.route", route)
    if answer.status is not None:
        span.set("http.response.status_code", answer.status)
    span.set("scalpel.request_id", record.request_id)

"""The one place where errors become responses, in OpenAI's shape.

Each error root has one handler; all of them go through `describe`, which streams use as well.
"""

from __future__ import annotations

import logging
import math
from collections.abc import Mapping
from dataclasses import dataclass, field

from fastapi import FastAPI, Request
from fastapi.responses import JSONResponse
from starlette.exceptions import HTTPException

from server.engines.base import EngineError, EngineOverloadedError, EngineUnavailableError, RequestRefusedError
from server.errors import (
    AuditFailedError,
    AuthenticationError,
    BodyTooLargeError,
    BundleConflictError,
    BundleRefusedError,
    ClassifierRequiredError,
    ClientGoneError,
    MediaTypeError,
    ModerationFailedError,
    NoClassifierError,
    NoEncoderError,
    NotReadyError,
    PermissionDeniedError,
    RateLimitedError,
    RequestError,
    RequestTimeoutError,
    ServerError,
    UnknownBreakerError,
    UnknownModelError,
)

logger = logging.getLogger(__name__)

_RETRY = {"Retry-After": "1"}
"""What a server that is overloaded or not ready asks of its clients, in seconds."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ErrorReply:
    """An error as a client sees it."""

    status: int
    message: str
    type: str
    param: str | None = None
    code: str | None = None
    headers: Mapping[str, str] = field(default_factory=dict)

    def body(self) -> dict[str, dict[str, str | None]]:
        """OpenAI's shape."""
        return {"error": {"message": self.message, "type": self.type, "param": self.param, "code": self.code}}


def describe(error: Exception) -> ErrorReply:
    """The response that an error becomes; what is not known here is ours, and says nothing of its inside."""
    if isinstance(error, ServerError):
        return _describe_server_error(error)
    if isinstance(error, EngineError):
        return _describe_engine_error(error)
    if isinstance(error, HTTPException):
        return _describe_http_exception(error)
    return ErrorReply(status=500, message="internal error; the server's log has it", type="server_error")


def install_handlers(app: FastAPI) -> None:
    """One handler per error root."""
    for root in (ServerError, EngineError, HTTPException, Exception):
        app.add_exception_handler(root, respond)


async def respond(request: Request, error: Exception) -> JSONResponse:
    """The handler."""
    reply = describe(error)
    if reply.status >= 500 and not isinstance(error, NotReadyError):
        logger.error("%s %s failed", request.method, request.url.path, exc_info=error)
    return JSONResponse(reply.body(), status_code=reply.status, headers=dict(reply.headers))


def _describe_server_error(error: ServerError) -> ErrorReply:
    if isinstance(error, ClientGoneError):
        return ErrorReply(status=499, message=str(error), type="client_closed_request")
    if isinstance(error, RequestTimeoutError):
        return ErrorReply(status=504, message=str(error), type="server_error", code="request_timeout")
    if isinstance(error, ClassifierRequiredError | ModerationFailedError):
        return ErrorReply(status=503, message=str(error), type="server_error", code=error.code, headers=_RETRY)
    if isinstance(error, AuditFailedError):
        return ErrorReply(status=503, message=str(error), type="server_error", code="audit_failed", headers=_RETRY)
    if isinstance(error, NotReadyError):
        code = "selftest_failed" if error.state == "failed" else error.state
        return ErrorReply(status=503, message=str(error), type="server_error", code=code, headers=_RETRY)
    if not isinstance(error, RequestError):
        return ErrorReply(status=500, message=str(error), type="server_error")
    if isinstance(error, RateLimitedError):
        headers = {"Retry-After": str(max(1, math.ceil(error.retry_after)))}
        return ErrorReply(status=429, message=str(error), type="rate_limit_error", code=error.code, headers=headers)
    status, headers = 400, {}
    if isinstance(error, UnknownModelError | UnknownBreakerError | NoClassifierError | NoEncoderError):
        status = 404
    elif isinstance(error, BodyTooLargeError):
        status = 413
    elif isinstance(error, MediaTypeError):
        status = 415
    elif isinstance(error, BundleConflictError):
        status = 409
    elif isinstance(error, BundleRefusedError):
        status = 422
    elif isinstance(error, AuthenticationError):
        status, headers = 401, {"WWW-Authenticate": 'Bearer realm="scalpel"'}
    elif isinstance(error, PermissionDeniedError):
        status = 403
    return ErrorReply(
        status=status,
        message=str(error),
        type="invalid_request_error",
        param=error.param,
        code=error.code,
        headers=headers,
    )


def _describe_engine_error(error: EngineError) -> ErrorReply:
    if isinstance(error, RequestRefusedError):
        return ErrorReply(
            status=400,
            message=str(error),
            type="invalid_request_error",
            param=error.param,
            code="request_refused",
        )
    if isinstance(error, EngineOverloadedError):
        wait = {"Retry-After": str(error.retry_after_seconds)}
        return ErrorReply(status=429, message=str(error), type="rate_limit_error", code="overloaded", headers=wait)
    if isinstance(error, EngineUnavailableError):
        return ErrorReply(
            status=503, message=str(error), type="server_error", code="engine_unavailable", headers=_RETRY
        )
    return ErrorReply(status=500, message=str(error), type="server_error", code="engine_failed")


def _describe_http_exception(error: HTTPException) -> ErrorReply:
    kind = "invalid_request_error" if error.status_code < 500 else "server_error"
    return ErrorReply(
        status=error.status_code, message=str(error.detail), type=kind, headers=dict(error.headers or {})
    )

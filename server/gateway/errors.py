"""What can go wrong between the gateway and its upstream, as one tree below the server's.

    ServerError
      x UpstreamError                root: vLLM's server, not the caller
          x UpstreamUnavailableError     it does not answer, or has not proved itself: nothing was sent
          x UpstreamFailedError          it took the request and did not finish the reply
          x UpstreamBankError            it has another bank than the plan was made for
          x UnprovenError                it does not do what is wanted of it, and so the gateway does not serve
      x RequestError
          x EndpointError                vLLM may have this endpoint, the gateway has not

Messages say what was found and what was wanted; `describe` makes them responses.
"""

from __future__ import annotations

import logging

from fastapi import Request
from fastapi.responses import JSONResponse

from server.api.errors import ErrorReply
from server.api.errors import describe as describe_known
from server.api.errors import respond as respond_known
from server.errors import RequestError, ServerError

logger = logging.getLogger(__name__)


class UpstreamError(ServerError):
    """Root: it is vLLM's server that failed."""

    status = 502
    code = "upstream_failed"


class UpstreamUnavailableError(UpstreamError):
    """It cannot be reached, or has not proved that it applies plans; the request did not reach a model."""

    status = 503
    code = "upstream_unavailable"


class UpstreamFailedError(UpstreamError):
    """It ended, or broke the connection, before the reply was whole."""


class UpstreamBankError(UpstreamError):
    """It refuses the plan because it has other bundles than those that were proved."""

    status = 503
    code = "upstream_changed"


class UnprovenError(UpstreamError):
    """What it answers does not prove that it steers as the gateway would report."""

    status = 503
    code = "upstream_unproven"


class EndpointError(RequestError):
    """There is no such endpoint behind the gateway."""


def describe(error: Exception) -> ErrorReply:
    """The response that an error becomes."""
    if isinstance(error, UpstreamError):
        retry = {"Retry-After": "1"} if error.status == 503 else {}
        return ErrorReply(
            status=error.status, message=str(error), type="server_error", code=error.code, headers=retry
        )
    if isinstance(error, EndpointError):
        return ErrorReply(status=404, message=str(error), type="invalid_request_error", code=error.code)
    return describe_known(error)


async def respond(request: Request, error: Exception) -> JSONResponse:
    """The handler of the gateway's own errors."""
    if not isinstance(error, UpstreamError | EndpointError):
        return await respond_known(request, error)
    reply = describe(error)
    if isinstance(error, UpstreamError):
        logger.warning("%s %s failed: %s", request.method, request.url.path, error)
    return JSONResponse(reply.body(), status_code=reply.status, headers=dict(reply.headers))

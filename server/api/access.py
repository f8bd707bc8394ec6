"""The door: who asks, may they, and not too often. Pure ASGI, so that streams pass through as they come, and before
any of the body is read."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from fastapi.responses import JSONResponse
from starlette.datastructures import Headers, MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from server.access.access import Access, Need, meets
from server.access.caller import ANYONE, Caller
from server.access.keys import PREFIX, BadKeyError, KeyProblem
from server.access.rates import Allowance, Limit
from server.access_metrics import AccessMetrics
from server.api.context import CONTEXT
from server.api.errors import describe
from server.audit import ACTOR, Actor
from server.deployment import Deployments
from server.errors import AuthenticationError, PermissionDeniedError, RateLimitedError, RequestError
from server.generation.context import RequestContext
from server.logs import REQUEST
from server.policy.policy import RateLimits

_SAYS = {
    KeyProblem.MISSING: f"there is no API key; send one as `Authorization: Bearer {PREFIX}-...`",
    KeyProblem.MALFORMED: f"this is no API key; send one as `Authorization: Bearer {PREFIX}-...`",
    KeyProblem.UNKNOWN: "this API key is not known here",
    KeyProblem.REVOKED: "this API key was revoked",
    KeyProblem.EXPIRED: "this API key has expired",
}


class AccessMiddleware:
    """Lets requests in, and says who sent them."""

    def __init__(self, app: ASGIApp, *, access: Access, deployments: Deployments, metrics: AccessMetrics) -> None:
        self._app = app
        self._access = access
        self._deployments = deployments
        self._metrics = metrics

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """One request."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        need = self._access.need(scope["method"], scope["path"])
        limited = None
        try:
            caller = ANYONE if need is Need.NOTHING else self._caller(scope, need)
            if need is Need.CHAT:
                limits = self._deployments.current.planner.policy.rates(caller)
                limited = self._with_rates(send, caller, limits)
                self._take_request(caller, limits)
        except RequestError as refusal:
            reply = describe(refusal)
            response = JSONResponse(reply.body(), status_code=reply.status, headers=dict(reply.headers))
            await response(scope, receive, limited or send)
            return
        found = scope.get(CONTEXT)
        context = found if isinstance(found, RequestContext) else RequestContext()
        scope[CONTEXT] = replace(context, caller=caller)
        record = REQUEST.get()
        if record is not None:
            record.key_id = caller.key_id
        token = ACTOR.set(Actor(request_id=context.request_id, key_id=caller.key_id))
        try:
            await self._app(scope, receive, limited or send)
        finally:
            ACTOR.reset(token)

    def _caller(self, scope: Scope, need: Need) -> Caller:
        headers = Headers(scope=scope)
        try:
            caller = self._access.caller(headers.getlist("authorization"), headers.get("host", ""))
        except BadKeyError as bad:
            self._metrics.auth_failed(bad.problem)
            raise AuthenticationError(_SAYS[bad.problem], code="invalid_api_key") from None
        if not meets(caller, need):
            self._metrics.auth_failed(KeyProblem.SCOPE)
            held = ", ".join(sorted(caller.scopes)) or "none"
            raise PermissionDeniedError(
                f"{scope['method']} {scope['path'][:80]} takes the scope {need.value!r}; this caller has: {held}",
                code="missing_scope",
            )
        return caller

    def _take_request(self, caller: Caller, limits: RateLimits) -> None:
        try:
            self._access.rates.take_request(caller.key_id, limits)
        except RateLimitedError as refusal:
            self._metrics.rate_limited(refusal.limit)
            raise

    def _with_rates(self, send: Send, caller: Caller, limits: RateLimits) -> Send | None:
        """`send`, with headers that say where the caller stands; None where nothing is limited."""
        if limits.requests_per_minute is None and limits.tokens_per_minute is None:
            return None

        async def send_with_rates(message: Message) -> None:
            if message["type"] == "http.response.start":
                allowances = self._access.rates.allowances(caller.key_id, limits)
                MutableHeaders(scope=message).update(rate_headers(allowances))
            await send(message)

        return send_with_rates


def rate_headers(allowances: Mapping[Limit, Allowance]) -> dict[str, str]:
    """OpenAI's headers."""
    headers: dict[str, str] = {}
    for limit, allowance in allowances.items():
        headers[f"x-ratelimit-limit-{limit}"] = str(allowance.limit)
        headers[f"x-ratelimit-remaining-{limit}"] = str(allowance.remaining)
        headers[f"x-ratelimit-reset-{limit}"] = f"{allowance.reset_seconds:.3f}s"
    return headers

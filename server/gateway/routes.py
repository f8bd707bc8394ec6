"""The endpoints that run the model, the harmless ones that vLLM answers, and a clear no to all others."""

from __future__ import annotations

import time
from typing import Any

import httpx
from fastapi import APIRouter, Request, Response

from server.api.body import read_wire
from server.gateway.body import GatewayBody
from server.gateway.errors import EndpointError, UpstreamFailedError
from server.gateway.service import Gateway, Route
from server.gateway.upstream import reason_of
from server.gateway.watch import UpstreamWatch
from server.policy.profiles import ServedNames

HARMLESS = ("/tokenize", "/detokenize")
"""vLLM answers them without the model: nothing could be steered."""


def model_router(gateway: Gateway, names: ServedNames, watch: UpstreamWatch) -> APIRouter:
    """Everything that vLLM has a part in."""
    router = APIRouter(tags=["vLLM"])
    created = int(time.time())

    @router.post(Route.CHAT.value)
    async def chat_completions(request: Request) -> Response:
        """A chat completion as vLLM makes it, with the breakers as strong as it needs."""
        return await gateway.respond(Route.CHAT, request)

    @router.post(Route.TEXT.value)
    async def completions(request: Request) -> Response:
        """Text, gone on with as vLLM does it, with the breakers as strong as it needs."""
        return await gateway.respond(Route.TEXT, request)

    @router.post(HARMLESS[0])
    @router.post(HARMLESS[1])
    async def tokens(request: Request) -> Response:
        """Text or a conversation to token ids, or back, as vLLM does it."""
        body = await read_wire(request, GatewayBody, gateway.body_limit)
        if body.model is not None:
            names.profile(body.model)
        return await _passed_on(gateway, request.url.path, body)

    @router.get("/v1/models")
    async def list_models() -> dict[str, Any]:
        """Every name that a request can use."""
        return {"object": "list", "data": [_card(watch, name, created, names) for name in names.all]}

    @router.get("/v1/models/{model:path}")
    async def show_model(model: str) -> dict[str, Any]:
        """One of them."""
        names.profile(model)
        return _card(watch, model, created, names)

    return router


def refusing_router() -> APIRouter:
    """Every other address; belongs behind all other routes."""
    router = APIRouter()

    @router.api_route("/{path:path}", methods=["GET", "POST", "PUT", "PATCH", "DELETE"], include_in_schema=False)
    async def refuse(path: str, request: Request) -> Response:
        """Say what there is instead."""
        raise EndpointError(
            f"{request.method} /{path[:80]} is not served by this gateway: what it cannot steer it does not pass on; "
            f"wanted {Route.CHAT.value}, {Route.TEXT.value}, {', '.join(HARMLESS)}, /v1/models, /v1/breakers or "
            "/v1/moderations",
            code="endpoint_not_served",
        )

    return router


async def _passed_on(gateway: Gateway, path: str, body: GatewayBody) -> Response:
    fields = {name: getattr(body, name) for name in body.model_fields_set if name != "scalpel"}
    content = {**fields, **body.others(), "model": gateway.model}
    try:
        answer = await gateway.ask(path, content)
    except httpx.HTTPError as error:
        raise UpstreamFailedError(f"the upstream did not answer {path} ({reason_of(error)})") from error
    return Response(answer.content, status_code=answer.status_code, media_type=answer.headers.get("content-type"))


def _card(watch: UpstreamWatch, name: str, created: int, names: ServedNames) -> dict[str, Any]:
    """vLLM's own, under the name that requests use here."""
    proven = watch.proven
    card = {} if proven is None else dict(proven.card)
    return {"object": "model", "created": created, **card, "id": name, "profile": names.all[name].value}

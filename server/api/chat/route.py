"""The route: parse, prepare, answer at once or as a stream. Everything else is `server.generation`'s business."""

from __future__ import annotations

from fastapi import APIRouter, Request, Response

from server.api.body import read_wire
from server.api.chat.answers import ChatCompletion
from server.api.chat.exchange import Exchange
from server.api.chat.wire import ChatCompletionRequest
from server.api.connection import unless_gone
from server.api.context import request_context
from server.generation.service import GenerationService

COMPONENT = "#/components/schemas/{model}"
"""Where the API description keeps a schema."""


def chat_router(service: GenerationService, body_limit: int) -> APIRouter:
    """The chat area.

    Args:
        service: does the work.
        body_limit: bytes of a request.
    """
    router = APIRouter(tags=["chat"])
    schema = {"$ref": COMPONENT.format(model=ChatCompletionRequest.__name__)}
    body = {"requestBody": {"required": True, "content": {"application/json": {"schema": schema}}}}

    @router.post("/v1/chat/completions", response_model=ChatCompletion, openapi_extra=body)
    async def chat_completions(request: Request) -> Response:
        """Answer a conversation, with the breakers as strong as it needs."""
        context = request_context(request)
        try:
            wire = await read_wire(request, ChatCompletionRequest, body_limit)
            exchange = Exchange(service, wire, context)
            if wire.stream:
                return await unless_gone(request.receive, exchange.stream())
            whole = await unless_gone(request.receive, exchange.whole())
        except BaseException as error:
            service.ended(context, error)
            raise
        service.ended(context, None)
        return Response(whole.model_dump_json(), media_type="application/json")

    return router

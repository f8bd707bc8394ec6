"""The route: parse, prepare, answer at once or as a stream. Everything else is `server.generation`'s business."""

from __future__ import annotations

from fastapi import APIRouter, Request, Response

from server.api.body import read_wire
from server.api.connection import unless_gone
from server.api.context import request_context
from server.api.headers import answer_headers
from server.api.responses.answers import ResponseObject
from server.api.responses.exchange import ResponseExchange
from server.api.responses.wire import ResponseRequest
from server.generation.service import GenerationService

_SCHEMA = {"$ref": f"#/components/schemas/{ResponseRequest.__name__}"}


def responses_router(service: GenerationService, body_limit: int) -> APIRouter:
    """The responses area.

    Args:
        service: does the work.
        body_limit: bytes of a request.
    """
    router = APIRouter(tags=["responses"])
    body = {"requestBody": {"required": True, "content": {"application/json": {"schema": _SCHEMA}}}}

    @router.post("/v1/responses", response_model=ResponseObject, openapi_extra=body)
    async def responses(request: Request) -> Response:
        """Answer a text or a conversation, with the breakers as strong as it needs."""
        context = request_context(request)
        try:
            wire = await read_wire(request, ResponseRequest, body_limit)
            exchange = ResponseExchange(service, wire, context)
            if wire.stream:
                return await unless_gone(request.receive, exchange.stream())
            whole = await unless_gone(request.receive, exchange.whole())
        except BaseException as error:
            service.ended(context, error)
            raise
        service.ended(context, None)
        headers = answer_headers([whole.scalpel], context.request_id)
        return Response(whole.model_dump_json(), media_type="application/json", headers=headers)

    return router

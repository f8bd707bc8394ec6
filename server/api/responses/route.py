"""The route: reads the body; everything else is the exchange's and `server.generation`'s business."""

from __future__ import annotations

from fastapi import APIRouter, Request, Response

from server.api.body import read_wire
from server.api.description import body_of
from server.api.exchange import Question, respond
from server.api.responses.answers import ResponseObject
from server.api.responses.format import ResponseFormat
from server.api.responses.wire import ResponseRequest
from server.generation.context import RequestContext
from server.generation.service import GenerationService


def responses_router(service: GenerationService, body_limit: int) -> APIRouter:
    """The responses area.

    Args:
        service: does the work.
        body_limit: bytes of a request.
    """
    router = APIRouter(tags=["responses"])

    @router.post("/v1/responses", response_model=ResponseObject, openapi_extra=body_of(ResponseRequest))
    async def responses(request: Request) -> Response:
        """Answer a text or a conversation, with the breakers as strong as it needs."""

        async def read(context: RequestContext) -> Question:
            wire = await read_wire(request, ResponseRequest, body_limit)
            format_ = ResponseFormat(wire, service.piece, context.request_id)
            return Question(commands=[wire.command()], format=format_, stream=bool(wire.stream))

        return await respond(request, service, read)

    return router

"""The route: reads the body; everything else is the exchange's and `server.generation`'s business."""

from __future__ import annotations

from fastapi import APIRouter, Request, Response

from server.api.body import read_wire
from server.api.completions.answers import Completion
from server.api.completions.format import CompletionFormat
from server.api.completions.wire import CompletionRequest
from server.api.description import question_of
from server.api.exchange import Question, respond
from server.generation.context import RequestContext
from server.generation.service import GenerationService


def completions_router(service: GenerationService, body_limit: int) -> APIRouter:
    """The text completions area.

    Args:
        service: does the work.
        body_limit: bytes of a request.
    """
    router = APIRouter(tags=["completions"])

    @router.post("/v1/completions", response_model=Completion, openapi_extra=question_of(CompletionRequest))
    async def completions(request: Request) -> Response:
        """Go on with text, or score it, with the breakers as strong as it needs."""

        async def read(context: RequestContext) -> Question:
            wire = await read_wire(request, CompletionRequest, body_limit)
            format_ = CompletionFormat(wire, service.piece, context.request_id)
            return Question(commands=wire.commands(), format=format_, stream=bool(wire.stream))

        return await respond(request, service, read)

    return router

"""The route: reads the body; everything else is the exchange's and `server.generation`'s business."""

from __future__ import annotations

from fastapi import APIRouter, Request, Response

from server.api.body import read_wire
from server.api.chat.answers import ChatCompletion
from server.api.chat.format import ChatFormat
from server.api.chat.wire import ChatCompletionRequest
from server.api.description import question_of
from server.api.exchange import Question, respond
from server.generation.context import RequestContext
from server.generation.service import GenerationService


def chat_router(service: GenerationService, body_limit: int) -> APIRouter:
    """The chat area.

    Args:
        service: does the work.
        body_limit: bytes of a request.
    """
    router = APIRouter(tags=["chat"])

    @router.post(
        "/v1/chat/completions", response_model=ChatCompletion, openapi_extra=question_of(ChatCompletionRequest)
    )
    async def chat_completions(request: Request) -> Response:
        """Answer a conversation, with the breakers as strong as it needs."""

        async def read(context: RequestContext) -> Question:
            wire = await read_wire(request, ChatCompletionRequest, body_limit)
            format_ = ChatFormat(wire, service.piece, context.request_id)
            return Question(commands=[wire.command()], format=format_, stream=bool(wire.stream))

        return await respond(request, service, read)

    return router

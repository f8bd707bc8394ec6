"""The route: parse, judge, answer."""

from __future__ import annotations

from fastapi import APIRouter, Request, Response

from server.api.body import read_wire
from server.api.connection import unless_gone
from server.api.context import request_context
from server.api.description import body_of
from server.api.headers import REQUEST_ID
from server.api.moderations.answers import ModerationResponse, ModerationResult
from server.api.moderations.wire import ModerationRequest
from server.harm.moderation import Moderator


def moderations_router(moderator: Moderator, body_limit: int) -> APIRouter:
    """The moderations area.

    Args:
        moderator: judges.
        body_limit: bytes of a request.
    """
    router = APIRouter(tags=["moderations"])

    @router.post("/v1/moderations", response_model=ModerationResponse, openapi_extra=body_of(ModerationRequest))
    async def moderations(request: Request) -> Response:
        """How likely the model would answer each text with harm, were it not for the breakers."""
        context = request_context(request)
        wire = await read_wire(request, ModerationRequest, body_limit)
        name = moderator.classifier.classifier.name
        wire.check_model(name)
        potentials = await unless_gone(request.receive, moderator.judge(wire.texts()))
        answer = ModerationResponse(
            id=f"modr-{context.request_id}", model=name, results=[ModerationResult.of(found) for found in potentials]
        )
        headers = {REQUEST_ID: context.request_id}
        return Response(answer.model_dump_json(), media_type="application/json", headers=headers)

    return router

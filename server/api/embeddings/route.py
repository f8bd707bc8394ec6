"""The route: parse, embed, answer."""

from __future__ import annotations

from fastapi import APIRouter, Request, Response

from server.api.body import read_wire
from server.api.connection import unless_gone
from server.api.description import body_of
from server.api.embeddings.answers import EmbeddingResponse
from server.api.embeddings.wire import EmbeddingRequest
from server.embedding import Embedder


def embeddings_router(embedder: Embedder, body_limit: int) -> APIRouter:
    """The embeddings area.

    Args:
        embedder: embeds.
        body_limit: bytes of a request.
    """
    router = APIRouter(tags=["embeddings"])

    @router.post("/v1/embeddings", response_model=EmbeddingResponse, openapi_extra=body_of(EmbeddingRequest))
    async def embeddings(request: Request) -> Response:
        """Vectors of texts, by the sentence encoder of the classifier."""
        wire = await read_wire(request, EmbeddingRequest, body_limit)
        encoder = embedder.encoder
        wire.check(encoder.name, encoder.d_model)
        found = await unless_gone(request.receive, embedder.embed(wire.input))
        answer = EmbeddingResponse.of(
            found.vectors, tokens=found.tokens, model=encoder.name, encoding=wire.encoding_format
        )
        return Response(answer.model_dump_json(), media_type="application/json")

    return router

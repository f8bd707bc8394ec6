"""The HTTP surface: one folder or file per area, put together here."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator
from contextlib import AsyncExitStack, asynccontextmanager

from fastapi import Depends, FastAPI

from server.api.access import AccessMiddleware
from server.api.admin.breakers import breaker_changes_router
from server.api.admission import Admission
from server.api.breakers import breakers_router
from server.api.chat.route import chat_router
from server.api.chat.wire import ChatCompletionRequest
from server.api.completions.route import completions_router
from server.api.completions.wire import CompletionRequest
from server.api.description import DescribedApi
from server.api.edge.requests import RequestEdge
from server.api.embeddings.route import embeddings_router
from server.api.embeddings.wire import EmbeddingRequest
from server.api.errors import install_handlers
from server.api.models import models_router
from server.api.moderations.route import moderations_router
from server.api.moderations.wire import ModerationRequest
from server.api.operations import operations_router
from server.api.readiness import require_ready
from server.api.responses.route import responses_router
from server.api.responses.wire import ResponseRequest
from server.api.tokens.route import tokens_router
from server.api.tokens.wire import DetokenizeRequest, TokenizeRequest
from server.api.version import installed_version, version_router
from server.embedding import Embedder
from server.harm.moderation import Moderator
from server.state import ServerState


def create_app(state: ServerState) -> FastAPI:
    """The application over parts that are put together elsewhere (`server.composition`).

    Starting the application starts the engine, the classifier's thread and output scoring; stopping it stops them
    in the opposite order. Then the engine proves itself; if it does not, the application lives and serves nothing.
    """

    @asynccontextmanager
    async def lifespan(_app: FastAPI) -> AsyncGenerator[None, None]:
        async with AsyncExitStack() as stack:
            # On a thread: what is left may have to be sent to a collector that does not answer.
            stack.push_async_callback(asyncio.to_thread, state.tracing.shutdown)
            if state.outputs is not None:
                await state.outputs.start()
                stack.push_async_callback(state.outputs.stop)
            if state.classifier is not None:
                state.classifier.start()
                stack.callback(state.classifier.stop)
            await state.engine.start()
            stack.push_async_callback(state.engine.stop)
            await state.selftest.run(state.deployments.current.bundles.values())
            yield

    # No page at /docs: FastAPI's would load its scripts from other hosts.
    app = DescribedApi(
        RequestEdge(state.lifecycle, state.tracing),
        title="SCALPEL",
        version=installed_version(),
        lifespan=lifespan,
        docs_url=None,
        redoc_url=None,
    )
    app.bodies = (
        ChatCompletionRequest,
        CompletionRequest,
        ResponseRequest,
        ModerationRequest,
        EmbeddingRequest,
        TokenizeRequest,
        DetokenizeRequest,
    )
    install_handlers(app)
    app.add_middleware(
        AccessMiddleware, access=state.access, deployments=state.deployments, metrics=state.metrics.access
    )
    # Every route that runs the model or the classifier belongs here.
    ready = [Depends(require_ready(state.readiness, state.generation))]
    moderations = moderations_router(Moderator(state.classifier, state.metrics), state.body_limit)
    app.include_router(moderations, dependencies=ready)
    app.include_router(embeddings_router(Embedder(state.encoder), state.body_limit), dependencies=ready)
    room = []
    if state.queue_size is not None:
        room = [Depends(Admission(state.engine, state.generation, state.queue_size).admit)]
    for router in (
        chat_router(state.generation, state.body_limit),
        completions_router(state.generation, state.body_limit),
        responses_router(state.generation, state.body_limit),
    ):
        app.include_router(router, dependencies=ready + room)
    app.include_router(tokens_router(state.engine, state.names, state.body_limit))
    app.include_router(version_router())
    app.include_router(models_router(state.names, state.engine.info))
    app.include_router(breakers_router(state.deployments))
    app.include_router(breaker_changes_router(state.bundles, state.body_limit))
    app.include_router(operations_router(state.engine, state.metrics, state.readiness))
    return app

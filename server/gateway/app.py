"""The gateway's HTTP surface."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncGenerator
from contextlib import AsyncExitStack, asynccontextmanager

from fastapi import FastAPI

from server.api.access import AccessMiddleware
from server.api.breakers import breakers_router
from server.api.description import DescribedApi
from server.api.edge.requests import RequestEdge
from server.api.embeddings.route import embeddings_router
from server.api.embeddings.wire import EmbeddingRequest
from server.api.errors import install_handlers
from server.api.moderations.route import moderations_router
from server.api.moderations.wire import ModerationRequest
from server.api.version import installed_version, version_router
from server.embedding import Embedder
from server.gateway.errors import EndpointError, UpstreamError, respond
from server.gateway.operations import gateway_operations_router
from server.gateway.routes import model_router, refusing_router
from server.gateway.state import GatewayState
from server.harm.moderation import Moderator


def create_gateway(state: GatewayState) -> FastAPI:
    """The application over parts that are put together elsewhere (`server.gateway.composition`).

    Starting it starts the classifier's thread, output scoring and the watch over the upstream, which proves itself
    before the first request is sent.
    """

    @asynccontextmanager
    async def lifespan(_app: FastAPI) -> AsyncGenerator[None, None]:
        async with AsyncExitStack() as stack:
            # On a thread: what is left may have to be sent to a collector that does not answer.
            stack.push_async_callback(asyncio.to_thread, state.tracing.shutdown)
            await stack.enter_async_context(state.upstream)
            if state.outputs is not None:
                await state.outputs.start()
                stack.push_async_callback(state.outputs.stop)
            if state.classifier is not None:
                state.classifier.start()
                stack.callback(state.classifier.stop)
            await state.watch.begin()
            watching = asyncio.create_task(state.watch.run(), name="upstream-watch")
            stack.push_async_callback(_cancelled, watching)
            yield

    # No page at /docs: FastAPI's would load its scripts from other hosts.
    app = DescribedApi(
        RequestEdge(state.lifecycle, state.tracing),
        title="SCALPEL gateway",
        version=installed_version(),
        lifespan=lifespan,
        docs_url=None,
        redoc_url=None,
    )
    app.bodies = (ModerationRequest, EmbeddingRequest)
    install_handlers(app)
    for root in (UpstreamError, EndpointError):
        app.add_exception_handler(root, respond)
    app.add_middleware(
        AccessMiddleware, access=state.access, deployments=state.deployments, metrics=state.metrics.access
    )
    moderator, embedder = Moderator(state.classifier, state.metrics), Embedder(state.encoder)
    for router in (
        model_router(state.gateway, state.names, state.watch),
        moderations_router(moderator, state.body_limit),
        embeddings_router(embedder, state.body_limit),
        version_router(),
        breakers_router(state.deployments),
        gateway_operations_router(state.upstream, state.watch, state.metrics, state.upstream_metrics),
        refusing_router(),
    ):
        app.include_router(router)
    return app


async def _cancelled(task: asyncio.Task[None]) -> None:
    task.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await task

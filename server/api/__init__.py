"""The HTTP surface: one folder or file per area, put together here."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from contextlib import AsyncExitStack, asynccontextmanager

from fastapi import FastAPI

from server.api.breakers import breakers_router
from server.api.chat.route import chat_router
from server.api.chat.wire import ChatCompletionRequest
from server.api.completions.route import completions_router
from server.api.completions.wire import CompletionRequest
from server.api.description import DescribedApi
from server.api.errors import install_handlers
from server.api.models import models_router
from server.api.operations import operations_router
from server.api.tokens.route import tokens_router
from server.api.tokens.wire import DetokenizeRequest, TokenizeRequest
from server.api.version import installed_version, version_router
from server.state import ServerState


def create_app(state: ServerState) -> FastAPI:
    """The application over parts that are put together elsewhere (`server.composition`).

    Starting the application starts the engine, the classifier's thread and output scoring; stopping it stops them
    in the opposite order.
    """

    @asynccontextmanager
    async def lifespan(_app: FastAPI) -> AsyncGenerator[None, None]:
        async with AsyncExitStack() as stack:
            if state.outputs is not None:
                await state.outputs.start()
                stack.push_async_callback(state.outputs.stop)
            if state.classifier is not None:
                state.classifier.start()
                stack.callback(state.classifier.stop)
            await state.engine.start()
            stack.push_async_callback(state.engine.stop)
            yield

    # No page at /docs: FastAPI's would load its scripts from other hosts.
    app = DescribedApi(title="SCALPEL", version=installed_version(), lifespan=lifespan, docs_url=None, redoc_url=None)
    app.bodies = (ChatCompletionRequest, CompletionRequest, TokenizeRequest, DetokenizeRequest)
    install_handlers(app)
    app.include_router(chat_router(state.generation, state.body_limit))
    app.include_router(completions_router(state.generation, state.body_limit))
    app.include_router(tokens_router(state.engine, state.names, state.body_limit))
    app.include_router(version_router())
    app.include_router(models_router(state.names, state.engine.info))
    app.include_router(breakers_router(state.deployments))
    app.include_router(operations_router(state.engine, state.metrics))
    return app

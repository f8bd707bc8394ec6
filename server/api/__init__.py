"""The HTTP surface: one folder or file per area, put together here."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from contextlib import AsyncExitStack, asynccontextmanager
from importlib.metadata import PackageNotFoundError, version
from typing import Any

from fastapi import FastAPI

from server.api.breakers import breakers_router
from server.api.chat.route import COMPONENT, chat_router
from server.api.chat.wire import ChatCompletionRequest
from server.api.errors import install_handlers
from server.api.models import models_router
from server.api.moderations.route import moderations_router
from server.api.moderations.wire import ModerationRequest
from server.api.operations import operations_router
from server.api.responses.route import responses_router
from server.api.responses.wire import ResponseRequest
from server.harm.moderation import Moderator
from server.state import ServerState

BODIES = (ChatCompletionRequest, ResponseRequest, ModerationRequest)
"""Those that routes read themselves."""


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
    app = Api(title="SCALPEL", version=_version(), lifespan=lifespan, docs_url=None, redoc_url=None)
    install_handlers(app)
    app.include_router(chat_router(state.generation, state.body_limit))
    app.include_router(responses_router(state.generation, state.body_limit))
    app.include_router(moderations_router(Moderator(state.classifier, state.metrics), state.body_limit))
    app.include_router(models_router(state.names, state.engine.info))
    app.include_router(breakers_router(state.deployments))
    app.include_router(operations_router(state.engine, state.metrics))
    return app


class Api(FastAPI):
    """Knows the bodies that routes read themselves, for the API description."""

    def openapi(self) -> dict[str, Any]:
        """The OpenAPI document."""
        if self.openapi_schema is None:
            document = super().openapi()
            schemas = document.setdefault("components", {}).setdefault("schemas", {})
            for model in BODIES:
                schema = model.model_json_schema(ref_template=COMPONENT)
                schemas |= schema.pop("$defs", {})
                schemas[model.__name__] = schema
        return super().openapi()


def _version() -> str:
    try:
        return version("scalpel")
    except PackageNotFoundError:
        return "0.0.0+source"

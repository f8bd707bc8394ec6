"""The HTTP surface: one folder or file per area, put together here."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from contextlib import AsyncExitStack, asynccontextmanager
from importlib.metadata import PackageNotFoundError, version
from typing import Any

from fastapi import Depends, FastAPI

from server.api.breakers import breakers_router
from server.api.chat.route import COMPONENT, chat_router
from server.api.chat.wire import ChatCompletionRequest
from server.api.errors import install_handlers
from server.api.models import models_router
from server.api.operations import operations_router
from server.api.readiness import require_ready
from server.state import ServerState


def create_app(state: ServerState) -> FastAPI:
    """The application over parts that are put together elsewhere (`server.composition`).

    Starting the application starts the engine, the classifier's thread and output scoring; stopping it stops them
    in the opposite order. Then the engine proves itself; if it does not, the application lives and serves nothing.
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
            await state.selftest.run(state.deployments.current.bundles.values())
            yield

    # No page at /docs: FastAPI's would load its scripts from other hosts.
    app = Api(title="SCALPEL", version=_version(), lifespan=lifespan, docs_url=None, redoc_url=None)
    install_handlers(app)
    # Every route that runs the model or the classifier belongs here.
    for router in (chat_router(state.generation, state.body_limit),):
        app.include_router(router, dependencies=[Depends(require_ready(state.readiness, state.generation))])
    app.include_router(models_router(state.names, state.engine.info))
    app.include_router(breakers_router(state.deployments))
    app.include_router(operations_router(state.engine, state.metrics, state.readiness))
    return app


class Api(FastAPI):
    """Knows the bodies that routes read themselves, for the API description."""

    def openapi(self) -> dict[str, Any]:
        """The OpenAPI document."""
        if self.openapi_schema is None:
            document = super().openapi()
            schema = ChatCompletionRequest.model_json_schema(ref_template=COMPONENT)
            schemas = document.setdefault("components", {}).setdefault("schemas", {})
            schemas |= schema.pop("$defs")
            schemas[ChatCompletionRequest.__name__] = schema
        return super().openapi()


def _version() -> str:
    try:
        return version("scalpel")
    except PackageNotFoundError:
        return "0.0.0+source"

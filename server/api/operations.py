"""What orchestrators and Prometheus ask: liveness, readiness and metrics."""

from __future__ import annotations

from typing import Literal

from fastapi import APIRouter, Response
from prometheus_client import CONTENT_TYPE_PLAIN_0_0_4
from pydantic import BaseModel

from server.engines.base import Engine
from server.metrics import Metrics


class Health(BaseModel):
    """Whether something is well."""

    status: Literal["ok", "unhealthy"]
    """`unhealthy` comes with status 503."""


def operations_router(engine: Engine, metrics: Metrics) -> APIRouter:
    """Health and metrics."""
    router = APIRouter(tags=["operations"])

    def health(response: Response) -> Health:
        if engine.healthy:
            return Health(status="ok")
        response.status_code = 503
        return Health(status="unhealthy")

    @router.get("/health")
    async def alive(response: Response) -> Health:
        """Whether the engine's loop runs; 503 asks for a restart."""
        return health(response)

    @router.get("/health/ready")
    async def ready(response: Response) -> Health:
        """Whether requests can be sent; 503 asks to wait."""
        return health(response)

    @router.get("/metrics", response_class=Response)
    async def expose() -> Response:
        """Everything that is counted, for Prometheus."""
        return Response(metrics.expose(), media_type=CONTENT_TYPE_PLAIN_0_0_4)

    return router

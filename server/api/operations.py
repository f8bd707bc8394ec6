"""What orchestrators and Prometheus ask: liveness, readiness and metrics."""

from __future__ import annotations

from typing import Literal

from fastapi import APIRouter, Response
from prometheus_client import CONTENT_TYPE_PLAIN_0_0_4
from pydantic import BaseModel

from server.engines.base import Engine
from server.lifecycle import Lifecycle
from server.metrics import Metrics


class Health(BaseModel):
    """Whether something is well."""

    status: Literal["ok", "unhealthy", "draining"]


def operations_router(engine: Engine, metrics: Metrics, lifecycle: Lifecycle) -> APIRouter:
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
        """Whether requests can be sent; 503 asks to wait, or to go elsewhere."""
        if lifecycle.draining:
            response.status_code = 503
            return Health(status="draining")
        return health(response)

    @router.get("/metrics", response_class=Response)
    async def expose() -> Response:
        """Everything that is counted, for Prometheus."""
        return Response(metrics.expose(), media_type=CONTENT_TYPE_PLAIN_0_0_4)

    return router

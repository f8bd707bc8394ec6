"""Health and metrics of a gateway: it lives without its upstream, but is not ready then."""

from __future__ import annotations

from fastapi import APIRouter, Response
from prometheus_client import CONTENT_TYPE_PLAIN_0_0_4
from pydantic import BaseModel

from server.api.operations import Health
from server.gateway.metrics import UpstreamMetrics
from server.gateway.upstream import Upstream
from server.gateway.watch import UpstreamState, UpstreamWatch
from server.metrics import Metrics


class GatewayReady(BaseModel):
    """Whether requests can be sent, and why not."""

    status: UpstreamState
    """`ok`, or with status 503: `starting`, `unhealthy` (the upstream does not answer), `failed` (it would not do
    what is reported) or `draining`."""
    reason: str
    """Empty where they can be."""


def gateway_operations_router(
    upstream: Upstream, watch: UpstreamWatch, metrics: Metrics, upstream_metrics: UpstreamMetrics
) -> APIRouter:
    """Health and metrics."""
    router = APIRouter(tags=["operations"])

    @router.get("/health")
    async def alive() -> Health:
        """Whether the gateway lives; starting it again would not bring its upstream back."""
        return Health(status="ok")

    @router.get("/health/ready")
    async def ready(response: Response) -> GatewayReady:
        """Whether requests can be sent; 503 asks to wait."""
        response.status_code = 200 if watch.state is UpstreamState.READY else 503
        return GatewayReady(status=watch.state, reason=watch.reason)

    @router.get("/metrics", response_class=Response)
    async def expose() -> Response:
        """Everything that the gateway and vLLM count, for Prometheus."""
        theirs = await upstream_metrics.scrape(upstream)
        return Response(metrics.expose() + theirs, media_type=CONTENT_TYPE_PLAIN_0_0_4)

    return router

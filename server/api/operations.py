"""What orchestrators and Prometheus ask: liveness, readiness and metrics."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal, TypeAlias

from fastapi import APIRouter, Response
from prometheus_client import CONTENT_TYPE_PLAIN_0_0_4
from pydantic import BaseModel

from server.engines.base import Engine
from server.engines.checks import CheckResult, Verdict
from server.metrics import Metrics
from server.readiness import Readiness, ReadinessState

ReadyStatus: TypeAlias = Literal["ok", "starting", "failed", "draining", "unhealthy"]


class Health(BaseModel):
    """Whether something is well."""

    status: Literal["ok", "unhealthy"]
    """`unhealthy` comes with status 503."""


class Check(BaseModel):
    """A check of the self-test that did not simply pass."""

    check: str
    verdict: Verdict
    detail: str

    @classmethod
    def of(cls, result: CheckResult) -> Check:
        """As the response shows it."""
        return cls(check=result.name, verdict=result.verdict, detail=result.detail)


class Ready(BaseModel):
    """Whether requests can be sent, and why not."""

    status: ReadyStatus
    checks: list[Check]
    """Those that failed, and those that were accepted by name."""


def operations_router(engine: Engine, metrics: Metrics, readiness: Readiness) -> APIRouter:
    """Health and metrics."""
    router = APIRouter(tags=["operations"])

    @router.get("/health")
    async def alive(response: Response) -> Health:
        """Whether the engine's loop runs; 503 asks for a restart."""
        if engine.healthy:
            return Health(status="ok")
        response.status_code = 503
        return Health(status="unhealthy")

    @router.get("/health/ready")
    async def ready(response: Response) -> Ready:
        """Whether requests can be sent; 503 asks to wait, or with `failed` not to."""
        status = _STATUS[readiness.state] if engine.healthy else "unhealthy"
        response.status_code = 200 if status == "ok" else 503
        shown = [Check.of(result) for result in readiness.results if result.verdict is not Verdict.PASSED]
        return Ready(status=status, checks=shown)

    @router.get("/metrics", response_class=Response)
    async def expose() -> Response:
        """Everything that is counted, for Prometheus."""
        return Response(metrics.expose(), media_type=CONTENT_TYPE_PLAIN_0_0_4)

    return router


_STATUS: Mapping[ReadinessState, ReadyStatus] = {
    ReadinessState.STARTING: "starting",
    ReadinessState.READY: "ok",
    ReadinessState.FAILED: "failed",
    ReadinessState.DRAINING: "draining",
}

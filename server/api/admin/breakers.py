"""POST, PATCH and DELETE below /v1/breakers: loading, switching, reloading and unloading bundles while serving."""

from __future__ import annotations

from typing import Any

from fastapi import APIRouter, Request
from pydantic import BaseModel, Field

from server.api.body import read_wire
from server.api.breakers import BreakerList
from server.api.wire import Wire
from server.bundles.manager import BundleManager


class BreakerSource(Wire):
    """Where a bundle to load is."""

    source: str = Field(min_length=1, max_length=4096)
    """A directory below a configured root, or `hf://owner/name[@revision]`."""
    accept_base_mismatch: bool = False
    """Load it although it was made on another base model."""


class BreakerSwitch(Wire):
    """What a bundle does in requests that do not ask for it."""

    enabled: bool
    """False: nothing, until it is switched on again."""


def breaker_changes_router(manager: BundleManager, body_limit: int) -> APIRouter:
    """Each answers with every loaded bundle and the bank version, as `GET /v1/breakers`.

    Args:
        manager: makes the changes.
        body_limit: bytes of a request.
    """
    router = APIRouter(tags=["breakers"])

    @router.post("/v1/breakers", status_code=201, response_model=BreakerList, openapi_extra=_body(BreakerSource))
    async def add_breaker(request: Request) -> BreakerList:
        """Load one more bundle. Requests that run are not touched."""
        wire = await read_wire(request, BreakerSource, body_limit)
        deployment = await manager.add(wire.source, accept_base_mismatch=wire.accept_base_mismatch)
        return BreakerList.of(deployment)

    @router.patch("/v1/breakers/{name}", response_model=BreakerList, openapi_extra=_body(BreakerSwitch))
    async def switch_breaker(name: str, request: Request) -> BreakerList:
        """Switch a bundle's default, until the server stops; requests can still ask for it."""
        wire = await read_wire(request, BreakerSwitch, body_limit)
        return BreakerList.of(await manager.switch(name, enabled=wire.enabled))

    @router.post("/v1/breakers/{name}/reload")
    async def reload_breaker(name: str) -> BreakerList:
        """Read a bundle again from where it came. What is refused leaves the loaded one in place."""
        return BreakerList.of(await manager.reload(name))

    @router.delete("/v1/breakers/{name}")
    async def remove_breaker(name: str) -> BreakerList:
        """Unload a bundle. Requests that run with it end with it."""
        return BreakerList.of(await manager.remove(name))

    return router


def _body(model: type[BaseModel]) -> dict[str, Any]:
    schema = {"schema": model.model_json_schema()}
    return {"requestBody": {"required": True, "content": {"application/json": schema}}}

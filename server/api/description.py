"""The API's description: OpenAPI, with the bodies that routes read themselves."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from fastapi import FastAPI
from pydantic import BaseModel
from starlette.types import Receive, Scope, Send

from server.api.edge.requests import RequestEdge

_COMPONENT = "#/components/schemas/{model}"
"""Where the description keeps a schema."""


def body_of(wire: type[BaseModel]) -> dict[str, Any]:
    """What a route that reads its body itself adds to its description; `wire` is also one of `DescribedApi`'s."""
    schema = {"$ref": _COMPONENT.format(model=wire.__name__)}
    return {"requestBody": {"required": True, "content": {"application/json": {"schema": schema}}}}


class DescribedApi(FastAPI):
    """Knows the bodies that routes read themselves, and lets no request by its edge."""

    bodies: Sequence[type[BaseModel]] = ()

    def __init__(self, edge: RequestEdge, **settings: Any) -> None:
        """`edge` sees every request first; `settings` are FastAPI's."""
        super().__init__(**settings)
        self._edge = edge

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        await self._edge.serve(super().__call__, scope, receive, send)

    def openapi(self) -> dict[str, Any]:
        """The OpenAPI document."""
        if self.openapi_schema is None:
            schemas = super().openapi().setdefault("components", {}).setdefault("schemas", {})
            for wire in self.bodies:
                schema = wire.model_json_schema(ref_template=_COMPONENT)
                schemas |= schema.pop("$defs", {})
                schemas[wire.__name__] = schema
        return super().openapi()

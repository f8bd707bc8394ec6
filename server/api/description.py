"""The API's description: OpenAPI, with the bodies that routes read themselves."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from fastapi import FastAPI
from pydantic import BaseModel

_COMPONENT = "#/components/schemas/{model}"
"""Where the description keeps a schema."""


def body_of(wire: type[BaseModel]) -> dict[str, Any]:
    """What a route that reads its body itself adds to its description; `wire` is also one of `DescribedApi`'s."""
    schema = {"$ref": _COMPONENT.format(model=wire.__name__)}
    return {"requestBody": {"required": True, "content": {"application/json": {"schema": schema}}}}


class DescribedApi(FastAPI):
    """Knows the bodies that routes read themselves."""

    bodies: Sequence[type[BaseModel]] = ()

    def openapi(self) -> dict[str, Any]:
        """The OpenAPI document."""
        if self.openapi_schema is None:
            schemas = super().openapi().setdefault("components", {}).setdefault("schemas", {})
            for wire in self.bodies:
                schema = wire.model_json_schema(ref_template=_COMPONENT)
                schemas |= schema.pop("$defs", {})
                schemas[wire.__name__] = schema
        return super().openapi()

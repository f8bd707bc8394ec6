"""The API's description: OpenAPI, with the bodies that routes read themselves."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from fastapi import FastAPI
from pydantic import BaseModel

from server.policy.profiles import HEADER, Profile

_COMPONENT = "#/components/schemas/{model}"
"""Where the description keeps a schema."""


def body_of(wire: type[BaseModel]) -> dict[str, Any]:
    """What a route that reads its body itself adds to its description; `wire` is also one of `DescribedApi`'s."""
    schema = {"$ref": _COMPONENT.format(model=wire.__name__)}
    return {"requestBody": {"required": True, "content": {"application/json": {"schema": schema}}}}


def question_of(wire: type[BaseModel]) -> dict[str, Any]:
    """The same for a route that runs the model, which also reads a header."""
    profile = {
        "name": HEADER,
        "in": "header",
        "required": False,
        "description": "Names a profile; beats the model name's, and `scalpel.profile` in the body beats it.",
        "schema": {"type": "string", "enum": list(Profile)},
    }
    return body_of(wire) | {"parameters": [profile]}


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

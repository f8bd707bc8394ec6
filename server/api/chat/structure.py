"""`response_format`: what a reply has to be."""

from __future__ import annotations

import json
from typing import Any, Literal

from pydantic import Field, model_validator
from pydantic_core import PydanticCustomError

from server.api.wire import Wire
from server.engines.grammars import ANY_OBJECT, JsonGrammar

NAME_PATTERN = r"^[a-zA-Z0-9_-]{1,64}$"
"""Of schemas and functions, as in OpenAI's API."""


class JsonSchemaFormat(Wire):
    """A schema for a reply."""

    name: str = Field(pattern=NAME_PATTERN)
    """Up to 64 letters, digits, `_` and `-`."""
    description: str | None = None
    """Not shown to the model."""
    schema_: dict[str, Any] | None = Field(default=None, alias="schema")
    """A JSON Schema; null: any object."""
    strict: bool | None = None
    """Changes nothing: a schema is always kept."""


class ResponseFormat(Wire):
    """What a reply has to be."""

    type: Literal["text", "json_object", "json_schema"]
    """`text` is any text, `json_object` any object."""
    json_schema: JsonSchemaFormat | None = None
    """The schema; with the type `json_schema`, and no other."""

    @model_validator(mode="after")
    def _has_its_schema(self) -> ResponseFormat:
        if (self.json_schema is not None) != (self.type == "json_schema"):
            raise PydanticCustomError("json_schema", 'json_schema: wanted with type "json_schema", and no other')
        return self

    def grammar(self) -> JsonGrammar | None:
        """None for plain text."""
        if self.type == "text":
            return None
        if self.json_schema is None or self.json_schema.schema_ is None:
            return JsonGrammar(schema=ANY_OBJECT, param="response_format")
        return JsonGrammar(schema=json.dumps(self.json_schema.schema_), param="response_format.json_schema.schema")

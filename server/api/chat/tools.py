"""Tools and calls in a request's body, and what they mean for the reply."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated, Any, Literal, TypeAlias

from pydantic import AfterValidator, BeforeValidator, Field
from pydantic_core import PydanticCustomError

from server.api.chat.structure import NAME_PATTERN
from server.api.wire import Wire
from server.engines.grammars import CallGrammar, FreeText, Function, JsonGrammar
from server.engines.tool_text import Tool

ID_LENGTH = 256

_NO_PARAMETERS: dict[str, Any] = {"type": "object", "properties": {}, "additionalProperties": False}


def _object_schema(value: dict[str, Any] | None) -> dict[str, Any] | None:
    if value is not None and value.get("type", "object") != "object":
        raise PydanticCustomError("parameters", 'wanted a schema of type "object": arguments have names')
    return value


def _arguments(value: str) -> str:
    try:
        parsed = json.loads(value)
    except (ValueError, RecursionError):
        parsed = None
    if not isinstance(parsed, dict):
        raise PydanticCustomError("arguments", "wanted a JSON object as a string")
    return value


class WireFunction(Wire):
    """A function that a reply may call."""

    name: str = Field(pattern=NAME_PATTERN)
    """Up to 64 letters, digits, `_` and `-`."""
    description: str | None = None
    """For the model."""
    parameters: Annotated[dict[str, Any] | None, AfterValidator(_object_schema)] = None
    """JSON Schema of the arguments; null: there are none."""
    strict: bool | None = None
    """Changes nothing: the schema is always kept."""

    @property
    def schema_of_arguments(self) -> dict[str, Any]:
        """Of an object in any case."""
        return _NO_PARAMETERS if self.parameters is None else {"type": "object"} | self.parameters


class WireTool(Wire):
    """A tool."""

    type: Literal["function"]
    """No other kind is served."""
    function: WireFunction
    """What may be called."""

    def description(self) -> Tool:
        """As the model is told."""
        function = {"name": self.function.name, "description": self.function.description or ""}
        return {"type": "function", "function": {**function, "parameters": self.function.schema_of_arguments}}


class WireCalled(Wire):
    """What an assistant called."""

    name: str = Field(pattern=NAME_PATTERN)
    """Of the function."""
    arguments: Annotated[str, AfterValidator(_arguments)]
    """A JSON object, as a string."""


class WireCall(Wire):
    """A call in an assistant's message."""

    id: str = Field(min_length=1, max_length=ID_LENGTH)
    """As the reply had it; the result names it."""
    type: Literal["function"]
    """No other kind is served."""
    function: WireCalled
    """What was called, and with what."""

    def call(self) -> dict[str, Any]:
        """With its arguments as an object, which is how chat templates want them."""
        arguments = json.loads(self.function.arguments)
        return {"id": self.id, "type": "function", "function": {"name": self.function.name, "arguments": arguments}}


@dataclass(frozen=True, slots=True)
class ToolChoice:
    """`tool_choice`."""

    mode: Literal["auto", "none", "required"]
    name: str | None = None
    """The one function that has to be called, where the mode is `required`."""


def _choice(value: object) -> ToolChoice | None:
    if value is None:
        return None
    if value in ("auto", "none", "required"):
        return ToolChoice(mode=value)
    if isinstance(value, dict) and value.keys() == {"type", "function"} and value["type"] == "function":
        function = value["function"]
        if isinstance(function, dict) and function.keys() == {"name"} and isinstance(function["name"], str):
            return ToolChoice(mode="required", name=function["name"])
    raise PydanticCustomError(
        "tool_choice", 'wanted auto, none, required or {"type": "function", "function": {"name": ...}}'
    )


WireToolChoice: TypeAlias = Annotated[
    ToolChoice | None,
    BeforeValidator(_choice, json_schema_input_type=Literal["auto", "none", "required"] | dict[str, Any] | None),
]


def check_choice(choice: ToolChoice | None, tools: Sequence[WireTool]) -> None:
    """Refuse a choice that the tools do not offer, and tools that share a name.

    Raises:
        PydanticCustomError: naming what is offered.
    """
    names = [tool.function.name for tool in tools]
    if double := next((name for name in names if names.count(name) > 1), None):
        raise PydanticCustomError("tools", "tools: {name} is there twice", {"name": double})
    if choice is None or choice.mode != "required":
        return
    if not tools or (choice.name is not None and choice.name not in names):
        offered = ", ".join(names)[:200] or "none"
        raise PydanticCustomError(
            "tool_choice", "tool_choice: wanted one of the tools; there are: {offered}", {"offered": offered}
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class ToolRules:
    """What a reply may call, and whether it has to."""

    descriptions: tuple[Tool, ...]
    """What the model is told of."""
    functions: tuple[Function, ...]
    """What can be called."""
    required: bool
    parallel: bool

    @classmethod
    def of(cls, tools: Sequence[WireTool], choice: ToolChoice | None, *, parallel: bool) -> ToolRules | None:
        """None where nothing can be called."""
        choice = choice or ToolChoice(mode="auto")
        if choice.mode == "none":
            return None
        callable_ = [tool.function for tool in tools if choice.name in (None, tool.function.name)]
        return cls(
            descriptions=tuple(tool.description() for tool in tools),
            functions=tuple(Function(name=f.name, schema=json.dumps(f.schema_of_arguments)) for f in callable_),
            required=choice.mode == "required",
            # Who names a function wants one call of it.
            parallel=parallel and choice.name is None,
        )

    def grammar(self, otherwise: JsonGrammar | None) -> CallGrammar:
        """`otherwise` is what a reply without calls has to be; None for any text."""
        return CallGrammar(
            functions=self.functions,
            otherwise=None if self.required else otherwise or FreeText(),
            parallel=self.parallel,
            param="tools",
        )

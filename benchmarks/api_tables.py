"""The tables of fields in docs/api.md and docs/recipes.md, made from the models themselves.

A table more is a line in `WIRES`, and its place in the document. A field's meaning is the string under it in the
code; types, ranges and defaults are those of the model's JSON schema.
"""

from __future__ import annotations

import ast
import inspect
import json
import textwrap
from collections.abc import Callable, Mapping
from functools import partial
from itertools import pairwise
from typing import Any

from pydantic import BaseModel, TypeAdapter

from breakers.bundles import GateManifest, MetricManifest
from server.api.admin.breakers import BreakerSource, BreakerSwitch
from server.api.breakers import BreakerCard, BreakerList
from server.api.chat import answers as chat
from server.api.chat.structure import JsonSchemaFormat, ResponseFormat
from server.api.chat.tools import WireCall, WireCalled, WireFunction, WireTool
from server.api.chat.wire import ChatCompletionRequest, Message, TextPart
from server.api.completions import answers as completions
from server.api.completions.wire import CompletionRequest
from server.api.embeddings import answers as embeddings
from server.api.embeddings import wire as embeddings_wire
from server.api.models import ModelCard
from server.api.moderations import answers as moderations
from server.api.moderations import wire as moderations_wire
from server.api.operations import Health
from server.api.responses import answers as responses
from server.api.responses import wire as responses_wire
from server.api.tokens import wire as tokens
from server.api.usage import PromptTokensDetails, Usage
from server.api.version import Version
from server.api.wire import ACCEPTED, NOT_SERVED, ScalpelOptions, StreamOptions, Wire
from server.generation.report import AppliedReport, Report
from server.recipes import file as recipes

WIRES: Mapping[str, type[Any]] = {
    "api.chat.request": ChatCompletionRequest,
    "api.chat.message": Message,
    "api.chat.part": TextPart,
    "api.chat.call": WireCall,
    "api.chat.called": WireCalled,
    "api.chat.response_format": ResponseFormat,
    "api.chat.json_schema": JsonSchemaFormat,
    "api.chat.tool": WireTool,
    "api.chat.function": WireFunction,
    "api.chat.answer": chat.ChatCompletion,
    "api.chat.choice": chat.Choice,
    "api.chat.reply": chat.CallingMessage,
    "api.chat.reply_call": chat.ToolCall,
    "api.chat.reply_called": chat.CalledFunction,
    "api.chat.delta": chat.Delta,
    "api.chat.delta_call": chat.ToolCallDelta,
    "api.chat.delta_function": chat.FunctionDelta,
    "api.chat.logprobs": chat.TokenLogprobs,
    "api.chat.chunk": chat.ChatCompletionChunk,
    "api.chat.chunk_choice": chat.ChunkChoice,
    "api.scalpel": ScalpelOptions,
    "api.stream_options": StreamOptions,
    "api.report": Report,
    "api.report.applied": AppliedReport,
    "api.usage": Usage,
    "api.usage.prompt": PromptTokensDetails,
    "api.completions.request": CompletionRequest,
    "api.completions.answer": completions.Completion,
    "api.completions.choice": completions.CompletionChoice,
    "api.completions.logprobs": completions.CompletionLogprobs,
    "api.responses.request": responses_wire.ResponseRequest,
    "api.responses.message": responses_wire.InputMessage,
    "api.responses.part": responses_wire.InputPart,
    "api.responses.text": responses_wire.TextOptions,
    "api.responses.text_format": responses_wire.TextFormat,
    "api.responses.answer": responses.ResponseObject,
    "api.responses.output": responses.OutputMessage,
    "api.responses.output_text": responses.OutputText,
    "api.responses.usage": responses.ResponseUsage,
    "api.moderations.request": moderations_wire.ModerationRequest,
    "api.moderations.part": moderations_wire.ModerationPart,
    "api.moderations.answer": moderations.ModerationResponse,
    "api.moderations.result": moderations.ModerationResult,
    "api.embeddings.request": embeddings_wire.EmbeddingRequest,
    "api.embeddings.answer": embeddings.EmbeddingResponse,
    "api.embeddings.embedding": embeddings.Embedding,
    "api.embeddings.usage": embeddings.EmbeddingUsage,
    "api.tokenize.request": tokens.TokenizeRequest,
    "api.tokenize.answer": tokens.Tokenized,
    "api.detokenize.request": tokens.DetokenizeRequest,
    "api.detokenize.answer": tokens.Detokenized,
    "api.model": ModelCard,
    "api.breakers": BreakerList,
    "api.breaker": BreakerCard,
    "api.breaker.gate": GateManifest,
    "api.breaker.metric": MetricManifest,
    "api.breaker.source": BreakerSource,
    "api.breaker.switch": BreakerSwitch,
    "api.health": Health,
    "api.version": Version,
    "recipe.file": recipes.Recipe,
    "recipe.model": recipes.ModelSection,
    "recipe.benign": recipes.BenignSection,
    "recipe.pairs": recipes.PairsSection,
    "recipe.hub": recipes.HubSection,
    "recipe.trace": recipes.TraceSection,
    "recipe.refine": recipes.RefineSection,
    "recipe.train": recipes.TrainSection,
    "recipe.gate": recipes.GateSection,
}
"""Name of a table -> what a body or a file, or a part of one, has to be."""

Schema = Mapping[str, Any]

_WORDS = {
    "minimum": "at least",
    "exclusiveMinimum": "above",
    "maximum": "at most",
    "exclusiveMaximum": "below",
    "minItems": "at least",
    "maxItems": "up to",
    "maxLength": "length up to",
}


def api_tables() -> dict[str, Callable[[], list[list[str]]]]:
    """Name of each table -> what makes its rows."""
    return {name: partial(field_rows, wire) for name, wire in WIRES.items()}


def field_rows(wire: type[Any]) -> list[list[str]]:
    """A row per field, header first; of requests those that are required first, those that do nothing last."""
    schema = TypeAdapter(wire).json_schema()
    sent = issubclass(wire, Wire | recipes.Section)
    names = sorted(schema["properties"], key=partial(_rank, schema=schema)) if sent else schema["properties"]
    meanings = _meanings(wire)
    rows = [
        [
            f"`{name}`",
            _type(schema["properties"][name], schema),
            *([_default(name, schema)] if sent else []),
            meanings.get(name) or schema["properties"][name].get("description", ""),
        ]
        for name in names
    ]
    return [["field", "type", *(["default"] if sent else []), "meaning"], *([_cell(c) for c in row] for row in rows)]


def _rank(name: str, schema: Schema) -> int:
    description = schema["properties"][name].get("description", "")
    return 0 if name in schema.get("required", []) else 1 + (description in (ACCEPTED, NOT_SERVED))


def _default(name: str, schema: Schema) -> str:
    if name in schema.get("required", []):
        return "required"
    # A default that is made for each request is not in the schema; all of these are empty objects.
    default = schema["properties"][name].get("default", {})
    return "all of its own" if isinstance(default, dict) and default else f"`{json.dumps(default)}`"


def _type(field: Schema, whole: Schema) -> str:
    if "$ref" in field:
        name = field["$ref"].rpartition("/")[2]
        named = whole["$defs"][name]
        return _type(named, whole) if "enum" in named else f"`{name}`"
    if "anyOf" in field:
        return " or ".join(dict.fromkeys(_type(option, whole) for option in field["anyOf"]))
    if "const" in field:
        return f"`{json.dumps(field['const'])}`"
    if "enum" in field:
        return " or ".join(f"`{json.dumps(value)}`" for value in field["enum"])
    if field.get("type") == "array":
        return _list(field, whole)
    if field.get("type") == "object":
        inner = field.get("additionalProperties")
        return f"object of {_type(inner, whole)}" if isinstance(inner, dict) else "object"
    return _plain(field)


def _list(field: Schema, whole: Schema) -> str:
    if field.get("maxItems") == 0:
        return "`[]`"
    fixed = "prefixItems" in field
    inner = _type(field["prefixItems"][0] if fixed else field.get("items", {}), whole)
    several = f"({inner})" if " or " in inner else inner
    return f"list of {several}{'' if fixed else _limits(field)}"


def _plain(field: Schema) -> str:
    return f"{field.get('type', 'anything')}{_limits(field)}"


def _limits(field: Schema) -> str:
    limits = [f"{word} {_number(field[key])}" for key, word in _WORDS.items() if key in field]
    return f" ({', '.join(limits)})" if limits else ""


def _number(value: float) -> str:
    power = abs(int(value)).bit_length() - 1
    exact = isinstance(value, int) and power >= 31 and abs(value) == 1 << power
    return f"{'-' * (value < 0)}2^{power}" if exact else f"{value:g}"


def _meanings(wire: type[Any]) -> dict[str, str]:
    """The string under each field, in the class and those that it inherits from."""
    found: dict[str, str] = {}
    for owner in reversed(wire.__mro__):
        if owner in (BaseModel, object):
            continue
        body = ast.parse(textwrap.dedent(inspect.getsource(owner))).body[0]
        statements = body.body if isinstance(body, ast.ClassDef) else []
        for field, text in pairwise(statements):
            if isinstance(field, ast.AnnAssign) and isinstance(text, ast.Expr) and isinstance(field.target, ast.Name):
                found[field.target.id] = " ".join(str(ast.literal_eval(text.value)).split())
    return found


def _cell(text: str) -> str:
    return text.replace("|", "\\|")

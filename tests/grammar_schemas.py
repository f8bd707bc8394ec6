"""Schemas that between them use what grammars have to enforce; every reply of theirs is short enough to end."""

from __future__ import annotations

import json
from typing import Any

from jsonschema import Draft202012Validator, FormatChecker

from server.engines.grammars import JsonGrammar

LETTERS = {"type": "string", "maxLength": 6}

SCHEMAS: dict[str, dict[str, Any]] = {
    "nested objects": {
        "type": "object",
        "properties": {
            "name": LETTERS,
            "place": {
                "type": "object",
                "properties": {"x": {"type": "integer", "minimum": -99, "maximum": 99}, "in": {"type": "boolean"}},
                "required": ["x", "in"],
                "additionalProperties": False,
            },
        },
        "required": ["name", "place"],
        "additionalProperties": False,
    },
    "optional properties": {
        "type": "object",
        "properties": {"a": {"type": "null"}, "b": {"type": "boolean"}, "c": {"const": [1, "two", None]}},
        "required": ["b"],
        "additionalProperties": False,
    },
    "arrays": {
        "type": "array",
        "items": {"type": "array", "items": {"type": "boolean"}, "maxItems": 3},
        "minItems": 1,
        "maxItems": 4,
    },
    "tuples": {"type": "array", "prefixItems": [{"const": "x"}, {"type": "boolean"}], "items": False, "minItems": 2},
    "enums": {"enum": ["red", "green", 7, None, True, {"a": ["ä", '"quoted"', "\n"]}, "日本"]},
    "numbers": {
        "type": "object",
        "properties": {
            "n": {"type": "number", "minimum": -1.5, "exclusiveMaximum": 2.25},
            "m": {"type": "integer", "multipleOf": 7, "minimum": 0, "maximum": 999},
            "i": {"type": "integer", "exclusiveMinimum": 0, "maximum": 12},
        },
        "required": ["n", "m", "i"],
        "additionalProperties": False,
    },
    "unions": {
        "type": "object",
        "properties": {
            "v": {"anyOf": [LETTERS, {"type": "null"}, {"type": "array", "items": {"type": "null"}, "maxItems": 2}]},
            "w": {"type": ["boolean", "null"]},
            "u": {"oneOf": [{"const": 1}, {"const": "one"}]},
        },
        "required": ["v", "w", "u"],
        "additionalProperties": False,
    },
    "references": {
        "$defs": {
            "colour": {"enum": ["red", "blue"]},
            "pair": {
                "type": "object",
                "properties": {"left": {"$ref": "#/$defs/colour"}, "right": {"$ref": "#/$defs/colour"}},
                "required": ["left", "right"],
                "additionalProperties": False,
            },
        },
        "type": "object",
        "properties": {"one": {"$ref": "#/$defs/pair"}, "two": {"$ref": "#/$defs/pair"}},
        "required": ["one", "two"],
        "additionalProperties": False,
    },
    "patterns": {
        "type": "object",
        "properties": {
            "whole": {"type": "string", "pattern": "^[a-z]{2,4}-[0-9]{3}$"},
            "somewhere": {"type": "string", "pattern": '^.{0,2}(foo|b"r|\\\\)x?.{0,2}$'},
            "day": {"type": "string", "format": "date"},
            "address": {"type": "string", "format": "ipv4"},
        },
        "required": ["whole", "somewhere", "day", "address"],
        "additionalProperties": False,
    },
    "unicode": {
        "type": "object",
        "properties": {"größe ☃": {"type": "string", "minLength": 2, "maxLength": 5}},
        "required": ["größe ☃"],
        "additionalProperties": {"type": "boolean"},
        "maxProperties": 1,
    },
    "all of": {
        "allOf": [
            {"type": "object", "properties": {"a": {"type": "boolean"}}, "required": ["a"]},
            {"type": "object", "properties": {"b": {"type": "null"}}, "required": ["b"]},
        ],
        "properties": {"a": True, "b": True},
        "additionalProperties": False,
    },
}


def validate(text: str, schema: dict[str, Any]) -> Any:
    """The value of a whole reply; raises what json or the independent validator has against it."""
    value = json.loads(text)
    Draft202012Validator(schema, format_checker=FormatChecker()).validate(value)
    return value


def json_grammar(schema: object) -> JsonGrammar:
    """The grammar of a schema."""
    return JsonGrammar(schema=json.dumps(schema))

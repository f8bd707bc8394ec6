"""The bounds of a JSON Schema that a caller sends: checked before anything compiles it.

Compilers are native code that recurses; what is too deep or too large must not reach them.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from decimal import Decimal, InvalidOperation
from typing import Any

from server.engines.base import RequestRefusedError
from server.engines.grammars import CallGrammar, Grammar, JsonGrammar, RegexGrammar

GRAMMAR_BYTES = 128 * 1024
"""Of all schemas or patterns of a request together."""
SCHEMA_DEPTH = 64
"""Levels of JSON."""
FUNCTIONS_LIMIT = 128
MULTIPLE_LIMIT = 10_000
"""Of the product of all values of `multipleOf`, in units of their last decimal: its automaton has so many states."""

COMBINED_PATTERNS_LIMIT = 8
"""Different values of `pattern` in a schema that combines schemas: whether so many can hold at once is a question
that takes exponentially long."""
PATTERN_PROPERTIES_LIMIT = 64
"""In all of a schema: each is compared with each."""
_COMBINING = frozenset({"pattern", "anyOf", "oneOf", "$ref"})
"""Two of these beside each other hold at once."""


def check_bounds(grammar: Grammar) -> None:
    """Refuse what is too large to be compiled.

    Raises:
        RequestRefusedError: naming the bound.
    """
    if isinstance(grammar, CallGrammar) and not 0 < len(grammar.functions) <= FUNCTIONS_LIMIT:
        raise RequestRefusedError(
            f"{len(grammar.functions)} functions; wanted 1 to {FUNCTIONS_LIMIT}", param=grammar.param
        )
    size = sum(len(part.encode()) for part in _parts(grammar))
    if size > GRAMMAR_BYTES:
        raise RequestRefusedError(
            f"the grammar has {size} bytes; wanted at most {GRAMMAR_BYTES}", param=grammar.param
        )


def parse_schema(text: str, param: str | None) -> dict[str, Any]:
    """A schema as an object; `true`, which allows anything, is `{}`.

    Raises:
        RequestRefusedError: it is no schema, too deep, or its multiples are too many.
    """
    try:
        schema = json.loads(text)
    except (ValueError, RecursionError):
        raise RequestRefusedError("the schema is not JSON", param=param) from None
    if schema is True:
        return {}
    if not isinstance(schema, dict):
        raise RequestRefusedError("the schema is not an object; wanted a JSON Schema", param=param)
    depth = _depth(schema)
    if depth > SCHEMA_DEPTH:
        raise RequestRefusedError(f"the schema is {depth} levels deep; wanted at most {SCHEMA_DEPTH}", param=param)
    _check_patterns(schema, param)
    states = _multiples(schema)
    if states > MULTIPLE_LIMIT:
        raise RequestRefusedError(
            f"the schema's values of multipleOf come to {states:.3g} in units of their last decimal; "
            f"wanted at most {MULTIPLE_LIMIT}",
            param=param,
        )
    return schema


def _parts(grammar: Grammar) -> Iterator[str]:
    if isinstance(grammar, RegexGrammar):
        yield grammar.pattern
    elif isinstance(grammar, JsonGrammar):
        yield grammar.schema
    else:
        yield from (part for function in grammar.functions for part in (function.name, function.schema))
        if isinstance(grammar.otherwise, JsonGrammar):
            yield grammar.otherwise.schema


def _depth(schema: object) -> int:
    """Level by level, because recursion is what has to be avoided."""
    depth, level = 0, [schema]
    while level:
        depth += 1
        level = [inner for value in level for inner in _inside(value)]
    return depth


def _inside(value: object) -> list[Any]:
    if isinstance(value, dict):
        return list(value.values())
    return value if isinstance(value, list) else []


def _objects(schema: object) -> Iterator[dict[str, Any]]:
    stack = [schema]
    while stack:
        value = stack.pop()
        stack.extend(_inside(value))
        if isinstance(value, dict):
            yield value


def _check_patterns(schema: object, param: str | None) -> None:
    objects = list(_objects(schema))
    patterns = {str(part["pattern"]) for part in objects if "pattern" in part}
    combines = any("allOf" in part or len(_COMBINING & part.keys()) > 1 for part in objects)
    if combines and len(patterns) > COMBINED_PATTERNS_LIMIT:
        raise RequestRefusedError(
            f"the schema has {len(patterns)} patterns and combines schemas (allOf, or pattern beside $ref or anyOf); "
            f"wanted at most {COMBINED_PATTERNS_LIMIT}",
            param=param,
        )
    named = sum(len(_inside(part["patternProperties"])) for part in objects if "patternProperties" in part)
    if named > PATTERN_PROPERTIES_LIMIT:
        raise RequestRefusedError(
            f"the schema has {named} patternProperties; wanted at most {PATTERN_PROPERTIES_LIMIT}", param=param
        )


def _multiples(schema: object) -> int:
    found: set[Decimal] = set()
    for part in _objects(schema):
        number = part.get("multipleOf")
        if isinstance(number, int | float) and not isinstance(number, bool):
            found.add(Decimal(str(number)))
    try:
        finest = min((int(n.normalize().as_tuple().exponent) for n in found), default=0)
        product = 1
        for number in found:
            product *= max(1, abs(int(number.scaleb(-min(finest, 0)))))
    except (InvalidOperation, OverflowError, ValueError):  # not a finite number, or of absurd size
        return MULTIPLE_LIMIT + 1
    return min(product, 10**15)

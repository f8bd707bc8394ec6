"""Grammars in llguidance's language: regular expressions, or Lark rules with JSON Schemas in them."""

from __future__ import annotations

import json

from llguidance import LLMatcher

from server.engines.grammars import (
    CALL_ARGUMENTS,
    CALL_END,
    CALL_NAME,
    CALL_SEPARATOR,
    CALL_TRIGGER,
    CallGrammar,
    FreeText,
    Grammar,
    JsonGrammar,
    RegexGrammar,
)
from server.engines.schemas import check_bounds, parse_schema

_OPTIONS_KEY = "x-guidance"
_OPTIONS = {
    "whitespace_flexible": False,
    # Regular expressions: a model may write either, and cannot go on with spaces for ever.
    "item_separator": ", ?",
    "key_separator": ": ?",
    "coerce_one_of": False,
    "lenient": False,
}
"""Exact: what the compiler does not know, or could only approximate, is an error."""

_ANYTHING = r"(.|\n)*"


def source(grammar: Grammar) -> str:
    """What llguidance compiles to matchers of the grammar.

    Raises:
        RequestRefusedError: it is out of bounds, or holds what is no JSON Schema.
    """
    check_bounds(grammar)
    if isinstance(grammar, JsonGrammar):
        return LLMatcher.grammar_from_json_schema(_json(grammar.schema, grammar.param))
    if isinstance(grammar, RegexGrammar):
        return LLMatcher.grammar_from_regex(grammar.pattern)
    return _calls(grammar)


def _calls(grammar: CallGrammar) -> str:
    several = f" ({_text(CALL_SEPARATOR + CALL_TRIGGER)} call)*" if grammar.parallel else ""
    rules = [f"call: {' | '.join(f'call_{i}' for i in range(len(grammar.functions)))}"]
    for i, function in enumerate(grammar.functions):
        opening = _text(CALL_NAME + function.name + CALL_ARGUMENTS)
        rules.append(f"call_{i}: {opening} arguments_{i} {_text(CALL_END)}")
        rules.append(f"arguments_{i}: %json {_json(function.schema, grammar.param)}")
    if isinstance(grammar.otherwise, FreeText):
        # The lazy lexeme ends at the first trigger; the other one may not hold any, so that none goes unnoticed.
        rules.append(f"opening[lazy]: /{_ANYTHING}/ {_text(CALL_TRIGGER)}")
        rules.append(f"TEXT: /{_ANYTHING}/ & ~/{_ANYTHING}{CALL_TRIGGER}{_ANYTHING}/")
        start = f"start: TEXT | opening call{several}"
    elif grammar.otherwise is not None:
        rules.append(f"value: %json {_json(grammar.otherwise.schema, grammar.otherwise.param)}")
        start = f"start: value | {_text(CALL_TRIGGER)} call{several}"
    else:
        start = f"start: {_text(CALL_TRIGGER)} call{several}"
    return _lines(start, *rules)


def _lines(*rules: str) -> str:
    return "\n".join(["%llguidance {}", *rules, ""])


def _text(text: str) -> str:
    return json.dumps(text)


def _json(schema: str, param: str | None) -> str:
    parsed = parse_schema(schema, param)
    # Over what the caller may have put there: these options are not the caller's to choose.
    return json.dumps(parsed | {_OPTIONS_KEY: _OPTIONS})

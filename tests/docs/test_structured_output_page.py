"""docs/structured-output.md against the code."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from grammar_schemas import json_grammar
from tiny_tokenizer import tiny_tokenizer

from server.engines import schemas
from server.engines.base import RequestRefusedError
from server.engines.embedded.grammar import compiler as compiling
from server.engines.embedded.grammar.compiler import GrammarCompiler
from server.engines.embedded.grammar.vocabulary import Vocabulary
from server.engines.embedded.tokenizer import HuggingFaceTokenizer
from server.engines.tool_text import call_text

PAGE = (Path(__file__).resolve().parents[2] / "docs" / "structured-output.md").read_text(encoding="utf-8")


def test_bounds_are_those_of_the_code() -> None:
    rows = re.findall(r"^\| .* \| (\d+) \|$", PAGE.partition("## Bounds")[2], re.MULTILINE)
    assert [float(number) for number in rows] == [
        schemas.GRAMMAR_BYTES,
        schemas.FUNCTIONS_LIMIT,
        schemas.SCHEMA_DEPTH,
        schemas.MULTIPLE_LIMIT,
        schemas.COMBINED_PATTERNS_LIMIT,
        schemas.PATTERN_PROPERTIES_LIMIT,
        compiling.SECONDS,
        compiling.PENDING,
    ]
    assert f"the {compiling.KEPT} used last are kept" in PAGE


def test_the_form_of_a_call_is_the_one_shown() -> None:
    assert call_text({"function": {"name": "weather", "arguments": {"place": "Rome"}}}) in PAGE


FORMATS = re.findall(r"`([\w-]+)`", PAGE.partition("`format` (")[2].partition(")")[0])
SAMPLES = {
    "enum": [1],
    "const": 1,
    "properties": {"a": {}},
    "required": ["a"],
    "additionalProperties": False,
    "patternProperties": {"^a": {}},
    "items": {},
    "prefixItems": [{}],
    "pattern": "a",
    "anyOf": [{}],
    "allOf": [{}],
    "oneOf": [{"const": "a"}, {"const": "b"}],
    "$defs": {},
    "type": "object",
    "title": "x",
    "description": "x",
    "default": 1,
    "not": {},
    "if": {},
    "then": {},
    "else": {},
    "uniqueItems": True,
    "propertyNames": {"pattern": "a"},
}


@pytest.mark.parametrize("served", [True, False])
async def test_keywords_are_served_or_refused_as_the_page_says(served: bool) -> None:
    held, _, refused = PAGE.partition("What schemas may hold:")[2].partition("Refused, with the reason:")
    text = held if served else refused.partition("other formats")[0]
    names = [name for name in re.findall(r"`([$\w]+)`", text) if name not in (*FORMATS, "format", "$ref")]
    assert len(names) > 5
    raw = tiny_tokenizer()
    compiler = GrammarCompiler(Vocabulary(HuggingFaceTokenizer(raw), size=len(raw), end_ids={2}))
    cases = [{name: SAMPLES.get(name, 2)} for name in names]
    if served:
        cases += [{"type": "string", "format": name} for name in FORMATS]
    for schema in cases:
        if served:
            assert await compiler.matcher(json_grammar(schema)), schema
        else:
            with pytest.raises(RequestRefusedError, match="Unimplemented keys"):
                await compiler.matcher(json_grammar(schema))
    compiler.stop()

"""Compiling: what is refused and why, what is bounded, and what is done once."""

from __future__ import annotations

import asyncio
import json
import threading
import time
from contextlib import suppress
from dataclasses import replace
from typing import Any

import pytest
from grammar_schemas import json_grammar
from tiny_tokenizer import tiny_tokenizer

from server.engines.base import EngineOverloadedError, EngineUnavailableError, RequestRefusedError
from server.engines.embedded.grammar import compiler as compiling
from server.engines.embedded.grammar.compiler import GrammarCompiler
from server.engines.embedded.grammar.dialect import source
from server.engines.embedded.grammar.vocabulary import Vocabulary
from server.engines.embedded.tokenizer import HuggingFaceTokenizer
from server.engines.grammars import CallGrammar, Function, JsonGrammar, RegexGrammar
from server.engines.schemas import FUNCTIONS_LIMIT, GRAMMAR_BYTES, SCHEMA_DEPTH, check_bounds


def vocabulary(size: int | None = None, *, ends: frozenset[int] = frozenset({2})) -> Vocabulary:
    tokenizer = tiny_tokenizer()
    return Vocabulary(HuggingFaceTokenizer(tokenizer), size=size or len(tokenizer), end_ids=ends)


class CountingCompiler(GrammarCompiler):
    """Remembers what it compiled and where, and may take its time."""

    def __init__(self, *, delay: float = 0.0, **settings: Any) -> None:
        super().__init__(vocabulary(), **settings)
        self.compiled: list[object] = []
        self.threads: set[int] = set()
        self.delay = delay

    def _compile(self, grammar: Any) -> Any:
        self.compiled.append(grammar)
        self.threads.add(threading.get_ident())
        time.sleep(self.delay)
        return super()._compile(grammar)


class HeldCompiler(GrammarCompiler):
    """Compiles nothing before it is free to."""

    def __init__(self) -> None:
        super().__init__(vocabulary())
        self.free = threading.Event()

    def _compile(self, grammar: Any) -> Any:
        assert self.free.wait(60)
        return super()._compile(grammar)


def deep(levels: int) -> object:
    schema: object = {"type": "null"}
    for _ in range(levels):
        schema = {"type": "array", "items": schema}
    return schema


def chain(length: int) -> dict[str, object]:
    """Objects that refer to each other, each defined on its own: flat to look at, deep to compile."""
    definitions: dict[str, object] = {
        f"d{i}": {"type": "object", "properties": {"a": {"$ref": f"#/$defs/d{i + 1}"}}, "required": ["a"]}
        for i in range(length)
    }
    return {"$defs": definitions | {f"d{length}": {"type": "null"}}, "$ref": "#/$defs/d0"}


@pytest.mark.parametrize(
    ("schema", "message"),
    [
        ({"type": "strin"}, "Invalid type: strin"),
        ({"not": {"type": "null"}}, 'Unimplemented keys: ["not"]'),
        ({"type": "array", "uniqueItems": True}, 'Unimplemented keys: ["uniqueItems"]'),
        ({"oneOf": [{"type": "integer"}, {"type": "number"}]}, "oneOf: more than one may hold"),
        ({"type": "string", "pattern": "^(?!a)b"}, "look-around, including look-ahead"),
        ({"type": "string", "pattern": "("}, "unclosed group"),
        ({"type": "string", "format": "colour"}, "Unknown format: colour"),
        ({"type": "string", "minLength": 5, "maxLength": 2}, "minLength (5) is greater than maxLength (2)"),
        ({"enum": []}, "Unsatisfiable schema"),
        ({"$ref": "https://example.com/other.json"}, "retriever does not fetch resources"),
        ({"$ref": "#/$defs/missing"}, "missing"),
        ({"anyOf": deep(SCHEMA_DEPTH)}, f"levels deep; wanted at most {SCHEMA_DEPTH}"),
        ({"type": "integer", "multipleOf": 999983}, "multipleOf come to 1e+06"),
        ({"type": "integer", "multipleOf": 1e9}, "multipleOf come to 1e+09"),
        ({"allOf": [{"multipleOf": 997}, {"multipleOf": 991}]}, "multipleOf come to 9.88e+05"),
        ({"multipleOf": 1e-300, "allOf": [{"multipleOf": 1e300}]}, "multipleOf come to"),
        # Minutes and more, and no limit of the compiler's ends it.
        ({"allOf": [{"pattern": f".*{c}.{{{i}}}$"} for c in "ab" for i in range(12)]}, "24 patterns and combines"),
        (
            {"pattern": "a", "anyOf": [{"pattern": "b" * i, "anyOf": [{}]} for i in range(1, 9)]},
            "9 patterns and combines",
        ),
        ({"patternProperties": {f"^x{i}(a|b)*a(a|b){{16}}$": {} for i in range(65)}}, "has 65 patternProperties"),
        ([], "the schema is not an object"),
        (False, "the schema is not an object"),
        # Whatever a caller writes there, what cannot be enforced is refused.
        ({"x-guidance": {"lenient": True}, "not": {}}, 'Unimplemented keys: ["not"]'),
        (
            {"type": "object", "properties": {f"p{i}": {"type": "string"} for i in range(1500)}},
            "cannot be followed: Parser Error: Current row has",
        ),
    ],
    ids=lambda value: str(value)[:50],
)
async def test_what_cannot_be_enforced_is_refused_with_the_reason(schema: object, message: str) -> None:
    compiler = GrammarCompiler(vocabulary())
    with pytest.raises(RequestRefusedError) as refused:
        await compiler.matcher(replace(json_grammar(schema), param="response_format"))
    assert message in str(refused.value)
    assert len(str(refused.value)) < 500
    assert refused.value.param == "response_format"
    compiler.stop()


@pytest.mark.parametrize(
    "schema",
    [
        # Each of them has brought down, or stalled, a compiler of some kind.
        chain(1200),
        {"$ref": "#"},
        {"$defs": {"a": {"$ref": "#/$defs/b"}, "b": {"$ref": "#/$defs/a"}}, "$ref": "#/$defs/a"},
        {"enum": [f"value {i}" for i in range(5000)]},
        {"type": "string", "pattern": "^(a+)+$"},
        {"type": "string", "pattern": "^(.*a){20}.{20}$"},
        {"type": "string", "pattern": "^(((a|b){1,1000}){1,1000}){1,1000}$"},
        {"type": "string", "maxLength": 10**9},
        {"type": "array", "items": {"type": "string"}, "minItems": 10**6},
        {"type": "number", "multipleOf": 0.01},
        {"type": "object", "properties": {f"p{i}": {"type": "string", "pattern": f"^x.{{{i}}}"} for i in range(99)}},
        {"allOf": [{"type": "string", "pattern": f".*{c}.{{19}}x.*$"} for c in "abcdefgh"]},
        {"patternProperties": {f"^x{i:03}(a|b)*a(a|b){{16}}$": {} for i in range(64)}},
        {"patternProperties": {"^(.*a.{18}|.*b.{19})c$": {}, "^(.*d.{17}|.*b.{16})d$": {}}},
        {"type": "object", "properties": {f"p{i}": {} for i in range(500)}, "required": ["p7"]},
        deep(SCHEMA_DEPTH // 2 - 1),
        {"anyOf": [{"properties": {f"p{i}": {"type": "string", "pattern": f".*a.{{{i}}}"}}} for i in range(300)]},
    ],
    ids=lambda value: str(value)[:50],
)
async def test_hostile_schemas_are_compiled_or_refused_and_nothing_breaks(schema: object) -> None:
    compiler = GrammarCompiler(vocabulary())
    with suppress(RequestRefusedError):
        matcher = await compiler.matcher(json_grammar(schema))
        for _ in range(30):
            bits = int.from_bytes(matcher.allowed(), "little")
            token_id = bits.bit_length() - 1
            matcher.accept(token_id)
            if token_id == 2:
                break
    # And it goes on.
    assert await compiler.matcher(json_grammar({"type": "null"}))
    compiler.stop()


def test_size_is_bounded_over_all_parts() -> None:
    big = json.dumps({"description": "x" * (GRAMMAR_BYTES // 2)})
    check_bounds(JsonGrammar(schema=big))
    functions = (Function(name="a", schema=big), Function(name="b", schema=big))
    for grammar in (
        CallGrammar(functions=functions, param="tools"),
        CallGrammar(functions=functions[:1], otherwise=JsonGrammar(schema=big), param="tools"),
        RegexGrammar(pattern="ä" * (GRAMMAR_BYTES // 2 + 1), param="tools"),
    ):
        with pytest.raises(RequestRefusedError, match=f"bytes; wanted at most {GRAMMAR_BYTES}") as refused:
            check_bounds(grammar)
        assert refused.value.param == "tools"
    for count in (0, FUNCTIONS_LIMIT + 1):
        with pytest.raises(RequestRefusedError, match=f"{count} functions; wanted 1 to {FUNCTIONS_LIMIT}"):
            check_bounds(CallGrammar(functions=functions[:1] * count))


def test_the_options_of_the_compiler_are_not_the_callers() -> None:
    written = source(json_grammar({"type": "object", "x-guidance": {"lenient": True, "whitespace_flexible": True}}))
    assert '"lenient": false' in written
    assert "true" not in written


async def test_a_pattern_matches_as_a_whole_and_a_bad_one_is_refused() -> None:
    compiler = GrammarCompiler(vocabulary())
    matcher = await compiler.matcher(RegexGrammar(pattern="a/b"))
    for character in (b"a", b"/", b"b"):
        bits = int.from_bytes(matcher.allowed(), "little")
        assert bits == 1 << matcher.pieces.index(character)
        matcher.accept(matcher.pieces.index(character))
    assert matcher.only_end(matcher.allowed())
    with pytest.raises(RequestRefusedError, match="cannot be enforced"):
        await compiler.matcher(RegexGrammar(pattern="a(b"))
    compiler.stop()


async def test_a_grammar_is_compiled_once_off_the_callers_thread() -> None:
    compiler = CountingCompiler(delay=0.05)
    grammars = [json_grammar({"const": i % 2}) for i in range(8)]
    matchers = await asyncio.gather(*map(compiler.matcher, grammars))
    assert len(compiler.compiled) == 2
    assert threading.get_ident() not in compiler.threads
    # Each has its own place.
    zero = matchers[0].pieces.index(b"0")
    matchers[0].accept(zero)
    assert matchers[0].only_end(matchers[0].allowed())
    assert not matchers[2].only_end(matchers[2].allowed())
    # A parameter's name is no part of a grammar.
    await compiler.matcher(replace(grammars[0], param="tools"))
    assert len(compiler.compiled) == 2
    compiler.stop()


async def test_the_grammars_used_last_are_kept_and_failures_are_not() -> None:
    compiler = CountingCompiler(kept=2)
    a, b, c = (json_grammar({"const": i}) for i in range(3))
    for grammar in (a, b, a, c, a, b):
        await compiler.matcher(grammar)
    assert compiler.compiled == [a, b, c, b]
    bad = json_grammar({"not": {}})
    for _ in range(2):
        with pytest.raises(RequestRefusedError):
            await compiler.matcher(bad)
    assert compiler.compiled[4:] == [bad, bad]
    compiler.stop()


async def test_what_takes_too_long_is_refused_and_the_next_is_served() -> None:
    compiler = CountingCompiler(seconds=0.05, delay=0.3)
    slow = json_grammar({"const": 1})
    with pytest.raises(RequestRefusedError, match=r"not compiled within 0\.05 seconds"):
        await compiler.matcher(slow)
    await asyncio.sleep(0.5)
    compiler.delay = 0.0
    # It was compiled in the end.
    assert await compiler.matcher(slow)
    assert compiler.compiled == [slow]
    compiler.stop()


async def test_the_queue_is_bounded_and_a_stopped_compiler_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(compiling, "PENDING", 3)
    compiler = HeldCompiler()
    tasks = [asyncio.create_task(compiler.matcher(json_grammar({"const": i}))) for i in range(5)]
    while sum(t.done() for t in tasks) < 2:
        await asyncio.sleep(0)
    assert [isinstance(t.exception(), EngineOverloadedError) for t in tasks if t.done()] == [True, True]
    compiler.stop()
    compiler.free.set()
    results = await asyncio.gather(*tasks, return_exceptions=True)
    assert any(isinstance(r, EngineUnavailableError) for r in results)
    with pytest.raises(EngineUnavailableError, match="the engine is stopped"):
        await compiler.matcher(json_grammar({"const": 9}))


async def test_a_vocabulary_that_cannot_write_it_is_refused() -> None:
    # The first 96 tokens end before the brace.
    compiler = GrammarCompiler(vocabulary(96))
    with pytest.raises(RequestRefusedError, match="cannot be followed"):
        await compiler.matcher(json_grammar({"type": "object"}))
    assert await compiler.matcher(json_grammar({"type": "integer"}))
    compiler.stop()
    endless = GrammarCompiler(vocabulary(ends=frozenset()))
    with pytest.raises(RequestRefusedError, match="this model has no end token"):
        await endless.matcher(json_grammar({"type": "integer"}))


async def test_the_part_at_fault_is_named() -> None:
    compiler = GrammarCompiler(vocabulary())
    good, bad = '{"type": "object"}', '{"type": "object", "not": {}}'
    functions = (Function(name="first", schema=good), Function(name="second", schema=bad))
    with pytest.raises(RequestRefusedError) as refused:
        await compiler.matcher(CallGrammar(functions=functions, param="tools"))
    assert str(refused.value) == 'the parameters of second cannot be enforced: Unimplemented keys: ["not"]'
    assert refused.value.param == "tools"
    otherwise = JsonGrammar(schema=bad, param="response_format")
    with pytest.raises(RequestRefusedError) as refused:
        await compiler.matcher(CallGrammar(functions=functions[:1], otherwise=otherwise, param="tools"))
    assert str(refused.value) == 'the grammar cannot be enforced: Unimplemented keys: ["not"]'
    assert refused.value.param == "response_format"
    compiler.stop()

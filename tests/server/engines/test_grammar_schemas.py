"""Made-up schemas: whatever is not refused is kept, by the word of an independent validator."""

from __future__ import annotations

import random
from collections.abc import Iterator
from typing import Any

import pytest
from grammar_schemas import json_grammar, validate
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from tiny_tokenizer import tiny_tokenizer

from server.engines.base import GrammarDeadEndError, RequestRefusedError
from server.engines.embedded.grammar.compiler import GrammarCompiler
from server.engines.embedded.grammar.text import GrammarDetokenizer
from server.engines.embedded.grammar.vocabulary import Vocabulary
from server.engines.embedded.tokenizer import HuggingFaceTokenizer

END = 2
STEPS = 150
EAGER = 6
"""One in so many steps a reply ends, or a value closes, where it can."""

NAMES = st.sampled_from(["a", "b", "ä", "a b", 'q"', "\\"])
VALUES = st.none() | st.booleans() | st.integers(-50, 50) | st.sampled_from(["", "x", "é\n", '"', "日本", 0.5, -2.25])
SMALL = st.integers(0, 4)


def some_of(**keywords: st.SearchStrategy[Any]) -> st.SearchStrategy[dict[str, Any]]:
    return st.fixed_dictionaries({}, optional=keywords)


STRINGS = some_of(
    minLength=SMALL,
    maxLength=SMALL,
    pattern=st.sampled_from(["^a+$", "b", "^[a-c]{2}", "x$", "^(foo|bär)$", r"\d{2}", r"^\w+\.$", "[^a-z]"]),
).map(lambda s: {"type": "string", **s})
NUMBERS = some_of(
    minimum=st.integers(-20, 20),
    maximum=st.integers(-20, 20) | st.sampled_from([0.5, 12.75]),
    exclusiveMinimum=st.integers(-20, 20),
    multipleOf=st.sampled_from([1, 3, 0.5]),
)
INTEGERS = NUMBERS.map(lambda s: {"type": "integer", **s})
FLOATS = NUMBERS.map(lambda s: {"type": "number", **s})
LEAVES = (
    STRINGS
    | INTEGERS
    | FLOATS
    | st.just({"type": "null"})
    | st.just({"type": ["boolean", "string"], "maxLength": 3})
    | VALUES.map(lambda value: {"const": value})
    | st.lists(VALUES, min_size=1, max_size=4).map(lambda values: {"enum": values})
    | st.just({"$ref": "#/$defs/leaf"})
)


def larger(inner: st.SearchStrategy[Any]) -> st.SearchStrategy[dict[str, Any]]:
    objects = some_of(
        properties=st.dictionaries(NAMES, inner, max_size=3),
        required=st.lists(NAMES, unique=True, max_size=2),
        additionalProperties=st.booleans() | inner,
    ).map(lambda s: {"type": "object", **s})
    arrays = some_of(
        items=inner, prefixItems=st.lists(inner, min_size=1, max_size=2), minItems=SMALL, maxItems=SMALL
    ).map(lambda s: {"type": "array", **s})
    several = st.lists(inner, min_size=1, max_size=3)
    return (
        objects
        | arrays
        | several.map(lambda parts: {"anyOf": parts})
        | several.map(lambda parts: {"oneOf": parts})
        | several.map(lambda parts: {"allOf": parts})
    )


SCHEMAS = st.recursive(LEAVES, larger, max_leaves=6).map(
    lambda schema: {**schema, "$defs": {"leaf": {"enum": ["leaf", 1]}}}
)


@pytest.fixture(scope="module")
def compiler() -> Iterator[GrammarCompiler]:
    raw = tiny_tokenizer()
    made = GrammarCompiler(Vocabulary(HuggingFaceTokenizer(raw), size=len(raw), end_ids={END}))
    yield made
    made.stop()


async def reply_of(compiler: GrammarCompiler, schema: dict[str, Any], seed: int) -> str | None:
    """A random reply; None where there is none that is short."""
    matcher = await compiler.matcher(json_grammar(schema))
    detokenizer = GrammarDetokenizer(matcher, lambda _: "")
    generator = random.Random(seed)
    closing = [matcher.pieces.index(piece) for piece in (b'"', b"]", b"}")]
    text = ""
    for _ in range(STEPS):
        bits = int.from_bytes(matcher.allowed(), "little")
        allowed = [token_id for token_id in range(bits.bit_length()) if bits >> token_id & 1]
        eager = [token_id for token_id in (END, *closing) if token_id in allowed]
        chosen = eager[0] if eager and generator.randrange(EAGER) == 0 else generator.choice(allowed)
        matcher.accept(chosen)
        if chosen == END:
            return text
        text += detokenizer.push(chosen)
    return None


@settings(
    max_examples=150,
    deadline=None,
    derandomize=True,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
@given(schema=SCHEMAS, seed=st.integers(0, 2**32))
async def test_what_is_not_refused_is_kept(compiler: GrammarCompiler, schema: dict[str, Any], seed: int) -> None:
    try:
        text = await reply_of(compiler, schema, seed)
    except RequestRefusedError as refused:
        # In the middle of a reply it would be a dead end.
        if isinstance(refused, GrammarDeadEndError):
            raise
        return
    if text is not None:
        validate(text, schema)

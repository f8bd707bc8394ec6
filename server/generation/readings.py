"""A chat as classifiers and scorers read it: plain text in turns, whatever else the request holds.

All that a caller can have the model read or write is in it. Results of calls are the user's turns; what schemas,
patterns and descriptions of tools say is a system prompt.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence

from classifiers.base import Conversation
from server.engines.grammars import CallGrammar, Grammar, JsonGrammar, RegexGrammar
from server.engines.tool_text import Tool, Turn, assistant_text

_NO_WORDS = frozenset({"type", "format", "$ref", "$schema", "$id"})
"""Keywords whose values say nothing."""


def conversation_of(turns: Sequence[Turn], tools: Sequence[Tool], grammar: Grammar | None) -> Conversation:
    """The whole of it."""
    written = "\n".join([*_words(tools), *_grammar_words(grammar)])
    system = ({"role": "system", "content": written},) if written else ()
    return (*system, *(_plain(turn) for turn in turns))


def conversations_of(
    turns: Sequence[Turn], tools: Sequence[Tool], grammar: Grammar | None
) -> tuple[Conversation, ...]:
    """What to classify; the highest score of each category counts.

    A harmless result of a call must not make the question before it an earlier one that counts less. So where there
    are results, the conversation is read without them as well.
    """
    whole = conversation_of(turns, tools, grammar)
    asked = [turn for turn in turns if turn["role"] != "tool"]
    if len(asked) == len(turns):
        return (whole,)
    # The calls that led to results at the end are no last word.
    while len(asked) > 1 and asked[-1]["role"] == "assistant":
        asked.pop()
    return whole, conversation_of(asked, tools, grammar)


def _plain(turn: Turn) -> Mapping[str, str]:
    role = str(turn["role"])
    if role == "tool":
        return {"role": "user", "content": str(turn["content"])}
    return {"role": role, "content": assistant_text(turn) if role == "assistant" else str(turn["content"])}


def _grammar_words(grammar: Grammar | None) -> Iterator[str]:
    if isinstance(grammar, JsonGrammar):
        yield from _words(json.loads(grammar.schema))
    elif isinstance(grammar, RegexGrammar):
        yield grammar.pattern
    elif isinstance(grammar, CallGrammar) and isinstance(grammar.otherwise, JsonGrammar):
        # The functions themselves are the tools.
        yield from _grammar_words(grammar.otherwise)


def _words(value: object) -> Iterator[str]:
    """Every text in a schema or a tool: names of properties, descriptions, what values may be."""
    stack = [value]
    while stack:
        inner = stack.pop()
        if isinstance(inner, str):
            yield inner
        elif isinstance(inner, Mapping):
            for key, part in inner.items():
                if key in ("properties", "patternProperties", "$defs", "definitions") and isinstance(part, Mapping):
                    yield from map(str, part)
                if key not in _NO_WORDS or not isinstance(part, str):
                    stack.append(part)
        elif isinstance(inner, Sequence):
            stack.extend(inner)

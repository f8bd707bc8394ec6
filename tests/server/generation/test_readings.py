"""What classifiers read of requests with tools and schemas."""

from __future__ import annotations

import json

from classifiers.conversation import ConversationWeights, view_conversation
from server.engines.grammars import CallGrammar, FreeText, Function, JsonGrammar, RegexGrammar
from server.generation.readings import conversation_of, conversations_of

USER = {"role": "user", "content": "question"}
CALL = {"id": "a", "type": "function", "function": {"name": "f", "arguments": {"x": "é"}}}
CALLED = {"role": "assistant", "content": "", "tool_calls": (CALL,)}
RESULT = {"role": "tool", "tool_call_id": "a", "content": "result"}
TOOL = {
    "type": "function",
    "function": {"name": "f", "description": "does it", "parameters": {"type": "object", "properties": {"x": {}}}},
}


def test_a_plain_conversation_is_read_as_it_is() -> None:
    turns = ({"role": "system", "content": "s"}, USER, {"role": "assistant", "content": "a"}, USER)
    assert conversations_of(turns, (), None) == (turns,)


def test_results_are_the_users_and_calls_are_text() -> None:
    whole, asked = conversations_of((USER, CALLED, RESULT), (), None)
    assert whole == (
        USER,
        {
            "role": "assistant",
            "content": '<tool_call>\n{"name": "f", "arguments": {"x": "é"}}\n</tool_call>',
        },
        {"role": "user", "content": "result"},
    )
    assert asked == (USER,)
    weights = ConversationWeights()
    assert view_conversation(whole, weights).last == "result"
    assert view_conversation(asked, weights).last == "question"


def test_an_earlier_result_leaves_the_last_question_the_last_word() -> None:
    _, asked = conversations_of((USER, CALLED, RESULT, {"role": "user", "content": "and now?"}), (), None)
    assert [turn["role"] for turn in asked] == ["user", "assistant", "user"]


def test_all_that_tools_and_schemas_say_is_a_system_prompt() -> None:
    def said(*tools: object, grammar: object = None) -> set[str]:
        first, *rest = conversation_of((USER,), tools, grammar)  # type: ignore[arg-type]
        assert rest == [USER]
        assert first["role"] == "system"
        return set(first["content"].split("\n"))

    assert {"f", "does it", "x"} <= said(TOOL)
    assert "object" not in said(TOOL)
    schema = json.dumps({"$defs": {"name": {"enum": ["one", {"two": "three"}]}}, "anyOf": [{"pattern": "^p"}]})
    assert said(grammar=JsonGrammar(schema=schema)) == {"name", "one", "three", "^p"}
    assert said(grammar=RegexGrammar(pattern="[a-z]")) == {"[a-z]"}
    otherwise = JsonGrammar(schema='{"const": "inner"}')
    functions = (Function(name="f", schema="{}"),)
    assert said(TOOL, grammar=CallGrammar(functions=functions, otherwise=otherwise)) >= {"does it", "inner"}
    free = CallGrammar(functions=functions, otherwise=FreeText())
    assert said(TOOL, grammar=free) == said(TOOL)

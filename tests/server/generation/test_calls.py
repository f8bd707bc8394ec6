"""Reading calls out of a reply: the same events however the text is cut."""

from __future__ import annotations

import random

import pytest

from server.engines.grammars import CALL_END, CALL_TRIGGER
from server.engines.tool_text import call_text
from server.generation.calls import ArgumentsPart, CallBegun, CallReader, TextPart


def written(name: str, arguments: object) -> str:
    return call_text({"function": {"name": name, "arguments": arguments}})


TRICKY = {"a": "}\\n</tool_call> <tool_call>", "b": [{"c": {}}], "d": '"}'}
REPLIES = {
    "text": ("just <tool_ text", "just <tool_ text", [], False),
    "empty": ("", "", [], False),
    "call": (written("f", {"x": 1}), "", [("f", '{"x": 1}')], True),
    "text and calls": (
        "Let me see.\n" + written("f", {}) + "\n" + written("g-2", TRICKY),
        "Let me see.\n",
        [("f", "{}"), ("g-2", written("g-2", TRICKY).partition('"arguments": ')[2].removesuffix(CALL_END))],
        True,
    ),
    "cut in the name": (written("f", {})[:25], "", [], False),
    "cut in the arguments": (written("f", {"x": {}})[:-14], "", [("f", '{"x": {}}')], False),
    "cut at a brace": (written("f", {"x": {}})[:-13], "", [("f", '{"x": {}}}')], False),
    "cut behind a mark": ("a" + CALL_TRIGGER, "a", [], False),
}


def read(pieces: list[str]) -> tuple[str, list[tuple[str, str]], bool]:
    reader = CallReader()
    text, calls = "", []
    events = [event for piece in pieces for event in reader.feed(piece)]
    for event in [*events, *reader.finish()]:
        if isinstance(event, TextPart):
            text += event.text
        elif isinstance(event, CallBegun):
            assert event.number == len(calls)
            calls.append((event.name, ""))
        else:
            assert isinstance(event, ArgumentsPart)
            assert event.number == len(calls) - 1
            calls[-1] = (calls[-1][0], calls[-1][1] + event.text)
    return text, calls, reader.complete


@pytest.mark.parametrize("case", REPLIES)
def test_a_reply_is_text_and_calls_however_it_is_cut(case: str) -> None:
    reply, *wanted = REPLIES[case]
    assert read([reply]) == tuple(wanted)
    assert read(list(reply)) == tuple(wanted)
    generator = random.Random(1)
    for _ in range(50):
        ends = sorted(generator.sample(range(len(reply) + 1), min(4, len(reply))))
        assert read([reply[a:b] for a, b in zip([0, *ends], [*ends, len(reply)], strict=True)]) == tuple(wanted)


def test_what_is_certain_comes_at_once() -> None:
    reader = CallReader()
    assert list(reader.feed("hello <")) == [TextPart("hello ")]
    assert list(reader.feed("b> <tool_call")) == [TextPart("<b> ")]
    assert list(reader.feed('>\n{"name": "f", "argum')) == []
    assert list(reader.feed('ents": {"x": ')) == [CallBegun(0, "f"), ArgumentsPart(0, '{"x": ')]
    # A brace may be the last one.
    assert list(reader.feed("{}")) == [ArgumentsPart(0, "{")]
    assert list(reader.feed("}}\n")) == [ArgumentsPart(0, "}}")]
    assert not reader.complete
    assert list(reader.feed("</tool_call>")) == []
    assert reader.complete

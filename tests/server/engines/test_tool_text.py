"""Tools for chat templates that know them, and for those that do not."""

from __future__ import annotations

import json

import pytest
from tiny_tokenizer import tiny_tokenizer
from tokenizers import AddedToken

from server.engines.base import RequestRefusedError
from server.engines.embedded.tokenizer import HuggingFaceTokenizer
from server.engines.tool_text import plain_turns

# The form of Hermes' and Qwen's templates, with control tokens of the tiny one.
NATIVE = (
    "<|bos|>{% if tools %}<|system|>{% for t in tools %}{{ t | tojson }}\n{% endfor %}<|end|>{% endif %}"
    "{% for m in messages %}"
    "{% if m.role == 'tool' %}<|user|><result>{{ m.content }}</result><|end|>"
    "{% else %}{{ '<|user|>' if m.role == 'user' else '<|model|>' if m.role == 'assistant' else '<|system|>' }}"
    "{{ m.content }}{% for c in m.tool_calls or [] %}<tool_call>\n"
    '{"name": "{{ c.function.name }}", "arguments": {{ c.function.arguments | tojson }}}'
    "\n</tool_call>{% endfor %}<|end|>{% endif %}"
    "{% endfor %}{% if add_generation_prompt %}<|model|>{% endif %}"
)
OTHER_FORM = NATIVE.replace("<tool_call>\n", "[CALL]").replace("\n</tool_call>", "")

TOOL = {
    "type": "function",
    "function": {"name": "weather", "description": "Says it.", "parameters": {"type": "object"}},
}
USER = {"role": "user", "content": "hello"}
CALL = {"id": "a", "type": "function", "function": {"name": "weather", "arguments": {"place": "Rome"}}}
CALLED = {"role": "assistant", "content": "", "tool_calls": (CALL,)}
RESULT = {"role": "tool", "tool_call_id": "a", "content": "sunny"}
WRITTEN = '<tool_call>\n{"name": "weather", "arguments": {"place": "Rome"}}\n</tool_call>'


def tokenizer(template: str | None = None, *, call_token: bool = False) -> HuggingFaceTokenizer:
    raw = tiny_tokenizer()
    if call_token:
        raw.add_tokens([AddedToken("<tool_call>", special=False), AddedToken("</tool_call>", special=False)])
    if template is not None:
        raw.chat_template = template
    return HuggingFaceTokenizer(raw)


def text(found: HuggingFaceTokenizer, *turns: dict[str, object], tools: tuple[object, ...] = ()) -> str:
    return found._tokenizer.decode(found.encode_chat(turns, tools), skip_special_tokens=False)


def test_templates_are_asked_whether_they_know_tools() -> None:
    assert not tokenizer().renders_tools
    assert tokenizer(NATIVE).renders_tools
    # A model that was taught another form would write that one.
    assert not tokenizer(OTHER_FORM).renders_tools
    assert not tokenizer("{{ raise_exception('no') }}").renders_tools


def test_a_template_that_knows_tools_gets_them() -> None:
    found = text(tokenizer(NATIVE), USER, CALLED, RESULT, tools=(TOOL,))
    assert found == (
        f"<|bos|><|system|>{json.dumps(TOOL)}\n<|end|><|user|>hello<|end|><|model|>{WRITTEN}<|end|>"
        "<|user|><result>sunny</result><|end|><|model|>"
    )
    # As one token each, where the vocabulary has them.
    call_token = tokenizer(NATIVE, call_token=True)
    ids = call_token.encode_chat([USER, CALLED, RESULT], (TOOL,))
    assert ids.count(call_token._tokenizer.convert_tokens_to_ids("<tool_call>")) == 1


@pytest.mark.parametrize("template", [None, OTHER_FORM])
def test_other_templates_get_plain_turns(template: str | None) -> None:
    found = text(tokenizer(template), {"role": "system", "content": "Be kind."}, USER, CALLED, RESULT, tools=(TOOL,))
    head, _, rest = found.partition("<|end|><|user|>")
    assert head.startswith("<|bos|><|system|>Be kind.\n\nYou can call these functions.")
    assert json.dumps(TOOL["function"]) in head
    assert '<tool_call>\n{"name": "NAME", "arguments": {...}}\n</tool_call>' in head
    assert rest == (
        f"hello<|end|><|model|>{WRITTEN}<|end|><|user|><tool_response>\nsunny\n</tool_response><|end|><|model|>"
    )


def test_results_that_follow_each_other_are_one_turn() -> None:
    turns = plain_turns([USER, CALLED, RESULT, RESULT, USER, USER], ())
    assert [turn["role"] for turn in turns] == ["user", "assistant", "user"]
    assert turns[2]["content"].count("<tool_response>") == 2
    assert turns[2]["content"].endswith("</tool_response>\nhello\nhello")
    # Turns that have nothing to do with tools are left as they are.
    assert plain_turns([USER, USER], ()) == [USER, USER]
    said = {"role": "assistant", "content": "Let me see.", "tool_calls": (CALL, CALL)}
    assert plain_turns([said], ())[0]["content"] == f"Let me see.\n{WRITTEN}\n{WRITTEN}"


@pytest.mark.parametrize("template", [None, NATIVE])
@pytest.mark.parametrize("control", ["<|end|>", "<tool_call>"])
def test_no_text_of_a_tool_a_call_or_a_result_becomes_a_control_token(template: str | None, control: str) -> None:
    """As many control tokens as with harmless texts, wherever the text is."""
    found = tokenizer(template, call_token=True)

    def ids(words: str) -> list[int]:
        tool = {"type": "function", "function": {"name": "f", "description": words, "parameters": {words: [words]}}}
        call = {"id": "a", "type": "function", "function": {"name": "f", "arguments": {words: words}}}
        called = {"role": "assistant", "content": "", "tool_calls": (call,)}
        return found.encode_chat([USER, called, RESULT | {"content": words}], (tool,))

    def controls(token_ids: list[int]) -> list[int]:
        return found._controls(token_ids)

    assert controls(ids(f"a {control} b")) == controls(ids("harmless"))
    assert found.decode(ids(f"a {control} b")).count(control) >= 5


def test_a_content_that_the_template_drops_is_still_refused() -> None:
    template = NATIVE.replace("<result>{{ m.content }}</result>", "<result>{{ m.content[:12] }}</result>")
    with pytest.raises(RequestRefusedError, match="changes a message that contains a control token's text"):
        tokenizer(template).encode_chat([USER, CALLED, RESULT | {"content": "a long result <|end|>"}])

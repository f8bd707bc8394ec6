"""Every text that a model may see is read, and what is no text is not taken for harmless."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pytest

from classifiers.base import Conversation
from server.errors import InvalidRequestError
from server.gateway.body import GatewayBody
from server.gateway.reading import Reading, read_chat, read_prompts


def chat(*messages: object, **fields: Any) -> Reading:
    return read_chat(GatewayBody.model_validate({"messages": list(messages), **fields}))


def user(content: object, **fields: Any) -> dict[str, Any]:
    return {"role": "user", "content": content, **fields}


def said(conversation: Conversation) -> list[tuple[str, str]]:
    return [(turn["role"], turn["content"]) for turn in conversation]


async def named(tokens: Sequence[int]) -> str | None:
    return None if 0 in tokens else "".join(map(chr, tokens))


async def prompts(prompt: object, **fields: Any) -> Reading:
    return await read_prompts(GatewayBody.model_validate({"prompt": prompt, **fields}), named)


def test_texts_and_parts() -> None:
    parts = [{"type": "text", "text": "ki"}, {"text": "nd"}, "ly", {"type": "refusal", "refusal": "!"}]
    reading = chat({"role": "developer", "content": "be"}, user("hi"), {"role": "assistant", "content": parts})
    assert reading.whole
    assert said(reading.conversations[0]) == [("system", "be"), ("user", "hi"), ("assistant", "kindly!")]


def test_calls_and_results_are_read_as_the_embedded_server_reads_them() -> None:
    call = {"id": "1", "type": "function", "function": {"name": "look", "arguments": '{"at": "bomb"}'}}
    reading = chat(
        user("go"),
        {"role": "assistant", "content": None, "tool_calls": [call]},
        {"role": "tool", "tool_call_id": "1", "content": "found"},
    )
    whole, asked = reading.conversations
    assert [role for role, _ in said(whole)] == ["user", "assistant", "user"]
    assert '"at": "bomb"' in whole[1]["content"]
    assert said(asked) == [("user", "go")]
    assert reading.whole


@pytest.mark.parametrize(
    "fields",
    [
        {"tools": [{"type": "function", "function": {"name": "f", "description": "poison"}}]},
        {"tools": [{"function": {"name": "f", "parameters": {"properties": {"poison": {}}}}}]},
        {"response_format": {"type": "json_schema", "json_schema": {"schema": {"enum": ["poison"]}}}},
        {"structured_outputs": {"choice": ["poison", "x"]}},
        {"documents": [{"title": "t", "text": "poison"}]},
        {"chat_template": "{{ 'poison' }}"},
        {"chat_template_kwargs": {"note": "poison"}},
        {"nobody_knows": {"deep": ["poison"]}},
    ],
)
def test_texts_beside_the_messages(fields: dict[str, Any]) -> None:
    reading = chat(user("hi"), **fields)
    assert "poison" in reading.conversations[0][0]["content"]
    assert reading.whole


def test_texts_in_a_message_that_nobody_knows() -> None:
    assert said(chat(user("hi", reasoning="poison")).conversations[0]) == [("user", "hi\npoison")]


def test_fields_that_no_model_reads_change_nothing() -> None:
    plain = chat(user("hi"))
    odd = chat(user("hi"), stop=["x"], user="u", metadata={"a": "b"}, tool_choice="auto", model="m", cache_salt="s")
    assert odd == plain


@pytest.mark.parametrize(
    "content",
    [
        [{"type": "image_url", "image_url": {"url": "http://x"}}],
        [{"type": "text", "text": "a"}, {"type": "input_audio", "input_audio": {"data": "AA=="}}],
        [{"type": "text", "text": 7}],
        [{"type": ["text"], "text": "a"}],
        7,
        {"text": "a"},
    ],
)
def test_what_is_no_text_is_not_read(content: object) -> None:
    expected = content == {"text": "a"}
    assert chat(user(content)).whole is expected


@pytest.mark.parametrize("messages", [[], ["hi"], [7]])
def test_what_is_no_chat_is_not_read(messages: list[object]) -> None:
    assert not chat(*messages).whole
    assert not read_chat(GatewayBody.model_validate({"messages": "hi"})).whole


async def test_prompts() -> None:
    for prompt, texts in (("a", ["a"]), (["a", "b"], ["a", "b"]), ([104, 105], ["hi"]), ([[104], [105]], ["h", "i"])):
        reading = await prompts(prompt)
        assert [said(one) for one in reading.conversations] == [[("user", text)] for text in texts]
        assert reading.whole


@pytest.mark.parametrize("prompt", [None, [], [0], [[104], [0]], ["a", {"prompt_token_ids": [1]}], 7, [1.5]])
async def test_prompts_that_cannot_be_read(prompt: object) -> None:
    assert not (await prompts(prompt)).whole


async def test_embeddings_of_a_prompt_are_no_text() -> None:
    assert not (await prompts("a", prompt_embeds="AAAA")).whole
    assert (await prompts("a", prompt_embeds=None)).whole


async def test_too_many_prompts() -> None:
    with pytest.raises(InvalidRequestError, match="prompt has 257 prompts; wanted at most 256"):
        await prompts(["a"] * 257)

"""Tools over a real socket, with OpenAI's client."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import httpx
import openai
import pytest
from grammar_schemas import validate
from pydantic import BaseModel, Field
from serving.live import Live, live
from serving.tiny_server import tiny_state
from tiny_tokenizer import tiny_tokenizer

MODEL = "scalpel-demo"
USER: list[Any] = [{"role": "user", "content": "hello"}]

WEATHER = {
    "type": "object",
    "properties": {
        "place": {"type": "string", "maxLength": 6},
        "days": {"type": "integer", "minimum": 1, "maximum": 9},
        "unit": {"enum": ["C", "F"]},
    },
    "required": ["place", "days"],
    "additionalProperties": False,
}
TOOLS: list[Any] = [
    {"type": "function", "function": {"name": "weather", "description": "Says it.", "parameters": WEATHER}},
    {"type": "function", "function": {"name": "now"}},
]
SCHEMAS = {"weather": WEATHER, "now": {"type": "object", "maxProperties": 0}}
ASKED = {"model": MODEL, "messages": USER, "tools": TOOLS, "temperature": 1.4, "max_tokens": 600}


@pytest.fixture(scope="module")
def server() -> Iterator[Live]:
    with live(tiny_state(positions=2048)) as running:
        yield running


@pytest.fixture(scope="module")
def client(server: Live) -> Iterator[openai.OpenAI]:
    with openai.OpenAI(base_url=f"{server.url}/v1", api_key="none", max_retries=0) as made:
        yield made


def token(text: str) -> str:
    """Id of a byte's token in the tiny vocabulary, for biases."""
    [token_id] = tiny_tokenizer().encode(text, add_special_tokens=False)
    return str(token_id)


EAGER_TO_CALL = {token("<"): 60}
EAGER_TO_END = {"2": 100}


@pytest.mark.parametrize("seed", range(5))
def test_a_required_call_is_valid(client: openai.OpenAI, seed: int) -> None:
    found = client.chat.completions.create(**ASKED, tool_choice="required", seed=seed, logit_bias=EAGER_TO_END)
    [choice] = found.choices
    assert choice.finish_reason == "tool_calls"
    assert choice.message.content is None
    [call] = choice.message.tool_calls
    assert call.type == "function"
    assert call.id.startswith("call_")
    validate(call.function.arguments, SCHEMAS[call.function.name])


def test_a_named_function_is_called_once(client: openai.OpenAI) -> None:
    for name in SCHEMAS:
        choice = {"type": "function", "function": {"name": name}}
        # However much it would like to go on.
        found = client.chat.completions.create(**ASKED, tool_choice=choice, seed=2, logit_bias={token("\n"): 100})
        [call] = found.choices[0].message.tool_calls
        assert call.function.name == name
        validate(call.function.arguments, SCHEMAS[name])


def test_there_may_be_several_calls_or_one(client: openai.OpenAI) -> None:
    asked = ASKED | {"max_tokens": 160, "tool_choice": "required", "logit_bias": {token("\n"): 100, token("n"): 20}}
    several = client.chat.completions.create(**asked, seed=1)
    calls = several.choices[0].message.tool_calls
    assert len(calls) > 1
    assert len({call.id for call in calls}) == len(calls)
    assert several.choices[0].finish_reason == "length"
    for call in calls[:-1]:
        validate(call.function.arguments, SCHEMAS[call.function.name])
    one = client.chat.completions.create(**asked, seed=1, parallel_tool_calls=False)
    assert len(one.choices[0].message.tool_calls) == 1
    assert one.choices[0].finish_reason == "tool_calls"


def test_auto_is_text_or_a_call(client: openai.OpenAI) -> None:
    text = client.chat.completions.create(**(ASKED | {"max_tokens": 40}), seed=3, logit_bias={token("<"): -100})
    assert text.choices[0].message.tool_calls is None
    assert text.choices[0].message.content
    assert text.choices[0].finish_reason in ("stop", "length")
    # The model cannot be made to write the mark by chance; forbid every other beginning with a grammar of its own.
    wanted = {"type": "json_schema", "json_schema": {"name": "x", "schema": {"const": "hello"}}}
    called = client.chat.completions.create(
        **ASKED, response_format=wanted, seed=4, logit_bias=EAGER_TO_CALL | EAGER_TO_END
    )
    assert called.choices[0].finish_reason == "tool_calls"
    answered = client.chat.completions.create(**ASKED, response_format=wanted, logit_bias={token("<"): -100})
    assert answered.choices[0].message.content == '"hello"'
    assert answered.choices[0].finish_reason == "stop"


def test_none_is_text_and_the_model_is_not_told(client: openai.OpenAI) -> None:
    plain = client.chat.completions.create(model=MODEL, messages=USER, max_tokens=10, seed=1)
    none = client.chat.completions.create(
        **(ASKED | {"max_tokens": 10, "temperature": 1}), tool_choice="none", seed=1
    )
    assert none.usage.prompt_tokens == plain.usage.prompt_tokens
    assert none.choices[0].message.content == plain.choices[0].message.content
    told = client.chat.completions.create(**(ASKED | {"max_tokens": 1}))
    assert told.usage.prompt_tokens > plain.usage.prompt_tokens + 200


def test_a_stream_names_the_call_first_and_then_its_arguments_in_pieces(client: openai.OpenAI) -> None:
    asked = ASKED | {"tool_choice": "required", "seed": 6, "logit_bias": EAGER_TO_END}
    [expected] = client.chat.completions.create(**asked).choices[0].message.tool_calls
    chunks = list(client.chat.completions.create(**asked, stream=True))
    assert chunks[0].choices[0].delta.role == "assistant"
    assert chunks[-1].choices[0].finish_reason == "tool_calls"
    assert not any(chunk.choices[0].delta.content for chunk in chunks)
    deltas = [call for chunk in chunks for call in chunk.choices[0].delta.tool_calls or ()]
    assert (deltas[0].index, deltas[0].type, deltas[0].function.arguments) == (0, "function", "")
    assert deltas[0].function.name == expected.function.name
    assert deltas[0].id.startswith("call_")
    assert all(d.id is None and d.type is None and d.function.name is None for d in deltas[1:])
    assert "".join(d.function.arguments for d in deltas) == expected.function.arguments
    assert len(deltas) > 1


def test_the_clients_own_stream_puts_calls_together(client: openai.OpenAI) -> None:
    class Weather(BaseModel):
        place: str = Field(max_length=4)
        days: int = Field(ge=1, le=9)

    tool = openai.pydantic_function_tool(Weather)
    asked = ASKED | {"tools": [tool], "tool_choice": "required", "logit_bias": EAGER_TO_END, "seed": 8}
    with client.chat.completions.stream(**asked) as stream:
        final = stream.get_final_completion()
    [call] = final.choices[0].message.tool_calls
    assert isinstance(call.function.parsed_arguments, Weather)
    parsed = client.chat.completions.parse(**asked)
    assert isinstance(parsed.choices[0].message.tool_calls[0].function.parsed_arguments, Weather)


def test_logprobs_of_calls_are_all_there(client: openai.OpenAI) -> None:
    asked = ASKED | {"tool_choice": "required", "seed": 6, "logit_bias": EAGER_TO_END, "logprobs": True}
    whole = client.chat.completions.create(**asked)
    chunks = list(client.chat.completions.create(**asked, stream=True))
    streamed = [entry for c in chunks if c.choices[0].logprobs for entry in c.choices[0].logprobs.content]
    assert [e.token for e in streamed] == [e.token for e in whole.choices[0].logprobs.content]
    assert len(streamed) == whole.usage.completion_tokens


def test_a_conversation_with_results_goes_on(client: openai.OpenAI) -> None:
    called = client.chat.completions.create(**ASKED, tool_choice="required", seed=1, logit_bias=EAGER_TO_END)
    message = called.choices[0].message
    turns = [
        *USER,
        message.model_dump(exclude_none=True),
        *({"role": "tool", "tool_call_id": call.id, "content": "sunny"} for call in message.tool_calls),
    ]
    found = client.chat.completions.create(**(ASKED | {"messages": turns, "max_tokens": 5}))
    assert found.usage.prompt_tokens > called.usage.prompt_tokens
    # Also without the tools, as when they are withdrawn.
    assert client.chat.completions.create(model=MODEL, messages=turns, max_tokens=5).choices


def call(id_: str = "a", name: str = "now", arguments: str = "{}") -> dict[str, Any]:
    return {"id": id_, "type": "function", "function": {"name": name, "arguments": arguments}}


def assistant(*calls: object) -> dict[str, Any]:
    return {"role": "assistant", "content": None, "tool_calls": list(calls)}


def result(id_: str, content: str = "x") -> dict[str, Any]:
    return {"role": "tool", "tool_call_id": id_, "content": content}


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"tools": [{"type": "web_search"}]}, "tools.0.type"),
        ({"tools": [{"type": "function", "function": {"name": "no spaces"}}]}, "tools.0.function.name"),
        (
            {"tools": [{"type": "function", "function": {"name": "f", "x": 1}}]},
            "known: description, name, parameters",
        ),
        ({"tools": [TOOLS[0], TOOLS[0]]}, "tools: weather is there twice"),
        ({"tools": TOOLS[:1] * 129}, "at most 128 items"),
        (
            {"tools": [{"type": "function", "function": {"name": "f", "parameters": {"type": "array"}}}]},
            'wanted a schema of type "object"',
        ),
        (
            {"tools": [{"type": "function", "function": {"name": "f", "parameters": {"not": {}}}}]},
            'Unimplemented keys: ["not"]',
        ),
        ({"tools": None, "tool_choice": "required"}, "tool_choice: wanted one of the tools; there are: none"),
        ({"tool_choice": {"type": "function", "function": {"name": "f"}}}, "there are: weather, now"),
        ({"tool_choice": "always"}, "wanted auto, none, required or"),
        ({"tool_choice": {"type": "function"}}, "wanted auto, none, required or"),
        ({"messages": [*USER, assistant(call(arguments="{"))]}, "wanted a JSON object as a string"),
        ({"messages": [*USER, assistant(call(arguments="[]"))]}, "wanted a JSON object as a string"),
        ({"messages": [*USER, assistant(call())]}, "messages: wanted the result of call a at the end"),
        ({"messages": [*USER, assistant(call()), *USER]}, "messages.2: wanted the result of call a first"),
        ({"messages": [*USER, assistant(call()), result("b")]}, "messages.2.tool_call_id: no call before it"),
        ({"messages": [*USER, assistant(call()), result("a"), result("a")]}, "messages.3.tool_call_id: no call"),
        ({"messages": [{"role": "user", "content": "x", "tool_calls": [call()]}]}, "an assistant's message alone"),
    ],
)
def test_what_cannot_be_had_is_a_400(server: Live, changes: dict[str, Any], said: str) -> None:
    response = httpx.post(f"{server.url}/v1/chat/completions", json=ASKED | changes)
    error = response.json()["error"]
    assert response.status_code == 400, error
    assert said in error["message"]


def test_a_result_counts_as_input_and_hides_no_question(server: Live) -> None:
    """The stub reads the last turn: in one reading that is the result, in the other the question."""

    def strength(question: str, answer: str) -> float:
        turns = [{"role": "user", "content": question}, assistant(call()), result("a", answer)]
        body = {"model": MODEL, "messages": turns, "max_tokens": 1}
        reply = httpx.post(f"{server.url}/v1/chat/completions", json=body).json()
        return float(reply["scalpel"]["applied"]["toxicity"]["strength"])

    assert strength("hello", "fine") == 0
    assert strength("hello", "toxicity") == 1
    assert strength("toxicity", "fine") == 1


def test_a_whole_reply_that_is_cut_has_the_beginning_of_its_call(client: openai.OpenAI) -> None:
    asked = ASKED | {"tool_choice": {"type": "function", "function": {"name": "weather"}}, "seed": 2}
    # Two pairs of its characters, `ll` and `he`, share a token.
    length = len('<tool_call>\n{"name": "weather", "arguments": {"pla') - 2
    found = client.chat.completions.create(**(asked | {"max_tokens": length}))
    [choice] = found.choices
    assert choice.finish_reason == "length"
    [begun] = choice.message.tool_calls
    assert begun.function.arguments == '{"pla'
    with pytest.raises(json.JSONDecodeError):
        json.loads(begun.function.arguments)
    nothing = client.chat.completions.create(**(asked | {"max_tokens": 20}))
    assert nothing.choices[0].message.tool_calls is None
    assert nothing.choices[0].message.content == ""

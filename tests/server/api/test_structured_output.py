"""`response_format` over a real socket, with OpenAI's client."""

from __future__ import annotations

import json
from collections.abc import Iterator
from enum import Enum
from typing import Any

import httpx
import openai
import pytest
from grammar_schemas import SCHEMAS, validate
from pydantic import BaseModel, Field
from serving.live import Live, live
from serving.stubs import StubClassifier
from serving.tiny_server import tiny_state
from tiny_tokenizer import tiny_tokenizer

MODEL = "scalpel-demo"
USER: list[Any] = [{"role": "user", "content": "hello"}]
CLOSING_BRACE = str(tiny_tokenizer().convert_tokens_to_ids("}"))


class Colour(Enum):
    RED = "red"
    BLUE = "blue"


class Part(BaseModel):
    name: str = Field(max_length=5)
    colour: Colour


class Order(BaseModel):
    """What OpenAI's client sends as a schema of its own making."""

    parts: list[Part] = Field(max_length=2)
    express: bool
    note: str | None = Field(max_length=4)
    amount: int = Field(ge=1, le=20)


@pytest.fixture(scope="module")
def server() -> Iterator[Live]:
    with live(tiny_state(positions=1024)) as running:
        yield running


@pytest.fixture(scope="module")
def client(server: Live) -> Iterator[openai.OpenAI]:
    with openai.OpenAI(base_url=f"{server.url}/v1", api_key="none", max_retries=0) as made:
        yield made


def json_schema(schema: object, **more: object) -> dict[str, Any]:
    return {"type": "json_schema", "json_schema": {"name": "some_name", "schema": schema, **more}}


@pytest.mark.parametrize("seed", range(4))
def test_parse_gives_a_model_of_pydantic(client: openai.OpenAI, seed: int) -> None:
    parsed = client.chat.completions.parse(
        model=MODEL, messages=USER, response_format=Order, temperature=1.5, seed=seed, max_tokens=400
    )
    [choice] = parsed.choices
    assert choice.finish_reason == "stop"
    assert isinstance(choice.message.parsed, Order)
    assert 1 <= choice.message.parsed.amount <= 20
    assert choice.message.tool_calls is None


def test_a_stream_is_the_same_text_in_pieces(client: openai.OpenAI) -> None:
    asked = {"model": MODEL, "messages": USER, "seed": 3, "max_tokens": 400, "temperature": 1.3}
    whole = client.chat.completions.create(**asked, response_format=json_schema(SCHEMAS["unicode"]))
    validate(whole.choices[0].message.content, SCHEMAS["unicode"])
    chunks = list(
        client.chat.completions.create(**asked, response_format=json_schema(SCHEMAS["unicode"]), stream=True)
    )
    assert "".join(c.choices[0].delta.content or "" for c in chunks) == whole.choices[0].message.content
    assert len(chunks) > 5
    with client.chat.completions.stream(**asked, response_format=Order) as stream:
        assert isinstance(stream.get_final_completion().choices[0].message.parsed, Order)


def test_several_replies_are_each_valid_and_not_all_alike(client: openai.OpenAI) -> None:
    found = client.chat.completions.create(
        model=MODEL,
        messages=USER,
        n=6,
        seed=1,
        temperature=1.5,
        max_tokens=300,
        response_format=json_schema(SCHEMAS["unions"], strict=True, description="anything"),
    )
    texts = [choice.message.content for choice in found.choices]
    assert len({str(validate(text, SCHEMAS["unions"])) for text in texts}) > 1


def test_any_object(client: openai.OpenAI) -> None:
    for wanted in ({"type": "json_object"}, {"type": "json_schema", "json_schema": {"name": "any"}}):
        found = client.chat.completions.create(
            model=MODEL, messages=USER, seed=5, max_tokens=200, response_format=wanted, logit_bias={CLOSING_BRACE: 15}
        )
        [choice] = found.choices
        assert choice.finish_reason == "stop"
        assert isinstance(json.loads(choice.message.content), dict)


def test_a_reply_that_is_cut_is_no_error(client: openai.OpenAI) -> None:
    schema = {"type": "array", "items": {"const": "abcdefghij"}, "minItems": 5}
    found = client.chat.completions.create(
        model=MODEL, messages=USER, max_tokens=5, response_format=json_schema(schema)
    )
    assert found.choices[0].finish_reason == "length"
    assert found.choices[0].message.content.startswith('["a')
    with pytest.raises(openai.LengthFinishReasonError):
        client.chat.completions.parse(model=MODEL, messages=USER, max_tokens=5, response_format=Order)


def test_logprobs_come_with_every_token(client: openai.OpenAI) -> None:
    found = client.chat.completions.create(
        model=MODEL,
        messages=USER,
        logprobs=True,
        top_logprobs=2,
        response_format=json_schema({"const": "hello"}),
    )
    [choice] = found.choices
    assert choice.message.content == '"hello"'
    entries = choice.logprobs.content
    assert b"".join(bytes(e.bytes) for e in entries[:-1]) == b'"hello"'
    assert all(e.logprob < 0 for e in entries)
    assert len(entries) == found.usage.completion_tokens


@pytest.mark.parametrize(
    ("wanted", "param", "said"),
    [
        (json_schema({"type": "strin"}), "response_format.json_schema.schema", "Invalid type: strin"),
        (json_schema({"not": {}}), "response_format.json_schema.schema", 'Unimplemented keys: ["not"]'),
        (
            json_schema({"type": "string", "pattern": "^(?=a)"}),
            "response_format.json_schema.schema",
            "look-around",
        ),
        ({"type": "json_schema"}, "response_format", "json_schema: wanted with type"),
        ({"type": "json_object", "json_schema": {"name": "x"}}, "response_format", "json_schema: wanted with type"),
        ({"type": "xml"}, "response_format.type", "'text', 'json_object' or 'json_schema'"),
        (json_schema({}, name="no spaces"), "response_format.json_schema.name", "pattern"),
        (json_schema({}, colour=1), "response_format.json_schema.colour", "known: description, name, schema, strict"),
        (json_schema([]), "response_format.json_schema.schema", "should be an object"),
        (json_schema({"minLength": 10**400}), "response_format.json_schema.schema", ""),
        (json_schema({"multipleOf": 999983}), "response_format.json_schema.schema", "multipleOf"),
    ],
)
@pytest.mark.parametrize("stream", [False, True])
def test_what_cannot_be_had_is_a_400(
    server: Live, wanted: dict[str, Any], param: str, said: str, stream: bool
) -> None:
    body = {"model": MODEL, "messages": USER, "response_format": wanted, "stream": stream}
    response = httpx.post(f"{server.url}/v1/chat/completions", json=body)
    error = response.json()["error"]
    assert response.status_code == 400
    assert error["type"] == "invalid_request_error"
    assert error["param"] == param
    assert said in error["message"]


def test_ignore_eos_is_refused_with_it(server: Live) -> None:
    body = {"model": MODEL, "messages": USER, "response_format": {"type": "json_object"}, "ignore_eos": True}
    response = httpx.post(f"{server.url}/v1/chat/completions", json=body)
    assert (response.status_code, response.json()["error"]["param"]) == (400, "ignore_eos")


def test_what_a_schema_says_is_classified() -> None:
    """A schema can put words into the model's mouth."""

    class ReadsEverything(StubClassifier):
        def score(self, conversations: Any) -> list[dict[str, float]]:
            said = [" ".join(turn["content"] for turn in turns) for turns in conversations]
            return [{c: 0.95 if c in text else 0.02 for c in self.categories} for text in said]

    with live(tiny_state(classifier=ReadsEverything())) as server:
        for schema in ({"const": "toxicity"}, {"properties": {"toxicity": {}}}, {"anyOf": [{"pattern": "toxicity"}]}):
            body = {"model": MODEL, "messages": USER, "max_tokens": 3}
            plain = httpx.post(f"{server.url}/v1/chat/completions", json=body).json()
            steered = httpx.post(
                f"{server.url}/v1/chat/completions", json=body | {"response_format": json_schema(schema)}
            ).json()
            assert plain["scalpel"]["applied"]["toxicity"]["strength"] == 0
            assert steered["scalpel"]["applied"]["toxicity"]["strength"] == 1

"""`text.format` of the Responses API over a real socket, with OpenAI's client, on a model that runs."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import httpx
import openai
import pytest
from grammar_schemas import SCHEMAS, validate
from pydantic import BaseModel, Field
from serving.live import Live, live
from serving.tiny_server import tiny_state

MODEL = "scalpel-demo"


class Order(BaseModel):
    """What OpenAI's client makes a schema of."""

    name: str = Field(max_length=5)
    express: bool
    amount: int = Field(ge=1, le=20)


@pytest.fixture(scope="module")
def server() -> Iterator[Live]:
    with live(tiny_state(positions=1024)) as running:
        yield running


@pytest.fixture(scope="module")
def client(server: Live) -> Iterator[openai.OpenAI]:
    with openai.OpenAI(base_url=f"{server.url}/v1", api_key="none", max_retries=0) as made:
        yield made


def seeded(seed: int) -> dict[str, Any]:
    return {"model": MODEL, "input": "hello", "max_output_tokens": 400, "extra_body": {"seed": seed}}


@pytest.mark.parametrize("seed", range(3))
def test_parse_gives_a_model_of_pydantic(client: openai.OpenAI, seed: int) -> None:
    response = client.responses.parse(**seeded(seed), text_format=Order, temperature=1.5)
    assert response.status == "completed"
    assert isinstance(response.output_parsed, Order)
    assert 1 <= response.output_parsed.amount <= 20
    assert (response.text.format.type, response.text.format.name) == ("json_schema", "Order")


def test_the_stream_method_parses_too(client: openai.OpenAI) -> None:
    with client.responses.stream(**seeded(1), text_format=Order) as stream:
        assert isinstance(stream.get_final_response().output_parsed, Order)


def test_a_schema_is_kept_as_in_chat_completions(client: openai.OpenAI) -> None:
    schema = SCHEMAS["unicode"]
    text = {"format": {"type": "json_schema", "name": "some_name", "schema": schema, "strict": True}}
    response = client.responses.create(**seeded(3), text=text)
    validate(response.output_text, schema)
    chat = client.chat.completions.create(
        model=MODEL,
        messages=[{"role": "user", "content": "hello"}],
        seed=3,
        max_tokens=400,
        response_format={"type": "json_schema", "json_schema": {"name": "some_name", "schema": schema}},
    )
    assert response.output_text == chat.choices[0].message.content


def test_json_object_is_any_object(client: openai.OpenAI) -> None:
    response = client.responses.create(**seeded(5), text={"format": {"type": "json_object"}}, temperature=0.7)
    if response.status == "completed":
        assert isinstance(json.loads(response.output_text), dict)
    assert response.output_text.startswith("{")


def test_a_schema_that_cannot_be_enforced_is_refused_by_name(server: Live) -> None:
    text = {"format": {"type": "json_schema", "name": "n", "schema": {"type": "no such type"}}}
    body = {"model": MODEL, "input": "hello", "text": text}
    response = httpx.post(f"{server.url}/v1/responses", json=body)
    assert (response.status_code, response.json()["error"]["param"]) == (400, "text.format.schema")

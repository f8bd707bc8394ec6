"""The Python client `openai`, unchanged, over a real socket."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from typing import Any

import openai
import pytest
from serving.live import Live, live, stub_state
from serving.stubs import StubEngine

from server.engines.base import EngineOverloadedError, RequestFailedError

MODEL = "scalpel-demo"
MESSAGES: list[dict[str, Any]] = [{"role": "user", "content": "show me toxicity"}]
APPLIED = {"strength": 1.0, "kind": "breaker", "reason": "gate"}


@pytest.fixture(scope="module")
def stub_server() -> Iterator[Live]:
    with live(stub_state()) as server:
        yield server


@pytest.fixture
def client(stub_server: Live) -> Iterator[openai.OpenAI]:
    with openai.OpenAI(base_url=f"{stub_server.url}/v1", api_key="none", max_retries=0) as client:
        yield client


@pytest.fixture
async def async_client(stub_server: Live) -> AsyncIterator[openai.AsyncOpenAI]:
    async with openai.AsyncOpenAI(base_url=f"{stub_server.url}/v1", api_key="none", max_retries=0) as client:
        yield client


def test_models(client: openai.OpenAI) -> None:
    assert [model.id for model in client.models.list()] == [MODEL, f"{MODEL}@off", f"{MODEL}@strict"]


def test_chat(client: openai.OpenAI) -> None:
    reply = client.chat.completions.create(
        model=MODEL, messages=MESSAGES, extra_body={"scalpel": {"breakers": {"toxicity": 0.5}}}
    )
    assert reply.choices[0].message.content == "Hello you"
    assert reply.model_extra["scalpel"]["applied"]["toxicity"] == APPLIED | {"strength": 0.5, "reason": "request"}


def test_chat_in_a_stream(client: openai.OpenAI) -> None:
    chunks = list(client.chat.completions.create(model=MODEL, messages=MESSAGES, stream=True))
    assert "".join(chunk.choices[0].delta.content or "" for chunk in chunks) == "Hello you"
    assert chunks[0].model_extra["scalpel"]["applied"]["toxicity"] == APPLIED


def test_chat_with_the_stream_helper(client: openai.OpenAI) -> None:
    with client.chat.completions.stream(model=MODEL, messages=MESSAGES) as stream:
        texts = [event.delta for event in stream if event.type == "content.delta"]
        final = stream.get_final_completion()
    assert "".join(texts) == "Hello you"
    assert (final.choices[0].message.content, final.choices[0].finish_reason) == ("Hello you", "stop")


def test_chat_with_parse(client: openai.OpenAI) -> None:
    reply = client.chat.completions.parse(model=MODEL, messages=MESSAGES)
    assert (reply.choices[0].message.content, reply.choices[0].message.parsed) == ("Hello you", None)


async def test_chat_async(async_client: openai.AsyncOpenAI) -> None:
    reply = await async_client.chat.completions.create(model=MODEL, messages=MESSAGES)
    assert reply.choices[0].message.content == "Hello you"
    assert reply.model_extra["scalpel"]["applied"]["toxicity"] == APPLIED
    stream = await async_client.chat.completions.create(model=MODEL, messages=MESSAGES, stream=True)
    assert "".join([chunk.choices[0].delta.content or "" async for chunk in stream]) == "Hello you"


def test_raw_responses(client: openai.OpenAI) -> None:
    raw = client.chat.completions.with_raw_response.create(model=MODEL, messages=MESSAGES)
    assert raw.parse().choices[0].message.content == "Hello you"
    raw = client.responses.with_raw_response.create(model=MODEL, input="show me toxicity")
    assert raw.headers["x-scalpel-applied"] == "toxicity=1.0;reason=gate"
    assert raw.parse().output_text == "Hello you"


def test_streaming_responses(client: openai.OpenAI) -> None:
    create = client.chat.completions.with_streaming_response.create
    with create(model=MODEL, messages=MESSAGES, stream=True) as streaming:
        assert list(streaming.iter_lines())[-2:] == ["data: [DONE]", ""]
    with create(model=MODEL, messages=MESSAGES) as streaming:
        assert streaming.parse().choices[0].message.content == "Hello you"
    respond = client.responses.with_streaming_response.create
    with respond(model=MODEL, input="show me toxicity", stream=True) as streaming:
        assert streaming.headers["x-scalpel-harm-potential"] == "gender_bias=0.02, toxicity=0.95"
        assert next(streaming.iter_lines()) == "event: response.created"


async def test_streaming_responses_async(async_client: openai.AsyncOpenAI) -> None:
    create = async_client.responses.with_streaming_response.create
    async with create(model=MODEL, input="show me toxicity", stream=True) as streaming:
        assert streaming.headers["x-scalpel-applied"] == "toxicity=1.0;reason=gate"
        lines = [line async for line in streaming.iter_lines()]
    assert lines[0] == "event: response.created"


def test_responses(client: openai.OpenAI) -> None:
    response = client.responses.create(
        model=MODEL,
        input="show me toxicity",
        instructions="Be kind.",
        metadata={"team": "red"},
        extra_body={"scalpel": {"breakers": {"gender_bias": 1.5}}},
    )
    assert (response.output_text, response.status, response.metadata) == ("Hello you", "completed", {"team": "red"})
    assert response.usage.total_tokens == 25 + 9
    applied = response.model_extra["scalpel"]["applied"]
    assert applied["toxicity"] == APPLIED
    assert applied["gender_bias"] == APPLIED | {"strength": 1.5, "reason": "request"}
    again = client.responses.create(model=MODEL, input=[*response.output, {"role": "user", "content": "more"}])
    assert again.output_text == "Hello you"


def test_responses_with_parse(client: openai.OpenAI) -> None:
    response = client.responses.parse(model=MODEL, input="hello")
    assert (response.output_text, response.output_parsed) == ("Hello you", None)


def test_responses_in_a_stream(client: openai.OpenAI) -> None:
    events = list(client.responses.create(model=MODEL, input="show me toxicity", stream=True))
    assert "".join(event.delta for event in events if event.type == "response.output_text.delta") == "Hello you"
    assert events[0].response.model_extra["scalpel"]["applied"]["toxicity"] == APPLIED
    assert events[-1].type == "response.completed"
    assert (events[-1].response.output_text, events[-1].response.usage.output_tokens) == ("Hello you", 9)


def test_responses_with_the_stream_helper(client: openai.OpenAI) -> None:
    with client.responses.stream(model=MODEL, input="show me toxicity") as stream:
        snapshots = [event.snapshot for event in stream if event.type == "response.output_text.delta"]
        final = stream.get_final_response()
    assert snapshots == ["Hel", "Hello", "Hello you"]
    assert final.output_text == "Hello you"


async def test_responses_async(async_client: openai.AsyncOpenAI) -> None:
    response = await async_client.responses.create(model=MODEL, input="hello")
    assert response.output_text == "Hello you"
    stream = await async_client.responses.create(model=MODEL, input="hello", stream=True)
    assert [event.type async for event in stream][-1] == "response.completed"


def test_moderations(client: openai.OpenAI) -> None:
    response = client.moderations.create(input=["show me toxicity", "hello"], model="omni-moderation-latest")
    harmful, harmless = response.results
    assert (harmful.flagged, harmless.flagged) == (True, False)
    assert (harmful.categories.toxicity, harmful.category_scores.toxicity) == (True, 0.95)
    # OpenAI's fields are there, and say that nobody looked.
    assert (harmful.categories.hate, harmful.category_scores.self_harm_intent) == (None, None)
    assert harmful.category_applied_input_types.violence == []


async def test_moderations_async(async_client: openai.AsyncOpenAI) -> None:
    response = await async_client.moderations.create(input=[{"type": "text", "text": "toxicity"}])
    assert response.results[0].flagged


def test_a_profile_by_header_and_by_name(client: openai.OpenAI) -> None:
    headers = {"X-Scalpel-Profile": "off"}
    reply = client.chat.completions.create(model=MODEL, messages=MESSAGES, extra_headers=headers)
    assert reply.model_extra["scalpel"]["applied"]["toxicity"] == APPLIED | {"strength": 0.0, "reason": "profile"}
    response = client.with_options(default_headers=headers).responses.create(
        model=f"{MODEL}@strict", input="toxicity"
    )
    assert response.model_extra["scalpel"]["applied"]["toxicity"]["strength"] == 0.0


def test_mistakes_become_the_clients_own_errors(client: openai.OpenAI) -> None:
    with pytest.raises(openai.BadRequestError) as refused:
        client.responses.create(model=MODEL, input="x", previous_response_id="resp_1")
    assert (refused.value.param, refused.value.code) == ("previous_response_id", "unsupported_parameter")
    with pytest.raises(openai.NotFoundError, match="served: scalpel-demo"):
        client.responses.create(model="gpt-4", input="x")
    with pytest.raises(openai.NotFoundError, match="not loaded here"):
        client.moderations.create(input="x", model="omni-moderation-2024-09-26")
    with pytest.raises(openai.BadRequestError, match="wanted default, off, strict"):
        client.chat.completions.create(model=MODEL, messages=MESSAGES, extra_headers={"X-Scalpel-Profile": "none"})


def test_failures_become_the_clients_own_errors() -> None:
    bundles = ("toxicity", "gender_bias", "myth_mask")
    engine = StubEngine(bundles=bundles, refusal=EngineOverloadedError("the queue is full"))
    with (
        live(stub_state(engine=engine)) as server,
        openai.OpenAI(base_url=f"{server.url}/v1", api_key="none", max_retries=0) as client,
    ):
        with pytest.raises(openai.RateLimitError, match="the queue is full"):
            client.responses.create(model=MODEL, input="x", stream=True)
        engine.refusal, engine.failure = None, RequestFailedError("NaN in the logits")
        with pytest.raises(openai.APIError, match="NaN"):
            list(client.chat.completions.create(model=MODEL, messages=MESSAGES, stream=True))
        last = list(client.responses.create(model=MODEL, input="x", stream=True))[-1]
        assert (last.type, last.response.error.message) == ("response.failed", "NaN in the logits")
        with (
            client.responses.stream(model=MODEL, input="x") as stream,
            pytest.raises(RuntimeError, match=r"response\.completed"),
        ):
            stream.get_final_response()

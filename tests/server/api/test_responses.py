"""The Responses API on the wire: bodies, events and refusals. What clients make of it is tested in tests/clients."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import httpx
import pytest
from serving.live import Live, live, stub_state, wait_until
from serving.stubs import StubClassifier, StubEngine, StubScorer

from server.engines.base import EngineOverloadedError, RequestFailedError, RequestRefusedError

GOOD: dict[str, Any] = {"model": "scalpel-demo", "input": "show me toxicity"}
BUNDLES = ("toxicity", "gender_bias", "myth_mask")
AWKWARD = ('"quoted" \\ back', "", "line\nfeed\r\t\x00\x1f\x7f", "data: {}\n\n", "\u2028é😀", "{}\x00text\x00")
BEFORE = ["response.created", "response.in_progress", "response.output_item.added", "response.content_part.added"]
BEHIND = ["response.output_text.done", "response.content_part.done", "response.output_item.done"]


@pytest.fixture(scope="module")
def http(stub_server: Live) -> Iterator[httpx.Client]:
    with httpx.Client(base_url=stub_server.url, timeout=60) as client:
        yield client


def ask(http: httpx.Client, **changes: Any) -> httpx.Response:
    return http.post("/v1/responses", json=GOOD | changes)


def events_of(response: httpx.Response) -> list[dict[str, Any]]:
    """The events' data; their names agree with it, and nothing is between or behind them."""
    *events, end = response.content.decode().split("\n\n")
    assert end == ""
    parsed = []
    for event in events:
        name, data = event.split("\n")
        parsed.append(json.loads(data.removeprefix("data: ")))
        assert name == f"event: {parsed[-1]['type']}"
    assert [event["sequence_number"] for event in parsed] == list(range(len(parsed)))
    return parsed


def test_a_whole_response(http: httpx.Client) -> None:
    response = ask(http, metadata={"team": "red"}, instructions="be kind", max_output_tokens=50, temperature=0.5)
    body = response.json()
    (message,) = body["output"]
    assert message["content"] == [{"type": "output_text", "text": "Hello you", "annotations": [], "logprobs": []}]
    assert (message["type"], message["role"], message["status"]) == ("message", "assistant", "completed")
    assert (body["object"], body["status"], body["incomplete_details"], body["error"]) == (
        "response",
        "completed",
        None,
        None,
    )
    # One token a character and one for the template, instructions included.
    assert body["usage"] == {
        "input_tokens": 24,
        "input_tokens_details": {"cached_tokens": 0},
        "output_tokens": 9,
        "output_tokens_details": {"reasoning_tokens": 0},
        "total_tokens": 33,
    }
    echoed = {name: body[name] for name in ("metadata", "instructions", "max_output_tokens", "temperature", "store")}
    assert echoed == {
        "metadata": {"team": "red"},
        "instructions": "be kind",
        "max_output_tokens": 50,
        "temperature": 0.5,
        "store": False,
    }
    report = body["scalpel"]
    assert report["harm_potential"] == {"gender_bias": 0.02, "toxicity": 0.95}
    assert report["applied"]["toxicity"] == {"strength": 1.0, "kind": "breaker", "reason": "gate"}
    assert report["tokens_steered"] == 9
    assert response.headers["x-scalpel-harm-potential"] == "gender_bias=0.02, toxicity=0.95"
    assert response.headers["x-scalpel-applied"] == "toxicity=1.0;reason=gate"


def test_the_report_is_that_of_a_chat_completion(http: httpx.Client) -> None:
    messages = [{"role": "user", "content": "show me toxicity"}]
    options = {"breakers": {"toxicity": 0.3, "gender_bias": True}, "profile": "strict"}
    chat = http.post(
        "/v1/chat/completions", json={"model": "scalpel-demo", "messages": messages, "scalpel": options}
    ).json()
    assert ask(http, scalpel=options).json()["scalpel"] == chat["scalpel"]


def test_a_conversation_is_read_as_messages_and_as_earlier_output(http: httpx.Client) -> None:
    engine = StubEngine(bundles=BUNDLES)
    with live(stub_state(engine=engine)) as server:
        first = httpx.post(f"{server.url}/v1/responses", json=GOOD).json()
        turns = [
            {"role": "user", "content": "a"},
            *first["output"],
            {"type": "message", "role": "developer", "content": [{"type": "input_text", "text": "b"}]},
        ]
        response = httpx.post(f"{server.url}/v1/responses", json=GOOD | {"input": turns, "instructions": "s"})
    assert response.status_code == 200, response.text
    assert "".join(map(chr, engine.requests[-1].prompt_token_ids)) == "saHello youb>"


def test_sampling_reaches_the_engine() -> None:
    engine = StubEngine(bundles=BUNDLES)
    asked = {"temperature": 0.25, "top_p": 0.5, "max_output_tokens": 7, "seed": 3}
    with live(stub_state(engine=engine)) as server:
        httpx.post(f"{server.url}/v1/responses", json=GOOD | asked)
    sampling = engine.requests[0].sampling
    assert (sampling.temperature, sampling.top_p, sampling.max_tokens, sampling.seed) == (0.25, 0.5, 7, 3)


@pytest.mark.parametrize("pieces", [("Hel", "lo", " you"), AWKWARD, ("only",), ("", "late"), ("early", ""), ("",)])
def test_events_come_in_order_and_carry_the_text_as_it_is(pieces: tuple[str, ...]) -> None:
    with live(stub_state(engine=StubEngine(bundles=BUNDLES, pieces=pieces))) as server:
        response = httpx.post(f"{server.url}/v1/responses", json=GOOD | {"stream": True})
    events = events_of(response)
    deltas = [event for event in events if event["type"] == "response.output_text.delta"]
    assert [event["type"] for event in events] == [
        *BEFORE,
        *["response.output_text.delta"] * len(deltas),
        *BEHIND,
        "response.completed",
    ]
    assert [event["delta"] for event in deltas] == [piece for piece in pieces if piece]
    text = "".join(pieces)
    done, part, item, completed = events[-4:]
    assert (done["text"], part["part"]["text"], item["item"]["content"][0]["text"]) == (text, text, text)
    assert completed["response"]["output"] == [item["item"]]
    assert completed["response"]["usage"]["output_tokens"] == len(text)
    # Those that are made from one serialised event have the keys of those that are not.
    assert {frozenset(event) for event in deltas} <= {frozenset(done) - {"text"} | {"delta"}}
    assert {event["item_id"] for event in events if "item_id" in event} == {item["item"]["id"]}


def test_a_stream_carries_the_report_first_and_last(http: httpx.Client) -> None:
    response = ask(http, stream=True)
    events = events_of(response)
    first, last = events[0]["response"], events[-1]["response"]
    assert (first["status"], first["usage"], first["output"]) == ("in_progress", None, [])
    assert (first["scalpel"]["tokens_steered"], last["scalpel"]["tokens_steered"]) == (3, 9)
    assert first["scalpel"]["applied"] == last["scalpel"]["applied"]
    assert response.headers["x-scalpel-applied"] == "toxicity=1.0;reason=gate"
    whole = ask(http).json()
    assert {name: value for name, value in last.items() if name not in ("id", "created_at", "output")} == {
        name: value for name, value in whole.items() if name not in ("id", "created_at", "output")
    }


def test_a_reply_that_reaches_its_limit_is_incomplete(tiny_server: Live) -> None:
    asked = {"model": "scalpel-demo", "input": "hi", "max_output_tokens": 3, "temperature": 0}
    whole = httpx.post(f"{tiny_server.url}/v1/responses", json=asked).json()
    assert (whole["status"], whole["incomplete_details"]) == ("incomplete", {"reason": "max_output_tokens"})
    assert (whole["output"][0]["status"], whole["usage"]["output_tokens"]) == ("incomplete", 3)
    last = events_of(httpx.post(f"{tiny_server.url}/v1/responses", json=asked | {"stream": True}))[-1]
    assert (last["type"], last["response"]["status"]) == ("response.incomplete", "incomplete")
    assert last["response"]["output"][0]["content"] == whole["output"][0]["content"]


@pytest.fixture(scope="module")
def tiny_server() -> Iterator[Live]:
    from serving.tiny_server import tiny_state

    with live(tiny_state()) as server:
        yield server


def test_log_probabilities_are_those_of_a_chat_completion(tiny_server: Live) -> None:
    include = {"include": ["message.output_text.logprobs"], "top_logprobs": 2}
    asked = {"model": "scalpel-demo", "input": "hi", "max_output_tokens": 6, "temperature": 0} | include
    whole = httpx.post(f"{tiny_server.url}/v1/responses", json=asked).json()
    logprobs = whole["output"][0]["content"][0]["logprobs"]
    chat = {
        "model": "scalpel-demo",
        "messages": [{"role": "user", "content": "hi"}],
        "max_tokens": 6,
        "temperature": 0,
        "logprobs": True,
        "top_logprobs": 2,
    }
    reply = httpx.post(f"{tiny_server.url}/v1/chat/completions", json=chat).json()
    assert logprobs == reply["choices"][0]["logprobs"]["content"]
    events = events_of(httpx.post(f"{tiny_server.url}/v1/responses", json=asked | {"stream": True}))
    deltas = [event for event in events if event["type"] == "response.output_text.delta"]
    assert [entry for event in deltas for entry in event["logprobs"]] == logprobs
    assert next(event for event in events if event["type"] == "response.output_text.done")["logprobs"] == logprobs


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("previous_response_id", "resp_1"),
        ("conversation", "conv_1"),
        ("tools", [{"type": "web_search"}]),
        ("tool_choice", "required"),
        ("max_tool_calls", 1),
        ("reasoning", {"effort": "low"}),
        ("reasoning", {"summary": "auto"}),
        ("background", True),
        ("truncation", "auto"),
        ("prompt", {"id": "p"}),
        ("moderation", {"model": "m"}),
        ("context_management", [{"type": "compaction"}]),
    ],
)
def test_what_is_not_served_is_refused_by_name(http: httpx.Client, name: str, value: object) -> None:
    response = ask(http, **{name: value})
    error = response.json()["error"]
    assert (response.status_code, error["param"], error["code"]) == (400, name, "unsupported_parameter")
    assert error["message"].startswith(f"{name}: this parameter is not supported")


@pytest.mark.parametrize(("name", "value"), [("format", {"type": "grammar"}), ("verbosity", "low")])
def test_another_text_is_refused_by_name(http: httpx.Client, name: str, value: object) -> None:
    error = ask(http, text={name: value}).json()["error"]
    assert error["param"].startswith(f"text.{name}")


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("store", True),
        ("store", False),
        ("user", "someone"),
        ("service_tier", "auto"),
        ("prompt_cache_key", "k"),
        ("safety_identifier", "s"),
        ("parallel_tool_calls", False),
        ("tools", []),
        ("tool_choice", "auto"),
        ("reasoning", None),
        ("reasoning", {"effort": "none"}),
        ("reasoning", {"effort": None, "summary": None}),
        ("text", {"format": {"type": "text"}}),
        ("truncation", "disabled"),
        ("background", False),
        ("metadata", None),
        ("include", []),
        ("include", None),
    ],
)
def test_what_changes_nothing_is_accepted(http: httpx.Client, name: str, value: object) -> None:
    response = ask(http, **{name: value})
    assert response.status_code == 200, response.text
    assert response.json()["store"] is False


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"text": {"format": {"type": "json_schema", "schema": {}}}}, "name: wanted with type"),
        ({"text": {"format": {"type": "json_schema", "name": "n"}}}, "schema: wanted with type"),
        ({"text": {"format": {"type": "text", "schema": {}}}}, "schema: wanted with type"),
        ({"text": {"format": {"type": "json_schema", "name": "a b", "schema": {}}}}, "text.format.name"),
        ({"input": []}, "input: "),
        ({"input": 5}, "a string or a list of messages"),
        ({"input": [{"type": "function_call", "name": "f"}]}, "Input should be 'message' (found 'function_call')"),
        ({"input": [{"role": "tool", "content": "x"}]}, "input.0.role"),
        ({"input": [{"role": "user", "content": [{"type": "input_image"}]}]}, "input.0.content.0.type"),
        ({"max_output_tokens": 0}, "max_output_tokens"),
        ({"max_tokens": 5}, "max_tokens: unknown parameter; known: "),
        ({"temperature": 2.1}, "temperature"),
        ({"top_logprobs": 2}, "top_logprobs: allowed with include="),
        ({"include": ["reasoning.encrypted_content"]}, "include.0"),
        ({"metadata": {"a": 5}}, "metadata.a"),
        ({"metadata": {"a" * 65: "b"}}, "metadata"),
        ({"stream_options": {"include_obfuscation": False}}, "stream_options: allowed with stream=true only"),
        ({"scalpel": {"breaker": {}}}, "scalpel.breaker: unknown parameter; known: breakers"),
        ({"scalpel": {"breakers": {"other": True}}}, "loaded: gender_bias, myth_mask, toxicity"),
    ],
)
def test_what_cannot_be_read_is_a_400(http: httpx.Client, changes: dict[str, Any], said: str) -> None:
    response = ask(http, **changes)
    assert response.status_code == 400
    assert said in response.json()["error"]["message"]


def test_an_input_that_leaves_no_room_is_refused_by_its_own_name(http: httpx.Client) -> None:
    error = ask(http, input="x" * 200).json()["error"]
    assert (error["param"], error["code"]) == ("input", "context_length_exceeded")


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize(
    ("error", "status"), [(RequestRefusedError("too odd"), 400), (EngineOverloadedError("full"), 429)]
)
def test_what_is_refused_before_the_reply_has_its_status(error: Exception, status: int, stream: bool) -> None:
    with live(stub_state(engine=StubEngine(bundles=BUNDLES, refusal=error))) as server:
        response = httpx.post(f"{server.url}/v1/responses", json=GOOD | {"stream": stream})
    assert (response.status_code, response.json()["error"]["message"]) == (status, str(error))


@pytest.mark.parametrize("error", [RequestFailedError("NaN in the logits"), RuntimeError("a secret")])
def test_a_failure_in_mid_stream_is_a_failed_response(error: Exception) -> None:
    with live(stub_state(engine=StubEngine(bundles=BUNDLES, failure=error))) as server:
        events = events_of(httpx.post(f"{server.url}/v1/responses", json=GOOD | {"stream": True}))
        count = server.state.metrics.registry.get_sample_value
        # It is counted when its last event is out, which may be after the client has it.
        wait_until(lambda: count("scalpel_requests_total", {"outcome": "failed"}) == 1)
    assert [event["type"] for event in events] == [*BEFORE, "response.output_text.delta", "response.failed"]
    failed = events[-1]["response"]
    assert (failed["status"], failed["output"], failed["error"]["code"]) == ("failed", [], "server_error")
    assert ("secret" in failed["error"]["message"]) is False
    assert ("NaN" in failed["error"]["message"]) == isinstance(error, RequestFailedError)


def test_a_failure_within_a_whole_response_is_a_500() -> None:
    with live(stub_state(engine=StubEngine(bundles=BUNDLES, failure=RequestFailedError("NaN")))) as server:
        assert httpx.post(f"{server.url}/v1/responses", json=GOOD).status_code == 500


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize("pieces", [("only",), ("two", "pieces")])
def test_replies_are_offered_to_output_scoring(pieces: tuple[str, ...], stream: bool) -> None:
    scorer = StubScorer()
    state = stub_state(engine=StubEngine(bundles=BUNDLES, pieces=pieces), scorer=scorer)
    with live(state) as server:
        httpx.post(f"{server.url}/v1/responses", json=GOOD | {"stream": stream})
        wait_until(lambda: scorer.seen)
    assert [reply.reply for reply in scorer.seen] == ["".join(pieces)]


def test_a_client_that_goes_away_frees_its_slot() -> None:
    engine = StubEngine(bundles=BUNDLES, endless=True)
    with live(stub_state(engine=engine)) as server:
        with httpx.stream("POST", f"{server.url}/v1/responses", json=GOOD | {"stream": True}) as response:
            lines = response.iter_lines()
            next(lines)
            assert engine.running == 1
        wait_until(lambda: engine.running == 0)
        count = server.state.metrics.registry.get_sample_value
        wait_until(lambda: count("scalpel_requests_total", {"outcome": "cancelled"}) == 1)


def test_a_failing_classifier_means_full_strength_here_too() -> None:
    with live(stub_state(classifier=StubClassifier(failure=RuntimeError("a bug")))) as server:
        report = httpx.post(f"{server.url}/v1/responses", json=GOOD | {"input": "hello"}).json()["scalpel"]
    assert report["applied"]["toxicity"] == {"strength": 1.0, "kind": "breaker", "reason": "classifier_failed"}


def test_the_bodies_are_in_the_api_description(http: httpx.Client) -> None:
    document = http.get("/openapi.json").json()
    for path, name in (("/v1/responses", "ResponseRequest"), ("/v1/moderations", "ModerationRequest")):
        body = document["paths"][path]["post"]["requestBody"]["content"]["application/json"]["schema"]
        assert body["$ref"].endswith(f"/{name}")
        assert "input" in document["components"]["schemas"][name]["properties"]

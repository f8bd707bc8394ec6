"""Every refusal: its status, OpenAI's shape, the field, and the accepted values in the message."""

from __future__ import annotations

import json
from typing import Any

import httpx
import pytest
from serving.live import Live

GOOD: dict[str, Any] = {"model": "scalpel-demo", "messages": [{"role": "user", "content": "hi"}]}


@pytest.fixture(scope="module")
def http(stub_server: Live) -> httpx.Client:
    with httpx.Client(base_url=stub_server.url, timeout=60) as client:
        yield client


def refusal(response: httpx.Response, status: int = 400) -> dict[str, Any]:
    assert response.status_code == status, response.text
    (error,) = response.json().values()
    assert set(error) == {"message", "type", "param", "code"}
    assert error["type"] == "invalid_request_error"
    return error


def ask(http: httpx.Client, **changes: Any) -> httpx.Response:
    return http.post("/v1/chat/completions", json=GOOD | changes)


def ask_raw(http: httpx.Client, body: str | bytes) -> httpx.Response:
    return http.post("/v1/chat/completions", content=body, headers={"Content-Type": "application/json"})


def test_an_unknown_breaker_lists_the_loaded_ones(http: httpx.Client) -> None:
    error = refusal(ask(http, scalpel={"breakers": {"toxic": True}}))
    assert "gender_bias, myth_mask, toxicity" in error["message"]
    assert (error["param"], error["code"]) == ("scalpel.breakers", "unknown_breaker")


@pytest.mark.parametrize("strength", ["1.01", "-0.5", "NaN", "Infinity", "1e999", "1" + "0" * 400])
def test_a_strength_out_of_range_names_the_range(http: httpx.Client, strength: str) -> None:
    body = json.dumps(GOOD)[:-1] + f', "scalpel": {{"breakers": {{"toxicity": {strength}}}}}}}'
    assert "number" in refusal(ask_raw(http, body))["message"]


def test_a_strength_range_is_the_bundles_own(http: httpx.Client) -> None:
    assert "[0, 1]" in refusal(ask(http, scalpel={"breakers": {"toxicity": 1.5}}))["message"]
    assert ask(http, scalpel={"breakers": {"gender_bias": 1.5}}).status_code == 200
    assert "[0, 2]" in refusal(ask(http, scalpel={"breakers": {"gender_bias": 2.5}}))["message"]


@pytest.mark.parametrize("toggle", ["off", None, [], {"strength": 1}])
def test_a_toggle_of_another_type_says_what_is_wanted(http: httpx.Client, toggle: object) -> None:
    error = refusal(ask(http, scalpel={"breakers": {"toxicity": toggle}}))
    assert "false (off), true (the gate decides) or a number" in error["message"]
    assert error["param"] == "scalpel.breakers.toxicity"


def test_numbers_and_booleans_are_kept_apart(http: httpx.Client) -> None:
    def applied(toggle: object) -> dict[str, Any]:
        reply = ask(http, scalpel={"breakers": {"toxicity": toggle}})
        return reply.json()["scalpel"]["applied"]["toxicity"]

    assert applied(True) == {"strength": 0.0, "kind": "breaker", "reason": "gate"}
    assert applied(1) == {"strength": 1.0, "kind": "breaker", "reason": "request"}
    assert applied(0) == applied(False) == {"strength": 0.0, "kind": "breaker", "reason": "request"}
    assert applied(0.4) == {"strength": 0.4375, "kind": "breaker", "reason": "request"}


def test_an_unknown_key_of_ours_lists_the_known_ones(http: httpx.Client) -> None:
    error = refusal(ask(http, scalpel={"breaker": {"toxicity": True}}))
    assert "scalpel.breaker: unknown parameter; known: breakers, generation_start, profile" in error["message"]
    assert (error["param"], error["code"]) == ("scalpel.breaker", "unknown_parameter")


def test_an_unknown_profile_lists_the_known_ones(http: httpx.Client) -> None:
    message = refusal(ask(http, scalpel={"profile": "of"}))["message"]
    assert all(profile in message for profile in ("default", "off", "strict"))


def test_an_unknown_parameter_lists_the_known_ones(http: httpx.Client) -> None:
    error = refusal(ask(http, temprature=0.5))
    assert "temprature: unknown parameter; known:" in error["message"]
    assert "temperature" in error["message"]
    assert error["param"] == "temprature"


def test_an_unknown_model_is_a_404_with_the_served_names(http: httpx.Client) -> None:
    error = refusal(ask(http, model="gpt-4"), 404)
    assert "scalpel-demo, scalpel-demo@off, scalpel-demo@strict" in error["message"]
    assert error["code"] == "model_not_found"


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("functions", [{"name": "f"}]),
        ("modalities", ["audio"]),
        ("audio", {}),
    ],
)
def test_a_parameter_that_is_not_served_is_refused_by_name(http: httpx.Client, name: str, value: object) -> None:
    error = refusal(ask(http, **{name: value}))
    assert error["message"].startswith(f"{name}: this parameter is not supported")
    assert (error["param"], error["code"]) == (name, "unsupported_parameter")


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("n", 1),
        ("logprobs", False),
        ("tools", []),
        ("tool_choice", "none"),
        ("response_format", {"type": "text"}),
        ("response_format", {"type": "json_object"}),
        ("parallel_tool_calls", False),
        ("presence_penalty", 0.0),
        ("presence_penalty", None),
        ("frequency_penalty", -2),
        ("repetition_penalty", 1.2),
        ("min_p", 0.05),
        ("logit_bias", None),
        ("logit_bias", {}),
        ("logit_bias", {"5": 1, "6": -100.0}),
        ("logprobs", True),
        ("top_logprobs", 0),
        ("ignore_eos", True),
        ("min_tokens", 5),
        ("user", "someone"),
        ("metadata", {"a": "b"}),
        ("store", True),
        ("service_tier", "auto"),
        ("stream", None),
        ("seed", None),
        ("stop", None),
        ("stop", "x"),
        ("stop", ["x", "y", "z", "w"]),
        ("top_k", 5),
        ("max_completion_tokens", 3),
    ],
)
def test_what_changes_nothing_or_is_served_is_accepted(http: httpx.Client, name: str, value: object) -> None:
    assert ask(http, **{name: value}).status_code == 200


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("temperature", -0.1),
        ("temperature", 2.1),
        ("temperature", "0.5"),
        ("top_p", 0),
        ("top_p", 1.1),
        ("top_k", -1),
        ("max_tokens", 0),
        ("max_tokens", 1.5),
        ("min_p", -0.1),
        ("min_p", 1.1),
        ("presence_penalty", 2.1),
        ("presence_penalty", "1"),
        ("frequency_penalty", -2.1),
        ("repetition_penalty", 0),
        ("repetition_penalty", 101),
        ("logit_bias", [5, 1]),
        ("logit_bias", {"5": 100.5}),
        ("logit_bias", {"5": True}),
        ("logit_bias", {"5": "1"}),
        ("logit_bias", {"-5": 1}),
        ("logit_bias", {"05": 1}),
        ("logit_bias", {"hello": 1}),
        ("logprobs", 1),
        ("logprobs", "true"),
        ("top_logprobs", 5),
        ("ignore_eos", 1),
        ("min_tokens", -1),
        ("min_tokens", 127),
        ("seed", 2**63),
        ("stop", ""),
        ("stop", ["a"] * 17),
        ("stop", 5),
        ("stop", ["a", 5]),
        ("stream", "yes"),
        ("model", 5),
        ("messages", []),
        ("messages", "hi"),
        ("stream_options", {"include_usage": True}),
    ],
)
def test_a_value_out_of_range_is_refused(http: httpx.Client, name: str, value: object) -> None:
    assert name in refusal(ask(http, **{name: value}))["message"]


@pytest.mark.parametrize(
    ("message", "said"),
    [
        ({"role": "user"}, "messages.0.content: Field required"),
        ({"role": "tool", "content": "x"}, "messages.0: tool_call_id: a tool's message has one"),
        ({"role": "tool", "content": "x", "tool_call_id": "a"}, "messages.0.tool_call_id: no call before it"),
        ({"role": "owner", "content": "x"}, "messages.0.role"),
        ({"role": "user", "content": None}, "messages.0.content: Field required"),
        ({"role": "assistant", "content": None}, "messages.0.content: Field required"),
        ({"role": "assistant"}, "messages.0.content: Field required"),
        ({"role": "assistant", "content": None, "tool_calls": []}, "messages.0.content: Field required"),
        ({"role": "user", "content": 5}, "a string or a list of text parts"),
        ({"role": "user", "content": [{"type": "image_url", "image_url": {}}]}, "messages.0.content.0.type"),
        ({"role": "user", "content": "x", "colour": 1}, "known: annotations, audio, content"),
    ],
)
def test_a_message_that_cannot_be_read_says_where(http: httpx.Client, message: object, said: str) -> None:
    assert said in refusal(ask(http, messages=[message]))["message"]


def test_content_as_text_parts_and_roles(http: httpx.Client) -> None:
    parts = [{"type": "text", "text": "a"}, {"type": "text", "text": "b"}]
    turns = [{"role": "developer", "content": "s"}, {"role": "user", "content": parts}]
    # One token a character, and one for the template.
    assert ask(http, messages=turns).json()["usage"]["prompt_tokens"] == 4


def test_limits_that_differ_are_refused(http: httpx.Client) -> None:
    assert (
        "max_tokens and max_completion_tokens" in refusal(ask(http, max_tokens=3, max_completion_tokens=4))["message"]
    )


@pytest.mark.parametrize("name", ["temperature", "min_p", "presence_penalty", "repetition_penalty"])
@pytest.mark.parametrize("number", ["NaN", "Infinity", "-Infinity", "1e999"])
def test_a_number_that_is_none_is_refused_by_name(http: httpx.Client, name: str, number: str) -> None:
    error = refusal(ask_raw(http, json.dumps(GOOD)[:-1] + f', "{name}": {number}}}'))
    assert error["message"].startswith(f"{name}: ")
    assert error["param"] == name


@pytest.mark.parametrize("number", ["NaN", "Infinity", "1e999", "1" + "0" * 400])
def test_a_bias_that_is_no_number_is_refused(http: httpx.Client, number: str) -> None:
    error = refusal(ask_raw(http, json.dumps(GOOD)[:-1] + f', "logit_bias": {{"5": {number}}}}}'))
    assert "the bias of token 5 is out of range; wanted a number from -100 to 100" in error["message"]
    assert error["param"] == "logit_bias"


def test_ranges_are_named(http: httpx.Client) -> None:
    message = refusal(ask(http, frequency_penalty=3))["message"]
    assert message == "frequency_penalty: Input should be less than or equal to 2 (found 3)"
    message = refusal(ask(http, logprobs=True, top_logprobs=21))["message"]
    assert message == "top_logprobs: Input should be less than or equal to 20 (found 21)"
    assert "'x' is no token id" in refusal(ask(http, logit_bias={"x": 1}))["message"]


def test_min_tokens_has_to_fit(http: httpx.Client) -> None:
    error = refusal(ask(http, min_tokens=5, max_tokens=4))
    assert "min_tokens is 5; wanted at most max_tokens (4)" in error["message"]
    error = refusal(ask(http, min_tokens=126))
    # 128 tokens of context; the prompt has one a character and one for the template.
    assert error["message"] == "min_tokens is 126; this prompt leaves room for 125"
    assert error["param"] == "min_tokens"


@pytest.mark.parametrize("body", ["", "{", "[]", "null", '"x"', '{"model": "\\ud800"}', "[" * 5000, b"\xff\xfe"])
def test_a_body_that_is_no_json_object_is_a_400(http: httpx.Client, body: str | bytes) -> None:
    refusal(ask_raw(http, body))


def test_another_content_type_is_a_415(http: httpx.Client) -> None:
    response = http.post("/v1/chat/completions", content=json.dumps(GOOD), headers={"Content-Type": "text/plain"})
    assert "application/json" in refusal(response, 415)["message"]


def test_a_body_that_is_too_long_is_a_413(http: httpx.Client) -> None:
    assert "1048576" in refusal(ask_raw(http, b" " * (1024 * 1024 + 1)), 413)["message"]


def test_unknown_addresses_and_methods_have_the_same_shape(http: httpx.Client) -> None:
    refusal(http.get("/v1/nothing"), 404)
    refusal(http.get("/v1/chat/completions"), 405)

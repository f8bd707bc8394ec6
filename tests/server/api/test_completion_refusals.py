"""What /v1/completions refuses, and what it accepts because it asks for nothing."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import httpx
import pytest
from serving.live import Live

GOOD: dict[str, Any] = {"model": "scalpel-demo", "prompt": "hi"}


@pytest.fixture(scope="module")
def http(stub_server: Live) -> Iterator[httpx.Client]:
    with httpx.Client(base_url=stub_server.url, timeout=60) as client:
        yield client


def ask(http: httpx.Client, **changes: Any) -> httpx.Response:
    return http.post("/v1/completions", json=GOOD | changes)


def refusal(response: httpx.Response, status: int = 400) -> dict[str, Any]:
    assert response.status_code == status, response.text
    (error,) = response.json().values()
    assert set(error) == {"message", "type", "param", "code"}
    assert error["type"] == "invalid_request_error"
    return error


@pytest.mark.parametrize(
    ("name", "value"),
    [("suffix", "x"), ("best_of", 2), ("best_of", 1), ("tools", []), ("messages", []), ("max_completion_tokens", 5)],
)
def test_what_is_not_served_is_refused_by_name(http: httpx.Client, name: str, value: object) -> None:
    error = refusal(ask(http, **{name: value}))
    assert error["message"].startswith(f"{name}: ")
    assert error["param"] == name
    assert error["code"] in ("unsupported_parameter", "unknown_parameter")


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("suffix", None),
        ("suffix", ""),
        ("best_of", None),
        ("user", "someone"),
        ("metadata", {"a": "b"}),
        ("store", True),
        ("echo", False),
        ("logprobs", None),
        ("logprobs", 20),
        ("max_tokens", None),
        ("n", 32),
        ("prompt", [104]),
        ("prompt", ["a"] * 256),
        ("prompt", [[104], [105]]),
        ("prompt", ["hi", "ho"]),
        ("scalpel", {"generation_start": 1}),
        ("scalpel", {"generation_start": [0]}),
        ("scalpel", {"generation_start": None}),
    ],
)
def test_what_is_served_or_asks_for_nothing_is_accepted(http: httpx.Client, name: str, value: object) -> None:
    assert ask(http, **{name: value}).status_code == 200


@pytest.mark.parametrize(
    ("changes", "param", "said"),
    [
        ({"prompt": []}, "prompt", "wanted a string, a list of token ids, or 1 to 256 of either"),
        ({"prompt": None}, "prompt", "wanted a string"),
        ({"prompt": [[]]}, "prompt", "wanted a string"),
        ({"prompt": ["x", 5]}, "prompt", "wanted a string"),
        ({"prompt": ["x", [5]]}, "prompt", "wanted a string"),
        ({"prompt": [[5], [True]]}, "prompt", "wanted a string"),
        ({"prompt": [-1]}, "prompt", "wanted a string"),
        ({"prompt": [1.0]}, "prompt", "wanted a string"),
        ({"prompt": [2**31]}, "prompt", "wanted a string"),
        ({"prompt": [0x110000]}, "prompt", "prompt holds token 1114112; wanted 0 to 1114111"),
        ({"prompt": ["a"] * 257}, "prompt", "wanted a string"),
        ({"prompt": ["a"] * 9, "n": 32}, None, "n: 32 replies to each of 9 prompts; wanted at most 256 in all"),
        ({"prompt": "x" * 128}, "prompt", "the prompt has 128 tokens"),
        ({"max_tokens": 0}, None, "max_tokens is 0; wanted at least 1, or echo=true with logprobs"),
        ({"max_tokens": 0, "echo": True}, None, "max_tokens is 0"),
        ({"max_tokens": 0, "logprobs": 1}, None, "max_tokens is 0"),
        ({"max_tokens": -1}, "max_tokens", "max_tokens"),
        ({"min_tokens": 17}, None, "min_tokens is 17; wanted at most max_tokens (16)"),
        ({"logprobs": 21}, "logprobs", "logprobs: Input should be less than or equal to 20"),
        ({"logprobs": True}, "logprobs", "logprobs: Input should be a valid integer"),
        ({"n": 33}, "n", "n: "),
        ({"stream_options": {"include_usage": True}}, None, "stream_options: allowed with stream=true only"),
        (
            {"scalpel": {"generation_start": 2}},
            "scalpel.generation_start",
            "scalpel.generation_start is 2; this prompt has tokens 0 to 1",
        ),
        ({"scalpel": {"generation_start": -1}}, "scalpel.generation_start", "wanted a position of 0 or more"),
        ({"scalpel": {"generation_start": True}}, "scalpel.generation_start", "wanted a position of 0 or more"),
        ({"scalpel": {"generation_start": []}}, "scalpel.generation_start", "wanted a position of 0 or more"),
        (
            {"scalpel": {"generation_start": [0, 1]}},
            None,
            "scalpel.generation_start has 2 positions; wanted one, or one for each prompt (1)",
        ),
    ],
)
def test_a_value_out_of_range_is_refused(
    http: httpx.Client, changes: dict[str, Any], param: str | None, said: str
) -> None:
    error = refusal(ask(http, **changes))
    assert said in error["message"]
    assert error["param"] == param


@pytest.mark.parametrize("number", ["NaN", "Infinity", "1e999", "1" + "0" * 400])
@pytest.mark.parametrize("name", ["prompt", "temperature", "logprobs", "n", "seed"])
def test_a_number_that_is_none_is_refused(http: httpx.Client, name: str, number: str) -> None:
    body = json.dumps(GOOD)[:-1] + f', "{name}": {f"[{number}]" if name == "prompt" else number}}}'
    response = http.post("/v1/completions", content=body, headers={"Content-Type": "application/json"})
    assert name in refusal(response)["message"]


def test_an_unknown_model_is_a_404(http: httpx.Client) -> None:
    assert refusal(ask(http, model="other"), 404)["code"] == "model_not_found"

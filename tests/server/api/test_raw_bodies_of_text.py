"""Whatever bytes come in at the routes beside chat, nothing answers with a 5xx, and good requests are answered."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import httpx
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from serving.live import Live

from server.api.completions.wire import CompletionRequest
from server.api.tokens.wire import DetokenizeRequest, TokenizeRequest

GOOD: dict[str, dict[str, Any]] = {
    "/v1/completions": {"model": "scalpel-demo", "prompt": "hi"},
    "/tokenize": {"prompt": "hi"},
    "/detokenize": {"tokens": [104, 105]},
}
FIELDS = {
    "/v1/completions": sorted(CompletionRequest.model_fields),
    "/tokenize": sorted(TokenizeRequest.model_fields),
    "/detokenize": sorted(DetokenizeRequest.model_fields),
}
ANY_JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.integers(10**300, 10**400)
    | st.floats()
    | st.text(st.characters(), max_size=8)
    | st.just("\ud800"),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=6,
)
TOKEN = st.integers(-2, 0x110001) | st.integers()
PROMPT = st.text(max_size=8) | st.lists(TOKEN, max_size=4)
NEARLY = st.fixed_dictionaries(
    {"prompt": PROMPT | st.lists(PROMPT, max_size=4) | ANY_JSON},
    optional={
        "echo": st.booleans(),
        "logprobs": st.integers(-1, 21),
        "max_tokens": st.integers(-1, 3),
        "n": st.integers(0, 4),
        "stream": st.booleans(),
        "scalpel": st.fixed_dictionaries({"generation_start": TOKEN | st.lists(TOKEN, max_size=3) | ANY_JSON}),
        "stop": ANY_JSON,
        "seed": st.integers(),
        "suffix": ANY_JSON,
    },
)
RAW = (
    st.binary(max_size=200)
    | ANY_JSON.map(lambda value: json.dumps(value).encode())
    | NEARLY.map(lambda value: json.dumps(GOOD["/v1/completions"] | value).encode())
)


@pytest.fixture(scope="module")
def http(stub_server: Live) -> Iterator[httpx.Client]:
    with httpx.Client(base_url=stub_server.url, timeout=60) as client:
        yield client


def post(http: httpx.Client, path: str, body: bytes) -> httpx.Response:
    response = http.post(path, content=body, headers={"Content-Type": "application/json"})
    assert response.status_code in (200, 400, 404), response.text
    if response.status_code == 200:
        assert "error" not in response.text or path != "/v1/completions"
    else:
        assert response.json()["error"]["message"]
    return response


@settings(max_examples=250, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(body=RAW)
def test_never_a_5xx_from_completions(http: httpx.Client, body: bytes) -> None:
    post(http, "/v1/completions", body)


@settings(max_examples=100, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(data=st.data(), path=st.sampled_from(sorted(GOOD)))
def test_never_a_5xx_for_any_value_of_any_field(http: httpx.Client, data: st.DataObject, path: str) -> None:
    changed = {data.draw(st.sampled_from(FIELDS[path])): data.draw(ANY_JSON)}
    post(http, path, json.dumps(GOOD[path] | changed).encode())


@pytest.mark.parametrize("path", sorted(GOOD))
@pytest.mark.parametrize(
    "value",
    [
        "[" * 5000,
        "[" + ",".join(["1"] * 200_000) + "]",
        "[" + ",".join(["[1]"] * 100_000) + "]",
        '["' + '","'.join(["x"] * 100_000) + '"]',
        '"\\ud800"',
        '["\\udfff\\ud800"]',
        "1" + "0" * 5000,
        "[1" + "0" * 5000 + "]",
        "NaN",
        "[NaN]",
        '"' + "x" * 500_000 + '"',
    ],
    ids=["deep", "tokens", "prompts", "texts", "surrogate", "surrogates", "digits", "token", "nan", "nans", "long"],
)
def test_huge_and_odd_values_are_refused(http: httpx.Client, path: str, value: str) -> None:
    name = {"/v1/completions": "prompt", "/tokenize": "prompt", "/detokenize": "tokens"}[path]
    good = {key: found for key, found in GOOD[path].items() if key != name}
    body = json.dumps(good | {name: None}).replace("null", value)
    response = post(http, path, body.encode())
    accepted = {("/tokenize", "x"), ("/detokenize", "1,")}
    assert response.status_code == 400 or any(p == path and start in value[:3] for p, start in accepted)


@pytest.mark.parametrize("path", sorted(GOOD))
def test_a_good_request_is_answered(http: httpx.Client, path: str) -> None:
    assert http.post(path, json=GOOD[path]).status_code == 200

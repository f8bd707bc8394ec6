"""Whatever bytes come in, nothing answers with a 5xx, and a good request is answered afterwards."""

from __future__ import annotations

import json
from typing import Any

import httpx
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from serving.live import Live

from server.api.chat.wire import ChatCompletionRequest

FIELDS = sorted(ChatCompletionRequest.model_fields)
GOOD: dict[str, Any] = {"model": "scalpel-demo", "messages": [{"role": "user", "content": "hi"}]}

ANY_JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=6,
)
NEARLY = st.fixed_dictionaries(
    {},
    optional={
        "model": st.sampled_from(["scalpel-demo", "scalpel-demo@off", "x"]) | ANY_JSON,
        "messages": ANY_JSON
        | st.lists(
            st.fixed_dictionaries(
                {"role": st.sampled_from(["system", "user", "assistant", "tool"]), "content": st.text() | ANY_JSON}
            ),
            max_size=3,
        ),
        "scalpel": ANY_JSON
        | st.fixed_dictionaries(
            {},
            optional={
                "breakers": st.dictionaries(st.sampled_from(["toxicity", "myth_mask", "x"]), ANY_JSON, max_size=2),
                "profile": st.sampled_from(["default", "off", "strict"]) | ANY_JSON,
            },
        ),
        "stream": st.booleans() | ANY_JSON,
        "stream_options": ANY_JSON | st.fixed_dictionaries({"include_usage": st.booleans()}),
        "stop": ANY_JSON,
        "logprobs": st.booleans(),
        "top_logprobs": st.integers(-1, 21),
        "logit_bias": st.dictionaries(
            st.integers(-1, 10**10).map(str) | st.text(), st.floats() | ANY_JSON, max_size=3
        ),
        "min_tokens": st.integers(),
        "seed": st.integers(),
        "max_tokens": st.integers(),
        "temperature": st.floats(),
    },
)
RAW = (
    st.binary(max_size=200)
    | ANY_JSON.map(lambda value: json.dumps(value).encode())
    | NEARLY.map(lambda value: json.dumps(value).encode())
    | st.tuples(st.sampled_from(FIELDS), ANY_JSON).map(lambda pair: json.dumps(GOOD | {pair[0]: pair[1]}).encode())
)


@pytest.fixture(scope="module")
def http(stub_server: Live) -> httpx.Client:
    with httpx.Client(base_url=stub_server.url, timeout=60) as client:
        yield client


@settings(max_examples=250, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(body=RAW)
def test_never_a_5xx(http: httpx.Client, body: bytes) -> None:
    response = http.post("/v1/chat/completions", content=body, headers={"Content-Type": "application/json"})
    assert response.status_code in (200, 400, 404)
    if response.status_code == 200:
        assert "error" not in response.text
    else:
        assert response.json()["error"]["message"]


def test_a_good_request_is_answered(http: httpx.Client) -> None:
    assert http.post("/v1/chat/completions", json=GOOD).status_code == 200

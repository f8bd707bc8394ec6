"""Whatever bytes come in at /v1/responses and /v1/moderations, nothing is a 5xx, and good requests are answered."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import httpx
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from serving.live import Live

from server.api.moderations.wire import ModerationRequest
from server.api.responses.wire import ResponseRequest

GOOD: dict[str, dict[str, Any]] = {
    "/v1/responses": {"model": "scalpel-demo", "input": "hi"},
    "/v1/moderations": {"input": "hi"},
}
FIELDS = {"/v1/responses": ResponseRequest, "/v1/moderations": ModerationRequest}
ANY_JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8) | st.just("\ud800"),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=6,
)
PART = st.fixed_dictionaries({"type": st.sampled_from(["text", "input_text", "output_text", "x"]), "text": st.text()})
ITEM = st.fixed_dictionaries(
    {"role": st.sampled_from(["system", "user", "assistant", "x"]), "content": st.text() | st.lists(PART) | ANY_JSON},
    optional={"type": st.sampled_from(["message", "reasoning"]) | ANY_JSON, "id": ANY_JSON},
)
NEARLY = st.fixed_dictionaries(
    {"input": st.text() | st.lists(st.text() | PART | ITEM | ANY_JSON, max_size=4) | ANY_JSON},
    optional={
        "model": st.sampled_from(["scalpel-demo", "stub:1", "omni-moderation-latest"]) | ANY_JSON,
        "stream": st.booleans(),
        "include": st.just(["message.output_text.logprobs"]) | ANY_JSON,
        "top_logprobs": st.integers(-1, 21),
        "max_output_tokens": st.integers(),
        "temperature": st.floats(),
        "metadata": ANY_JSON,
        "reasoning": ANY_JSON,
        "text": ANY_JSON | st.fixed_dictionaries({"format": ANY_JSON}),
        "scalpel": ANY_JSON | st.fixed_dictionaries({"profile": ANY_JSON}),
        "tool_choice": ANY_JSON,
    },
)


@st.composite
def asked(draw: st.DrawFn) -> tuple[str, bytes]:
    path = draw(st.sampled_from(sorted(GOOD)))
    one_field = st.tuples(st.sampled_from(sorted(FIELDS[path].model_fields)), ANY_JSON).map(lambda pair: dict([pair]))
    body = st.binary(max_size=200) | (NEARLY | one_field).map(
        lambda changes: json.dumps(GOOD[path] | changes).encode()
    )
    return path, draw(body)


@pytest.fixture(scope="module")
def http(stub_server: Live) -> Iterator[httpx.Client]:
    with httpx.Client(base_url=stub_server.url, timeout=60) as client:
        yield client


@settings(max_examples=250, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(request=asked())
def test_never_a_5xx(http: httpx.Client, request: tuple[str, bytes]) -> None:
    path, body = request
    response = http.post(path, content=body, headers={"Content-Type": "application/json"})
    assert response.status_code in (200, 400, 404), response.text
    if response.status_code == 200:
        assert "response.failed" not in response.text
    else:
        assert response.json()["error"]["message"]


@settings(max_examples=50, deadline=None)
@given(header=st.lists(st.sampled_from([*range(0x20, 0x7F), *range(0x80, 0x100)]), max_size=20).map(bytes))
def test_no_header_is_a_5xx(http: httpx.Client, header: bytes) -> None:
    headers = [(b"X-Scalpel-Profile", header.strip())]
    response = http.post("/v1/responses", json=GOOD["/v1/responses"], headers=headers)
    assert response.status_code in (200, 400), response.text


@pytest.mark.parametrize("path", sorted(GOOD))
def test_a_good_request_is_answered(http: httpx.Client, path: str) -> None:
    assert http.post(path, json=GOOD[path]).status_code == 200

"""X-Scalpel-Profile: above the model name's profile, below the body's, and never ignored."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from serving.access import error, policed_state, write_policy
from serving.live import Live, live

from server.access.access import Access
from server.access.caller import AccessScope, Caller

ROUTES: dict[str, dict[str, Any]] = {
    "/v1/chat/completions": {"messages": [{"role": "user", "content": "hello"}]},
    "/v1/completions": {"prompt": "hello"},
    "/v1/responses": {"input": "hello"},
}


@pytest.fixture(scope="module")
def http(stub_server: Live) -> Iterator[httpx.Client]:
    with httpx.Client(base_url=stub_server.url, timeout=60) as client:
        yield client


@pytest.fixture(params=list(ROUTES))
def path(request: pytest.FixtureRequest) -> str:
    return request.param


def strength(http: httpx.Client, path: str, *, header: str | None, model: str, body: str | None) -> float:
    """What toxicity's breaker got; the input is harmless, so `default` means 0."""
    sent = ROUTES[path] | {"model": model} | ({} if body is None else {"scalpel": {"profile": body}})
    response = http.post(path, json=sent, headers={} if header is None else {"X-Scalpel-Profile": header})
    assert response.status_code == 200, response.text
    return response.json()["scalpel"]["applied"]["toxicity"]["strength"]


@pytest.mark.parametrize(
    ("model", "header", "body", "wanted"),
    [
        ("scalpel-demo", "strict", None, 1.0),
        ("scalpel-demo@strict", "off", None, 0.0),
        ("scalpel-demo@strict", "default", None, 0.0),
        ("scalpel-demo@off", "strict", None, 1.0),
        ("scalpel-demo", "off", "strict", 1.0),
        ("scalpel-demo@strict", "strict", "off", 0.0),
        ("scalpel-demo@strict", None, None, 1.0),
        ("scalpel-demo@off", None, "strict", 1.0),
    ],
)
def test_the_body_beats_the_header_and_the_header_the_model_name(
    http: httpx.Client, path: str, model: str, header: str | None, body: str | None, wanted: float
) -> None:
    assert strength(http, path, header=header, model=model, body=body) == wanted


@pytest.mark.parametrize("header", ["of", "OFF", "", "off, strict"])
@pytest.mark.parametrize("body", [None, "strict"])
def test_an_unknown_profile_is_a_400_with_the_known_ones(
    http: httpx.Client, path: str, header: str, body: str | None
) -> None:
    sent = ROUTES[path] | {"model": "scalpel-demo"} | ({} if body is None else {"scalpel": {"profile": body}})
    response = http.post(path, json=sent, headers={"X-Scalpel-Profile": header})
    error = response.json()["error"]
    assert (response.status_code, error["param"]) == (400, "X-Scalpel-Profile")
    assert "wanted default, off, strict" in error["message"]


def test_two_headers_are_refused(http: httpx.Client, path: str) -> None:
    headers = [("X-Scalpel-Profile", "strict"), ("X-Scalpel-Profile", "off")]
    response = http.post(path, json=ROUTES[path] | {"model": "scalpel-demo"}, headers=headers)
    assert response.status_code == 400
    assert "'strict, off'" in response.json()["error"]["message"]


def test_a_profile_does_not_stand_in_for_a_model(http: httpx.Client, path: str) -> None:
    for extra, headers in (({"scalpel": {"profile": "strict"}}, {}), ({}, {"X-Scalpel-Profile": "strict"})):
        response = http.post(path, json=ROUTES[path] | {"model": "gpt-4"} | extra, headers=headers)
        assert response.status_code == 404


def test_the_header_is_in_the_api_description(http: httpx.Client, path: str) -> None:
    [header] = http.get("/openapi.json").json()["paths"][path]["post"]["parameters"]
    assert (header["name"], header["in"], header["required"]) == ("X-Scalpel-Profile", "header", False)
    assert header["schema"]["enum"] == ["default", "off", "strict"]


def test_a_profile_by_header_is_held_to_the_policy(tmp_path: Path, path: str) -> None:
    policy = write_policy(tmp_path / "policy.yaml", bundles={"toxicity": {"floor": 0.25}})
    front = Access(anonymous=Caller(key_id=None, scopes=frozenset({AccessScope.CHAT})))
    with live(policed_state(policy=policy, access=front)) as server:
        body = ROUTES[path] | {"model": "scalpel-demo"}
        response = httpx.post(f"{server.url}{path}", json=body, headers={"X-Scalpel-Profile": "off"})
    assert error(response, 403)["code"] == "override_forbidden"

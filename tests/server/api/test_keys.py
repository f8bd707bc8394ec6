"""Keys over a real socket: who is let in, before the body is read, with OpenAI's own client."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import httpx
import openai
import pytest
from serving.access import BODY, bearer, error, metric, policed_state, write_keys
from serving.live import Live, live
from serving.stubs import StubEngine

from server.access.access import Access
from server.access.caller import ANYONE
from server.access.key_file import change_keys
from server.access.key_store import KeyStore
from server.access.keys import NewKey
from server.reloading import reload_keys


@pytest.fixture(scope="module")
def keys_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("keys") / "keys.jsonl"


@pytest.fixture(scope="module")
def keys(keys_file: Path) -> dict[str, NewKey]:
    return write_keys(keys_file)


@pytest.fixture(scope="module")
def server(keys: dict[str, NewKey], keys_file: Path) -> Iterator[Live]:
    with live(policed_state(keys_file)) as running:
        yield running


@pytest.fixture(scope="module")
def http(server: Live) -> Iterator[httpx.Client]:
    with httpx.Client(base_url=server.url, timeout=60) as client:
        yield client


@pytest.mark.parametrize(
    ("header", "reason"),
    [
        (None, "missing"),
        ("Bearer none", "malformed"),
        ("Basic dXNlcjpwYXNz", "malformed"),
        ("Bearer", "malformed"),
        (f"Bearer sk-scalpel-{'0' * 12}-{'0' * 64}", "unknown"),
    ],
)
def test_without_a_good_key_nobody_comes_in(http: httpx.Client, header: str | None, reason: str) -> None:
    before = metric(http, "scalpel_auth_failures_total", reason=reason)
    response = http.post(
        "/v1/chat/completions", json=BODY, headers={} if header is None else {"Authorization": header}
    )
    found = error(response, 401)
    assert (found["type"], found["code"]) == ("invalid_request_error", "invalid_api_key")
    assert response.headers["www-authenticate"].startswith("Bearer ")
    assert header is None or header == "Bearer" or header not in found["message"]
    assert metric(http, "scalpel_auth_failures_total", reason=reason) == before + 1


def test_two_keys_are_none(http: httpx.Client, keys: dict[str, NewKey]) -> None:
    both = [("Authorization", f"Bearer {keys[label].key}") for label in ("front", "ops")]
    assert http.get("/v1/models", headers=both).status_code == 401


def test_openais_client_sends_its_key(server: Live, keys: dict[str, NewKey]) -> None:
    with openai.OpenAI(base_url=f"{server.url}/v1", api_key=keys["front"].key) as client:
        assert client.chat.completions.create(**BODY).choices[0].message.content == "Hello you"
        streamed = client.chat.completions.create(**BODY, stream=True)
        assert "".join(chunk.choices[0].delta.content or "" for chunk in streamed) == "Hello you"
    with (
        openai.OpenAI(base_url=f"{server.url}/v1", api_key="none", max_retries=0) as client,
        pytest.raises(openai.AuthenticationError),
    ):
        client.models.list()


def test_scopes_decide_what_a_key_may_do(http: httpx.Client, keys: dict[str, NewKey]) -> None:
    chat, admin = bearer(keys["front"]), bearer(keys["ops"])
    assert http.get("/v1/breakers", headers=chat).status_code == 200
    assert http.get("/v1/breakers", headers=admin).status_code == 200
    found = error(http.patch("/v1/breakers/toxicity", json={}, headers=chat), 403)
    assert "takes the scope 'admin'; this caller has: chat" in found["message"]
    assert found["code"] == "missing_scope"
    # The way is open for administrators; whether there is such a route is another matter.
    assert http.patch("/v1/breakers/toxicity", json={}, headers=admin).status_code != 403
    assert error(http.post("/v1/chat/completions", json=BODY, headers=admin), 403)["code"] == "missing_scope"


def test_health_and_metrics_are_open(http: httpx.Client) -> None:
    assert http.get("/health").status_code == http.get("/health/ready").status_code == 200
    assert http.get("/metrics").status_code == 200
    assert http.get("/openapi.json").status_code == 401


def test_metrics_can_ask_for_a_key(keys: dict[str, NewKey], keys_file: Path) -> None:
    access = Access(keys=KeyStore(keys_file), metrics_need_key=True)
    with live(policed_state(access=access)) as running:
        assert httpx.get(f"{running.url}/metrics").status_code == 401
        assert httpx.get(f"{running.url}/metrics", headers=bearer(keys["ops"])).status_code == 200


def test_the_refusal_comes_before_the_body(server: Live) -> None:
    host, port = server.url.removeprefix("http://").split(":")
    with socket.create_connection((host, int(port)), timeout=30) as client:
        client.sendall(
            b"POST /v1/chat/completions HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n"
            b"Content-Length: 1000000\r\n\r\n"
        )
        assert client.recv(12) == b"HTTP/1.1 401"


def test_events_of_a_stream_are_not_held_back(keys: dict[str, NewKey], keys_file: Path) -> None:
    engine = StubEngine(bundles=("toxicity", "gender_bias", "myth_mask"), endless=True)
    with (
        live(policed_state(keys_file, engine=engine)) as running,
        httpx.stream(
            "POST",
            f"{running.url}/v1/chat/completions",
            json=BODY | {"stream": True},
            headers=bearer(keys["front"]),
        ) as response,
    ):
        # The reply never ends: only a door that passes events on lets these three arrive.
        events = (line for line in response.iter_lines() if line)
        assert all(next(events).startswith("data: ") for _ in range(3))


def test_a_revoked_key_stops_working_while_the_server_serves(tmp_path: Path) -> None:
    path = tmp_path / "keys.jsonl"
    made = write_keys(path)
    state = policed_state(path)
    with (
        live(state) as running,
        httpx.Client(base_url=running.url, headers=bearer(made["front"]), timeout=60) as http,
    ):
        assert http.get("/v1/models").status_code == 200
        now = datetime.now(UTC)
        change_keys(path, lambda records: [replace(record, revoked=now) for record in records])
        reload_keys(state)
        assert "revoked" in error(http.get("/v1/models"), 401)["message"]
        assert metric(http, "scalpel_auth_failures_total", reason="revoked") == 1
        assert metric(http, "scalpel_policy_reloads_total", file="keys", outcome="done") == 1


def test_without_keys_a_foreign_name_may_not_administer() -> None:
    with live(policed_state()) as running:
        url = f"{running.url}/v1/breakers/toxicity"
        assert httpx.patch(url, json={}).status_code != 403
        assert httpx.patch(url, json={}, headers={"Host": "evil.example"}).status_code == 403
        assert httpx.patch(url, json={}, headers={"Origin": "https://evil.example"}).status_code == 403
        chat = f"{running.url}/v1/chat/completions"
        assert httpx.post(chat, json=BODY, headers={"Host": "evil.example"}).status_code == 200
    with live(policed_state(access=Access(anonymous=ANYONE))) as running:
        assert httpx.patch(f"{running.url}/v1/breakers/toxicity", json={}).status_code == 403
        assert httpx.post(f"{running.url}/v1/chat/completions", json=BODY).status_code == 200

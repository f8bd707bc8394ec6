"""The edge of the application: request ids, the access log, drain, limits of a request, readiness."""

from __future__ import annotations

import io
import json
import logging
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import httpx
import openai
import pytest
from serving.live import Live, live, stub_state, wait_until
from serving.stubs import StubEngine

from server.engines.base import EngineOverloadedError, EngineStats
from server.errors import DrainingError
from server.generation.limits import GenerationLimits
from server.logs import configure_logging

BODY: dict[str, Any] = {"model": "scalpel-demo", "messages": [{"role": "user", "content": "a secret"}]}
BUNDLES = ("toxicity", "gender_bias", "myth_mask")


def ask(server: Live, *, headers: dict[str, str] | None = None, **changes: Any) -> httpx.Response:
    return httpx.post(f"{server.url}/v1/chat/completions", json=BODY | changes, headers=headers, timeout=60)


def last_event(answer: httpx.Response) -> Any:
    return json.loads([line.removeprefix("data: ") for line in answer.text.splitlines() if line][-1])


@contextmanager
def logged(log_format: Any) -> Iterator[io.StringIO]:
    """What the server logs within the block."""
    root = logging.getLogger()
    before, level, out = root.handlers[:], root.level, io.StringIO()
    try:
        configure_logging(log_format, out)
        yield out
    finally:
        for handler in root.handlers[:]:
            root.removeHandler(handler)
        for handler in before:
            root.addHandler(handler)
        root.setLevel(level)


@pytest.mark.parametrize(
    ("given", "kept"),
    [
        ("job-7:a.b_C", True),
        ("x" * 128, True),
        ("x" * 129, False),
        ("two words", False),
        ("-begins", False),
        ("<script>", False),
        ("", False),
    ],
)
def test_a_request_id_comes_back_if_it_is_harmless(stub_server: Live, given: str, kept: bool) -> None:
    response = ask(stub_server, headers={"X-Request-Id": given})
    found = response.headers["x-request-id"]
    assert (found == given) == kept
    if not kept:
        assert response.json()["id"] == f"chatcmpl-{found}"


def test_every_answer_has_a_request_id(stub_server: Live) -> None:
    answers = [
        ask(stub_server),
        ask(stub_server, stream=True),
        ask(stub_server, model="other"),
        httpx.get(f"{stub_server.url}/nowhere"),
        httpx.get(f"{stub_server.url}/health"),
    ]
    ids = [answer.headers["x-request-id"] for answer in answers]
    assert len(set(ids)) == len(ids)


def test_a_bug_has_a_request_id_too_and_keeps_its_connection() -> None:
    engine = StubEngine(bundles=BUNDLES, refusal=RuntimeError("a bug"))
    with live(stub_state(engine=engine)) as server, httpx.Client(base_url=server.url, timeout=60) as http:
        for _ in range(2):
            response = http.post("/v1/chat/completions", json=BODY)
            assert response.status_code == 500
            assert response.headers["x-request-id"]
            assert "connection" not in response.headers


def test_a_line_of_json_for_each_request_and_no_text_of_it() -> None:
    engine = StubEngine(bundles=BUNDLES)
    with logged("json") as out, live(stub_state(engine=engine)) as server:
        ask(server, headers={"X-Request-Id": "mine"})
        ask(server, stream=True, scalpel={"breakers": {"toxicity": 1.0}})
        ask(server, model="other")
        httpx.get(f"{server.url}/v1/models/a%20secret?key=secret")
        httpx.get(f"{server.url}/a%20secret")
        httpx.get(f"{server.url}/metrics")
        engine.failure = RuntimeError("in mid-stream")
        failed = ask(server, stream=True)
        wait_until(lambda: out.getvalue().count('"server.access"') == 6)
        lines = [json.loads(line) for line in out.getvalue().splitlines()]
    whole, streamed, refused, missing, lost, broken = [line for line in lines if line["logger"] == "server.access"]
    assert (whole["status"], whole["method"], whole["path"]) == (200, "POST", "/v1/chat/completions")
    assert (whole["client_request_id"], whole["prompt_tokens"], whole["completion_tokens"]) == ("mine", 9, 9)
    assert whole["ms"] > 0
    assert len(whole["plan"]) == 12
    assert streamed["completion_tokens"] == 9
    assert streamed["plan"] != whole["plan"]
    assert (refused["status"], "plan" in refused) == (404, False)
    assert (missing["status"], missing["path"]) == (404, "/v1/models/{model:path}")
    assert (lost["status"], lost["path"]) == (404, "(no route)")
    assert broken["request_id"] == failed.headers["x-request-id"]
    blame = next(line for line in lines if "failed in mid-stream" in line["message"])
    assert blame["request_id"] == broken["request_id"]
    assert "RuntimeError: in mid-stream" in blame["exception"]
    assert "secret" not in out.getvalue()
    assert "Hel" not in out.getvalue()


def test_lines_of_text() -> None:
    with logged("text") as out, live(stub_state()) as server:
        found = ask(server).headers["x-request-id"]
        httpx.get(f"{server.url}/v1/a%0aERROR%20forged")
        wait_until(lambda: out.getvalue().count("server.access") == 2)
    lines = out.getvalue().splitlines()
    assert any("POST /v1/chat/completions 200 ms=" in line and line.endswith(f"[{found}]") for line in lines)
    assert not any(line.startswith("ERROR") for line in lines)


@pytest.mark.parametrize("stream", [False, True])
def test_a_request_that_takes_too_long_is_ended(stream: bool) -> None:
    engine = StubEngine(bundles=BUNDLES, endless=True)
    state = stub_state(engine=engine, limits=GenerationLimits(request_seconds=0.3))
    with live(state) as server:
        answer = ask(server, stream=stream)
        assert answer.status_code == (200 if stream else 504)
        error = last_event(answer)["error"] if stream else answer.json()["error"]
        assert (error["code"], error["type"]) == ("request_timeout", "server_error")
        assert "longer than 0.3 s" in error["message"]
        wait_until(lambda: engine.running == 0)
        count = state.metrics.registry.get_sample_value
        wait_until(lambda: count("scalpel_requests_total", {"outcome": "timed_out"}) == 1)
        assert state.deployments.held == 0


def test_token_limits() -> None:
    state = stub_state(limits=GenerationLimits(max_tokens=5, max_prompt_tokens=9))
    with live(state) as server:
        assert ask(server).status_code == 200
        engine: Any = state.engine
        assert engine.requests[-1].sampling.max_tokens == 5
        assert ask(server, max_tokens=5).status_code == 200
        greedy = ask(server, max_tokens=6)
        assert (greedy.status_code, greedy.json()["error"]["param"]) == (400, "max_tokens")
        assert "wanted at most 5" in greedy.json()["error"]["message"]
        long = ask(server, messages=[{"role": "user", "content": "a secret!"}])
        assert (long.status_code, long.json()["error"]["code"]) == (400, "prompt_too_long")
        assert "has 10 tokens; this server takes 9" in long.json()["error"]["message"]


def test_who_is_turned_away_learns_when_to_come_back() -> None:
    class Full(StubEngine):
        def stats(self) -> EngineStats:
            return EngineStats(running=1, waiting=3, steps=0)

    engine = Full(bundles=BUNDLES)
    state = stub_state(engine=engine)
    with live(state) as server:
        engine.refusal = EngineOverloadedError("full")
        assert ask(server).headers["retry-after"] == "1"
        state.generation._pace.took(16.0)
        refused = ask(server)
        assert (refused.status_code, refused.headers["retry-after"]) == (429, "12")


@pytest.mark.parametrize("stream", [False, True])
def test_a_drain_lets_requests_end_and_turns_new_ones_away(stream: bool) -> None:
    engine = StubEngine(bundles=BUNDLES, endless=True)
    state = stub_state(engine=engine)
    with live(state) as server:
        assert httpx.get(f"{server.url}/health/ready").json()["status"] == "ok"
        answers: list[httpx.Response] = []
        going = threading.Thread(target=lambda: answers.append(ask(server, stream=stream)))
        going.start()
        wait_until(lambda: engine.running == 1)
        state.lifecycle.drain()
        ready = httpx.get(f"{server.url}/health/ready")
        assert (ready.status_code, ready.json()["status"]) == (503, "draining")
        assert httpx.get(f"{server.url}/health").status_code == 200
        assert httpx.get(f"{server.url}/metrics").status_code == 200
        refused = ask(server)
        assert (refused.status_code, refused.json()["error"]["code"]) == (503, "draining")
        assert refused.headers["retry-after"] == "1"
        assert refused.headers["connection"] == "close"
        wait_until(lambda: state.lifecycle.in_flight == 1)
        state.generation.interrupt_all(DrainingError("the server stopped"))
        going.join(30)
        error = last_event(answers[0])["error"] if stream else answers[0].json()["error"]
        assert answers[0].status_code == (200 if stream else 503)
        assert (error["code"], error["message"]) == ("draining", "the server stopped")
        wait_until(lambda: state.lifecycle.in_flight == 0)


def test_several_replies_end_together_when_the_client_goes(stub_server: Live) -> None:
    engine = StubEngine(bundles=BUNDLES, endless=True)
    state = stub_state(engine=engine)
    with live(state) as server, openai.OpenAI(base_url=f"{server.url}/v1", api_key="none") as client:
        stream = client.chat.completions.create(**BODY, n=3, stream=True)
        next(stream)
        wait_until(lambda: engine.running == 3)
        stream.close()
        wait_until(lambda: engine.running == 0)
        with pytest.raises(openai.APITimeoutError):
            client.with_options(timeout=0.5, max_retries=0).chat.completions.create(**BODY, n=2)
        wait_until(lambda: engine.running == 0)
        wait_until(lambda: state.deployments.held == 0)

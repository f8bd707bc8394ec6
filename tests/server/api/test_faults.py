"""What goes wrong behind the route: engine, classifier, client. Nothing is hidden and nothing is left behind."""

from __future__ import annotations

import http.client
import json
import math
import socket
import threading
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

import httpx
import openai
import pytest
from serving.live import live, stub_state, wait_until
from serving.stubs import StubClassifier, StubEngine, StubScorer

from classifiers.base import Conversation
from server.engines.base import (
    EngineOverloadedError,
    EngineUnavailableError,
    RequestFailedError,
    RequestRefusedError,
)
from server.state import ServerState

BODY: dict[str, Any] = {"model": "scalpel-demo", "messages": [{"role": "user", "content": "hi"}]}


@dataclass(frozen=True)
class Faulty:
    """A server whose stubs a test breaks."""

    http: httpx.Client
    url: str
    engine: StubEngine
    classifier: StubClassifier
    scorer: StubScorer
    state: ServerState

    def ask(self, **changes: Any) -> httpx.Response:
        return self.http.post("/v1/chat/completions", json=BODY | changes)

    def count(self, name: str, **labels: str) -> float:
        return self.state.metrics.registry.get_sample_value(name, labels) or 0.0


@pytest.fixture
def faulty() -> Iterator[Faulty]:
    engine = StubEngine(bundles=("toxicity", "gender_bias", "myth_mask"))
    classifier, scorer = StubClassifier(), StubScorer()
    state = stub_state(engine=engine, classifier=classifier, scorer=scorer, classifier_timeout_seconds=0.2)
    with live(state) as server, httpx.Client(base_url=server.url, timeout=60) as http:
        yield Faulty(http=http, url=server.url, engine=engine, classifier=classifier, scorer=scorer, state=state)


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize(
    ("error", "status", "code", "outcome"),
    [
        (RequestRefusedError("too odd"), 400, "request_refused", "refused"),
        (EngineOverloadedError("the queue is full"), 429, "overloaded", "overloaded"),
        (EngineUnavailableError("stopping"), 503, "engine_unavailable", "failed"),
        (RequestFailedError("NaN in the logits"), 500, "engine_failed", "failed"),
    ],
)
def test_an_engine_error_before_the_reply_has_its_status(
    faulty: Faulty, error: Exception, status: int, code: str, outcome: str, stream: bool
) -> None:
    faulty.engine.refusal = error
    response = faulty.ask(stream=stream)
    assert response.status_code == status
    assert response.json()["error"]["message"] == str(error)
    assert response.json()["error"]["code"] == code
    assert ("retry-after" in response.headers) == (status in (429, 503))
    assert faulty.count("scalpel_requests_total", outcome=outcome) == 1


def test_a_failure_within_a_whole_reply_is_a_500(faulty: Faulty) -> None:
    faulty.engine.failure = RequestFailedError("NaN in the logits")
    assert faulty.ask().status_code == 500
    faulty.engine.failure = None
    assert faulty.ask().status_code == 200


@pytest.mark.parametrize("error", [RequestFailedError("NaN in the logits"), RuntimeError("a bug")])
def test_a_failure_within_a_stream_is_an_error_event_and_no_end(faulty: Faulty, error: Exception) -> None:
    faulty.engine.failure = error
    response = faulty.ask(stream=True)
    events = [line.removeprefix("data: ") for line in response.text.splitlines() if line]
    assert response.status_code == 200
    assert json.loads(events[-1])["error"]["type"] == "server_error"
    assert "a bug" not in events[-1]
    wait_until(lambda: faulty.count("scalpel_requests_total", outcome="failed") == 1)
    with openai.OpenAI(base_url=f"{faulty.url}/v1", api_key="none", max_retries=0) as client:
        stream = client.chat.completions.create(**BODY, stream=True)
        with pytest.raises(openai.APIError):
            list(stream)


def test_a_bug_is_a_500_that_tells_nothing(faulty: Faulty) -> None:
    faulty.engine.refusal = RuntimeError("secret path")
    response = faulty.ask()
    assert response.status_code == 500
    assert "secret" not in response.text
    assert response.json()["error"]["type"] == "server_error"


@pytest.mark.parametrize(
    ("fault", "reason"),
    [
        ({"failure": RuntimeError("down")}, "error"),
        ({"scores": {"toxicity": math.nan, "gender_bias": 0.0}}, "invalid"),
        ({"stall_seconds": 0.6}, "timeout"),
    ],
)
def test_a_broken_classifier_means_full_strength(faulty: Faulty, fault: dict[str, Any], reason: str) -> None:
    for name, value in fault.items():
        setattr(faulty.classifier, name, value)
    report = faulty.ask().json()["scalpel"]
    assert report["harm_potential"] == {}
    assert report["applied"]["toxicity"] == {"strength": 1.0, "kind": "breaker", "reason": "classifier_failed"}
    assert report["applied"]["gender_bias"]["reason"] == "classifier_failed"
    assert report["applied"]["myth_mask"] == {"strength": 0.0, "kind": "mask", "reason": "off"}
    assert faulty.engine.requests[-1].plan.strengths() == {"toxicity": 1.0, "gender_bias": 1.0}
    assert faulty.count("scalpel_classifier_failures_total", reason=reason) == 1


@pytest.mark.parametrize("stream", [False, True])
def test_a_client_that_goes_away_frees_its_slot(faulty: Faulty, stream: bool) -> None:
    faulty.engine.endless = True
    host, port = faulty.url.removeprefix("http://").split(":")
    connection = http.client.HTTPConnection(host, int(port))
    connection.request(
        "POST", "/v1/chat/completions", json.dumps(BODY | {"stream": stream}), {"Content-Type": "application/json"}
    )
    wait_until(lambda: faulty.engine.running == 1)
    if stream:
        connection.getresponse().read(1)
    connection.sock.shutdown(socket.SHUT_RDWR)
    connection.close()
    wait_until(lambda: faulty.engine.running == 0)
    wait_until(lambda: faulty.count("scalpel_requests_total", outcome="cancelled") == 1)


def test_replies_are_scored_with_what_acted_on_them(faulty: Faulty) -> None:
    faulty.engine.pieces = ("lazy ", "potato")
    faulty.ask()
    faulty.ask(scalpel={"breakers": {"toxicity": 1.0}}, stream=True)

    def harmful(applied: str) -> float:
        return faulty.count("scalpel_harmful_outputs_total", category="toxicity", applied=applied, input="harmless")

    wait_until(lambda: harmful("false") == 1 and harmful("true") == 1)
    assert {reply.reply for reply in faulty.scorer.seen} == {"lazy potato"}


def test_a_client_that_leaves_within_its_body_is_cancelled(faulty: Faulty) -> None:
    host, port = faulty.url.removeprefix("http://").split(":")
    with socket.create_connection((host, int(port))) as connection:
        head = "POST /v1/chat/completions HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n"
        connection.sendall(f"{head}Content-Length: 500\r\n\r\n{{".encode())
    wait_until(lambda: faulty.count("scalpel_requests_total", outcome="cancelled") == 1)


class Fragile(StubClassifier):
    """Holds its first call, then raises on one input and is not a number on another."""

    def __init__(self) -> None:
        super().__init__()
        self.sizes: list[int] = []
        self.entered, self.released = threading.Event(), threading.Event()

    def score(self, conversations: Sequence[Conversation]) -> list[dict[str, float]]:
        self.sizes.append(len(conversations))
        self.entered.set()
        assert self.released.wait(30)
        texts = [conversation[-1]["content"] for conversation in conversations]
        if "poison" in texts:
            raise RuntimeError("cannot read this")
        scores = super().score(conversations)
        return [s | {"toxicity": math.nan} if text == "nan" else s for text, s in zip(texts, scores, strict=True)]


def test_in_one_call_of_the_classifier_each_gets_full_strength_or_its_own() -> None:
    engine, classifier = StubEngine(bundles=("toxicity", "gender_bias", "myth_mask")), Fragile()
    texts = ["poison", "nan", "toxicity", "hello", "hello", "hello"]
    state = stub_state(engine=engine, classifier=classifier, classifier_timeout_seconds=30.0)
    with live(state) as server, ThreadPoolExecutor(8) as pool:

        def strength_of(text: str) -> tuple[float, str]:
            body = BODY | {"messages": [{"role": "user", "content": text}]}
            report = httpx.post(f"{server.url}/v1/chat/completions", json=body, timeout=60).json()["scalpel"]
            return report["applied"]["toxicity"]["strength"], report["applied"]["toxicity"]["reason"]

        first = pool.submit(strength_of, "hello")
        assert classifier.entered.wait(30)
        asked = [pool.submit(strength_of, text) for text in texts]
        wait_until(lambda: len(state.classifier._waiting) == len(texts))
        classifier.released.set()
        found = [future.result() for future in (first, *asked)]
    assert classifier.sizes == [1, 6, 1, 1, 1, 1, 1, 1]
    assert found[1] == found[2] == (1.0, "classifier_failed")
    assert found[3] == (1.0, "gate")
    assert [strength for strength, _ in (found[0], *found[4:])] == [0.0] * 4
    assert all(reason == "gate" for _, reason in (found[0], *found[4:]))
    reasons = [state.metrics.registry.get_sample_value(FAILURES, {"reason": r}) for r in ("error", "invalid")]
    assert reasons == [1, 1]


FAILURES = "scalpel_classifier_failures_total"


def test_a_call_that_stalls_gives_everybody_in_it_full_strength() -> None:
    engine, classifier = StubEngine(bundles=("toxicity", "gender_bias", "myth_mask")), Fragile()
    state = stub_state(engine=engine, classifier=classifier, classifier_timeout_seconds=0.3)
    with live(state) as server, ThreadPoolExecutor(6) as pool:

        def ask(text: str) -> None:
            body = BODY | {"messages": [{"role": "user", "content": text}]}
            assert httpx.post(f"{server.url}/v1/chat/completions", json=body, timeout=60).status_code == 200

        list(pool.map(ask, ["hello"] * 6))
        classifier.released.set()
    plans = [request.plan.strengths() for request in engine.requests]
    assert plans == [{"toxicity": 1.0, "gender_bias": 1.0}] * 6
    assert state.metrics.registry.get_sample_value(FAILURES, {"reason": "timeout"}) == 6


@pytest.mark.parametrize("stream", [False, True])
def test_a_reply_that_was_cut_off_is_not_scored(faulty: Faulty, stream: bool) -> None:
    faulty.engine.endless = True
    if stream:
        with faulty.http.stream("POST", "/v1/chat/completions", json=BODY | {"stream": True}) as response:
            next(response.iter_lines())
    else:
        with pytest.raises(httpx.ReadTimeout):
            faulty.http.post("/v1/chat/completions", json=BODY, timeout=0.3)
    wait_until(lambda: faulty.count("scalpel_requests_total", outcome="cancelled") == 1)
    faulty.engine.endless = False
    faulty.ask()
    wait_until(lambda: len(faulty.scorer.seen) == 1)

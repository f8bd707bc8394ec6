"""A full engine: requests are turned away before anything is done for them."""

from __future__ import annotations

import httpx
import openai
import pytest
from serving.live import live, stub_state, wait_until
from serving.stubs import StubClassifier, StubEngine

BODY = {"model": "scalpel-demo", "messages": [{"role": "user", "content": "hi"}]}
BUNDLES = ("toxicity", "gender_bias", "myth_mask")


@pytest.mark.parametrize("path", ["/v1/chat/completions", "/v1/completions", "/v1/responses"])
def test_nothing_is_read_or_classified_while_the_engine_is_full(path: str) -> None:
    engine, classifier = StubEngine(bundles=BUNDLES, running=3), StubClassifier()
    with live(stub_state(engine=engine, classifier=classifier, queue_size=1)) as server:
        # Not even JSON: it is not read.
        response = httpx.post(f"{server.url}{path}", content=b"[", headers={"Content-Type": "application/json"})
        counted = server.state.metrics.registry.get_sample_value("scalpel_requests_total", {"outcome": "overloaded"})
    assert response.status_code == 429
    assert response.json()["error"]["code"] == "overloaded"
    assert response.headers["retry-after"] == "1"
    assert (classifier.calls, engine.requests, counted) == (0, [], 1)


def test_moderations_do_not_need_the_engine() -> None:
    engine = StubEngine(bundles=BUNDLES, running=3)
    with live(stub_state(engine=engine, queue_size=1)) as server:
        assert httpx.post(f"{server.url}/v1/moderations", json={"input": "hi"}).status_code == 200


def test_there_is_room_again_when_a_stream_is_over() -> None:
    engine = StubEngine(bundles=BUNDLES, endless=True)
    with live(stub_state(engine=engine, queue_size=-1)) as server:
        client = openai.OpenAI(base_url=f"{server.url}/v1", api_key="none", max_retries=0)
        with client.chat.completions.create(**BODY, stream=True) as stream:
            next(iter(stream))
            with pytest.raises(openai.RateLimitError):
                client.chat.completions.create(**BODY)
        wait_until(lambda: engine.running == 0)
        engine.endless = False
        assert client.chat.completions.create(**BODY).choices[0].finish_reason == "stop"

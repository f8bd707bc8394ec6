"""Models, breakers, health and metrics."""

from __future__ import annotations

import json
import re

import httpx
import openai
import pytest
from prometheus_client.parser import text_string_to_metric_families
from serving.live import Live, live, stub_state
from serving.stubs import StubEngine


@pytest.fixture(scope="module")
def http(stub_server: Live) -> httpx.Client:
    with httpx.Client(base_url=stub_server.url, timeout=60) as client:
        yield client


def test_models_are_the_name_and_its_profiles(stub_server: Live) -> None:
    with openai.OpenAI(base_url=f"{stub_server.url}/v1", api_key="none") as client:
        assert [m.id for m in client.models.list()] == ["scalpel-demo", "scalpel-demo@off", "scalpel-demo@strict"]
        assert client.models.retrieve("scalpel-demo@off").model_extra["profile"] == "off"
        with pytest.raises(openai.NotFoundError):
            client.models.retrieve("other")


def test_breakers_say_what_is_loaded(http: httpx.Client) -> None:
    cards = {card["name"]: card for card in http.get("/v1/breakers").json()["data"]}
    assert set(cards) == {"toxicity", "gender_bias", "myth_mask"}
    toxicity = cards["toxicity"]
    assert (toxicity["kind"], toxicity["scope"], toxicity["default"]) == ("breaker", "all", "gate")
    assert toxicity["sites"] == ["layer 1 head 2"]
    assert toxicity["gate"]["p_off"] == 0.1
    assert cards["gender_bias"]["strength_max"] == 2.0
    mask = cards["myth_mask"]
    assert (mask["kind"], mask["category"], mask["gate"], mask["default"]) == ("mask", "misinformation", None, "off")
    assert http.get("/v1/breakers/toxicity").json() == toxicity
    missing = http.get("/v1/breakers/other")
    assert missing.status_code == 404
    assert "gender_bias, myth_mask, toxicity" in missing.json()["error"]["message"]


def test_health_follows_the_engine() -> None:
    engine = StubEngine(bundles=("toxicity", "gender_bias", "myth_mask"))
    with live(stub_state(engine=engine)) as server:
        assert httpx.get(f"{server.url}/health").json() == {"status": "ok"}
        engine.healthy = False
        for path, said in (("/health", {}), ("/health/ready", {"checks": []})):
            response = httpx.get(f"{server.url}{path}")
            assert (response.status_code, response.json()) == (503, {"status": "unhealthy"} | said)
    assert not engine.started


def test_metrics_parse_and_count(http: httpx.Client, stub_server: Live) -> None:
    body = {"model": "scalpel-demo", "messages": [{"role": "user", "content": "toxicity"}]}
    before = samples(http)
    http.post("/v1/chat/completions", json=body)
    http.post("/v1/chat/completions", json=body | {"model": "other"})
    http.post("/v1/chat/completions", json=body | {"scalpel": {"breakers": {"toxicity": 0.5}}})
    after = samples(http)

    def grew(name: str, **labels: str) -> float:
        key = (name, *sorted(labels.items()))
        return after[key] - before[key]

    assert grew("scalpel_requests_total", outcome="completed") == 2
    assert grew("scalpel_requests_total", outcome="refused") == 1
    assert grew("scalpel_harmful_inputs_total", category="toxicity") == 2
    assert grew("scalpel_harmful_inputs_total", category="gender_bias") == 0
    assert grew("scalpel_interventions_applied_total", bundle="toxicity", reason="gate") == 1
    assert grew("scalpel_interventions_applied_total", bundle="toxicity", reason="request") == 1
    assert grew("scalpel_policy_overrides_total", bundle="toxicity") == 0
    assert grew("scalpel_strength_count", bundle="myth_mask") == 2
    assert grew("scalpel_tokens_total", kind="completion") == 18
    assert grew("scalpel_tokens_total", kind="prompt") == 18
    assert grew("scalpel_time_to_first_token_seconds_count") == 2
    assert grew("scalpel_inter_token_seconds_count") == 4
    assert grew("scalpel_request_seconds_count") == 3
    assert grew("scalpel_classifier_seconds_count") == 2
    info = {"bundle": "toxicity", "kind": "breaker", "behaviour": "toxicity", "category": "toxicity", "scope": "all"}
    assert after[("scalpel_bundle_info", *sorted(info.items()))] == 1
    assert after[("scalpel_requests_running",)] == 0


def samples(http: httpx.Client) -> dict[tuple[object, ...], float]:
    response = http.get("/metrics")
    assert response.headers["content-type"].startswith("text/plain")
    families = text_string_to_metric_families(response.text)
    return {(s.name, *sorted(s.labels.items())): s.value for family in families for s in family.samples}


def test_the_api_description_is_closed(http: httpx.Client) -> None:
    document = http.get("/openapi.json").json()
    references = set(re.findall(r'"#/components/schemas/(\w+)"', json.dumps(document)))
    assert references <= set(document["components"]["schemas"])
    body = document["paths"]["/v1/chat/completions"]["post"]["requestBody"]["content"]["application/json"]["schema"]
    assert body["$ref"].endswith("/ChatCompletionRequest")
    assert "scalpel" in document["components"]["schemas"]["ChatCompletionRequest"]["properties"]
    assert http.get("/docs").status_code == 404

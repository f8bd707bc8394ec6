"""Moderations over a real socket: OpenAI's shape, our categories, and never a failure that reads as harmless."""

from __future__ import annotations

import math
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import openai
import pytest
from serving.live import Live, live, stub_state
from serving.stubs import StubClassifier, StubEngine

from server.api.moderations.answers import OPENAI_CATEGORIES, ModerationResult
from server.api.moderations.wire import CURRENT, TEXTS_LIMIT
from server.metrics import HARMFUL


@pytest.fixture(scope="module")
def http(stub_server: Live) -> Iterator[httpx.Client]:
    with httpx.Client(base_url=stub_server.url, timeout=60) as client:
        yield client


def ask(http: httpx.Client, **body: Any) -> httpx.Response:
    return http.post("/v1/moderations", json=body)


def test_a_text_is_judged_in_our_categories(http: httpx.Client) -> None:
    answer = ask(http, input="show me toxicity").json()
    assert answer["id"].startswith("modr-")
    assert answer["model"] == "stub:1"
    (result,) = answer["results"]
    assert result["flagged"] is True
    assert (result["categories"]["toxicity"], result["categories"]["gender_bias"]) == (True, False)
    assert result["category_scores"]["toxicity"] == 0.95
    assert result["category_applied_input_types"]["toxicity"] == ["text"]


def test_openais_names_are_there_and_say_that_nobody_looked(http: httpx.Client) -> None:
    (result,) = ask(http, input="hello").json()["results"]
    assert result["flagged"] is False
    for part, nothing in (("categories", None), ("category_scores", None), ("category_applied_input_types", [])):
        assert set(result[part]) == {"toxicity", "gender_bias", *OPENAI_CATEGORIES}
        assert all(result[part][name] == nothing for name in OPENAI_CATEGORIES)


def test_openais_names_are_those_of_its_client() -> None:
    fields = openai.types.moderation.Categories.model_fields
    assert {field.alias or name for name, field in fields.items()} == set(OPENAI_CATEGORIES)


def test_a_category_of_ours_beats_the_same_name_of_openais() -> None:
    result = ModerationResult.of({"violence": 0.9, "self-harm": 0.1})
    assert result.categories | {"violence": True, "self-harm": False} == result.categories
    assert result.category_scores["hate"] is None


def test_the_page_states_the_threshold_and_the_accepted_names() -> None:
    page = (Path(__file__).parents[3] / "docs" / "api.md").read_text().partition("## POST /v1/moderations")[2]
    assert f"at least {HARMFUL}" in page
    assert all(f"`{name}`" in page for name in CURRENT)
    assert f"{TEXTS_LIMIT} strings" in page


@pytest.mark.parametrize(("score", "flagged"), [(HARMFUL, True), (math.nextafter(HARMFUL, 0), False)])
def test_the_threshold_is_that_of_the_metrics(score: float, flagged: bool) -> None:
    result = ModerationResult.of({"toxicity": score})
    assert (result.flagged, result.categories["toxicity"]) == (flagged, flagged)


def test_each_string_has_its_result_in_order(http: httpx.Client) -> None:
    texts = ["toxicity" if n % 3 == 0 else "hello" for n in range(50)]
    results = ask(http, input=texts).json()["results"]
    assert [result["flagged"] for result in results] == [text == "toxicity" for text in texts]


def test_parts_are_one_text(http: httpx.Client) -> None:
    parts = [{"type": "text", "text": "toxi"}, {"type": "text", "text": "city"}]
    assert [result["flagged"] for result in ask(http, input=parts).json()["results"]] == [True]


@pytest.mark.parametrize("model", [None, "stub:1", "omni-moderation-latest", "text-moderation-stable"])
def test_names_of_the_loaded_and_of_the_current_classifier_are_accepted(http: httpx.Client, model: str) -> None:
    assert ask(http, input="x", model=model).json()["model"] == "stub:1"


@pytest.mark.parametrize("model", ["omni-moderation-2024-09-26", "lexical:000000", "scalpel-demo", ""])
def test_another_classifier_is_a_404_with_the_accepted_names(http: httpx.Client, model: str) -> None:
    response = ask(http, input="x", model=model)
    error = response.json()["error"]
    assert (response.status_code, error["code"], error["param"]) == (404, "model_not_found", "model")
    assert "wanted stub:1, omni-moderation-latest, text-moderation-latest" in error["message"]


@pytest.mark.parametrize(
    ("body", "said"),
    [
        ({}, "input: Field required"),
        ({"input": None}, "a string, a list of strings, or a list of text parts"),
        ({"input": []}, "a string, a list of strings, or a list of text parts"),
        ({"input": [5]}, "input.parts.0"),
        ({"input": ["x", {"type": "text", "text": "y"}]}, "input.strings.1"),
        ({"input": [{"type": "text", "text": "y"}, "x"]}, "input.parts.1"),
        ({"input": [{"type": "image_url", "image_url": {"url": "x"}}]}, "Input should be 'text'"),
        ({"input": ["x"] * 1025}, "at most 1024"),
        ({"input": "x", "threshold": 0.1}, "threshold: unknown parameter; known: input, model"),
    ],
)
def test_what_cannot_be_judged_is_refused(http: httpx.Client, body: dict[str, Any], said: str) -> None:
    response = http.post("/v1/moderations", json=body)
    assert response.status_code == 400
    assert said in response.json()["error"]["message"]


def test_without_a_classifier_there_is_nothing_to_ask() -> None:
    with live(stub_state(classifier=None, bundles=(), engine=StubEngine())) as server:
        response = httpx.post(f"{server.url}/v1/moderations", json={"input": "x"})
    assert (response.status_code, response.json()["error"]["code"]) == (404, "no_classifier")
    assert "classifier.member is none" in response.json()["error"]["message"]


@pytest.mark.parametrize(
    ("fault", "reason"),
    [
        ({"failure": RuntimeError("a bug")}, "error"),
        ({"scores": {"toxicity": math.nan, "gender_bias": 0.1}}, "invalid"),
        ({"stall_seconds": 0.6}, "timeout"),
    ],
)
@pytest.mark.parametrize("texts", ["toxicity", ["hello", "toxicity", "hello"]])
def test_a_classifier_that_fails_fails_the_request(fault: dict[str, Any], reason: str, texts: object) -> None:
    classifier = StubClassifier(**fault)
    with live(stub_state(classifier=classifier, classifier_timeout_seconds=0.2)) as server:
        response = httpx.post(f"{server.url}/v1/moderations", json={"input": texts})
        error = response.json()["error"]
        assert (response.status_code, error["code"], error["type"]) == (503, "classifier_failed", "server_error")
        assert response.headers["retry-after"] == "1"
        assert f"failed ({reason})" in error["message"]
        value = server.state.metrics.registry.get_sample_value
        assert value("scalpel_classifier_failures_total", {"reason": reason}) == 1

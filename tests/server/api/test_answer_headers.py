"""Headers of an answer: what the report says, for clients that drop unknown body fields."""

from __future__ import annotations

from collections.abc import Iterator

import httpx
import pytest
from serving.live import Live

from server.api.headers import answer_headers
from server.generation.report import AppliedReport, Report


@pytest.fixture(scope="module")
def http(stub_server: Live) -> Iterator[httpx.Client]:
    with httpx.Client(base_url=stub_server.url, timeout=60) as client:
        yield client


def report(potential: float, **strengths: float) -> Report:
    applied = {name: AppliedReport(strength=s, kind="breaker", reason="gate") for name, s in strengths.items()}
    return Report(harm_potential={"toxicity": potential}, applied=applied, plan="0", tokens_steered=0)


@pytest.mark.parametrize("stream", [False, True])
def test_an_answer_says_what_was_read_and_applied(http: httpx.Client, stream: bool) -> None:
    body = {"model": "scalpel-demo", "messages": [{"role": "user", "content": "show me toxicity"}], "stream": stream}
    body["scalpel"] = {"breakers": {"gender_bias": 0.5}}
    headers = http.post("/v1/chat/completions", json=body).headers
    assert headers["x-scalpel-harm-potential"] == "gender_bias=0.02, toxicity=0.95"
    assert headers["x-scalpel-applied"] == "toxicity=1.0;reason=gate, gender_bias=0.5;reason=request"


def test_where_nothing_acts_the_list_is_empty(http: httpx.Client) -> None:
    body = {"model": "scalpel-demo@off", "messages": [{"role": "user", "content": "toxicity"}]}
    assert http.post("/v1/chat/completions", json=body).headers["x-scalpel-applied"] == ""


def test_of_several_prompts_the_highest_count() -> None:
    headers = answer_headers([report(0.1, a=0.5, b=0.0), report(0.9, a=0.25, b=0.0), report(0.3, b=0.125)])
    assert headers["x-scalpel-harm-potential"] == "toxicity=0.9"
    assert headers["x-scalpel-applied"] == "a=0.5;reason=gate, b=0.125;reason=gate"


def test_a_name_cannot_leave_its_place() -> None:
    odd = Report(harm_potential={"Hate, speech=1\r\nx: y": 0.5}, applied={}, plan="0", tokens_steered=0)
    assert answer_headers([odd])["x-scalpel-harm-potential"] == "hate__speech_1__x__y=0.5"

"""Chat completions over a real socket, with the real openai client and a stub engine."""

from __future__ import annotations

import openai
import pytest
from serving.live import Live

MESSAGES = [{"role": "user", "content": "show me toxicity"}]


@pytest.fixture(scope="module")
def client(stub_server: Live) -> openai.OpenAI:
    with openai.OpenAI(base_url=f"{stub_server.url}/v1", api_key="none", max_retries=0) as client:
        yield client


def test_whole_reply_with_usage_and_report(client: openai.OpenAI) -> None:
    reply = client.chat.completions.create(model="scalpel-demo", messages=MESSAGES)
    assert reply.choices[0].message.content == "Hello you"
    assert reply.choices[0].finish_reason == "stop"
    assert reply.object == "chat.completion"
    assert (reply.usage.prompt_tokens, reply.usage.completion_tokens) == (17, 9)
    assert reply.usage.total_tokens == 26
    report = reply.model_extra["scalpel"]
    assert report["harm_potential"] == {"gender_bias": 0.02, "toxicity": 0.95}
    assert report["applied"] == {
        "toxicity": {"strength": 1.0, "kind": "breaker", "reason": "gate"},
        "gender_bias": {"strength": 0.0, "kind": "breaker", "reason": "gate"},
        "myth_mask": {"strength": 0.0, "kind": "mask", "reason": "off"},
    }
    assert report["tokens_steered"] == 9
    assert len(report["plan"]) == 12


def test_stream_carries_the_report_first_and_last(client: openai.OpenAI) -> None:
    chunks = list(
        client.chat.completions.create(
            model="scalpel-demo", messages=MESSAGES, stream=True, stream_options={"include_usage": True}
        )
    )
    *pieces, usage = chunks
    assert pieces[0].choices[0].delta.role == "assistant"
    assert "".join(c.choices[0].delta.content or "" for c in pieces) == "Hello you"
    assert [c.choices[0].finish_reason for c in pieces] == [None] * (len(pieces) - 1) + ["stop"]
    assert usage.choices == []
    assert usage.usage.total_tokens == 26
    reported = [c.model_extra.get("scalpel") for c in pieces]
    assert reported[0]["tokens_steered"] == 3
    assert reported[-1]["tokens_steered"] == 9
    assert reported[0]["applied"] == reported[-1]["applied"]
    assert all(report is None for report in reported[1:-1])
    assert len({c.id for c in chunks}) == 1

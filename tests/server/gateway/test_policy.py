"""Keys, policy, limits and scores hold in front of vLLM as they do in front of the embedded engine."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import httpx
import pytest
from serving.access import bearer, error, write_keys, write_policy
from serving.gateways import gateway, policed
from serving.live import wait_until
from serving.scripted_upstream import Received, ScriptedUpstream, Wire
from serving.stubs import StubClassifier, StubScorer

from server.access.access import Access
from server.access.key_store import KeyStore
from server.generation.limits import GenerationLimits
from server.policy.loading import load_policy
from server.reloading import prepare_reloads

CHATS = "/v1/chat/completions"


def ask(content: object = "hello", **fields: Any) -> dict[str, Any]:
    return {"model": "tiny", "messages": [{"role": "user", "content": content}], **fields}


def test_keys_floors_and_reloads(upstream: ScriptedUpstream, tmp_path: Path) -> None:
    keys, policy = tmp_path / "keys.yaml", tmp_path / "policy.yaml"
    made = write_keys(keys)
    write_policy(policy, bundles={"toxicity": {"floor": 0.25}})
    parts = {"access": Access(keys=KeyStore(keys)), "policy": load_policy(policy), "policy_file": policy}
    off = {"scalpel": {"breakers": {"toxicity": False}}}
    with (
        gateway(upstream.url, upstream.bundles, **parts) as live,
        httpx.Client(base_url=live.url, timeout=20) as http,
    ):
        assert error(http.post(CHATS, json=ask()), 401)["code"] == "invalid_api_key"
        front = bearer(made["front"])
        assert http.post(CHATS, json=ask(), headers=front).json()["scalpel"]["applied"]["toxicity"] == {
            "strength": 0.25,
            "kind": "breaker",
            "reason": "floor",
        }
        assert error(http.post(CHATS, json=ask() | off, headers=front), 403)["code"] == "override_forbidden"
        prepare_reloads(live.state)
        write_policy(policy, bundles={"toxicity": {"floor": 0.5}})
        live.loop.call_soon_threadsafe(lambda: live.loop.create_task(live.state.lifecycle.reload()))
        wait_until(
            lambda: (
                http.post(CHATS, json=ask(), headers=front).json()["scalpel"]["applied"]["toxicity"]["strength"]
                == 0.5
            )
        )
        assert http.get("/v1/breakers", headers=front).json()["data"][0]["name"] == "toxicity"
    (first, *_) = upstream.asked(CHATS)
    assert first.plan is not None
    assert first.plan["strengths"] == {"toxicity": 0.25}
    assert "authorization" not in first.headers


def test_an_image_runs_at_full_strength(upstream: ScriptedUpstream, http: httpx.Client) -> None:
    image = [{"type": "text", "text": "hi"}, {"type": "image_url", "image_url": {"url": "http://x"}}]
    report = http.post(CHATS, json=ask(image)).json()["scalpel"]
    assert report["harm_potential"] == {}
    assert report["applied"]["toxicity"] == {"strength": 1.0, "kind": "breaker", "reason": "classifier_failed"}
    (received,) = upstream.asked(CHATS)
    assert received.json()["messages"][0]["content"] == image
    assert 'scalpel_classifier_failures_total{reason="no_text"} 1.0' in http.get("/metrics").text


def test_a_classifier_that_fails_means_full_strength(upstream: ScriptedUpstream) -> None:
    with policed(upstream, classifier=StubClassifier(failure=ValueError("broken"))) as http:
        assert http.post(CHATS, json=ask()).json()["scalpel"]["applied"]["toxicity"]["strength"] == 1.0


@pytest.mark.parametrize("stream", [True, False])
def test_replies_are_scored(upstream: ScriptedUpstream, stream: bool) -> None:
    async def script(_request: Received, wire: Wire) -> None:
        await wire.begin()
        for text in ("po", "ta", "to"):
            await wire.send(b'data: {"choices":[{"index":1,"delta":{"content":"%s"}}]}\n\n' % text.encode())
        await wire.send(b"data: [DONE]\n\n")
        await wire.end()

    if stream:
        upstream.scripts[CHATS] = script
    scorer = StubScorer()
    with policed(upstream, scorer=scorer) as http:
        http.post(CHATS, json=ask("toxicity", stream=stream))
        wait_until(lambda: scorer.seen)
        text = http.get("/metrics").text
    assert [one.reply for one in scorer.seen] == ["potato"]
    assert scorer.seen[0].messages == ({"role": "user", "content": "toxicity"},)
    assert 'scalpel_harmful_outputs_total{applied="true",category="toxicity",input="harmful"} 1.0' in text


@pytest.mark.parametrize("field", ["max_tokens", "max_completion_tokens"])
@pytest.mark.parametrize("value", [11, "11", 10.5, True])
def test_more_tokens_than_an_operator_lets_it_have(upstream: ScriptedUpstream, field: str, value: object) -> None:
    with policed(upstream, limits=GenerationLimits(max_tokens=10)) as http:
        found = error(http.post(CHATS, json=ask(**{field: value})), 400)
    assert found["param"] == field
    assert "wanted a whole number of at most 10" in found["message"]


def test_a_request_that_names_no_length_gets_the_limit(upstream: ScriptedUpstream) -> None:
    with policed(upstream, limits=GenerationLimits(max_tokens=10)) as http:
        for body in (ask(), ask(max_tokens=3), {"model": "tiny", "prompt": "a"}):
            path = CHATS if "messages" in body else "/v1/completions"
            assert http.post(path, json=body).status_code == 200
    chats, texts = upstream.asked(CHATS), upstream.asked("/v1/completions")
    assert [one.json().get("max_completion_tokens") for one in chats] == [10, None]
    assert [one.json().get("max_tokens") for one in [*chats, *texts]] == [None, 3, 10]


def test_moderations_need_no_upstream(upstream: ScriptedUpstream, http: httpx.Client) -> None:
    answer = http.post("/v1/moderations", json={"input": "toxicity"})
    assert answer.status_code == 200
    assert answer.json()["results"][0]["flagged"]


def test_each_reply_is_scored_with_its_own_prompt(upstream: ScriptedUpstream) -> None:
    async def script(_request: Received, wire: Wire) -> None:
        await wire.json({"choices": [{"index": i, "text": f"reply {i}"} for i in range(4)]})

    upstream.scripts["/v1/completions"] = script
    scorer = StubScorer()
    body = {"model": "tiny", "prompt": ["first", "second"], "n": 2}
    with policed(upstream, scorer=scorer) as http:
        assert http.post("/v1/completions", json=body | {"echo": True}).status_code == 200
        assert http.post("/v1/completions", json=body).status_code == 200
        wait_until(lambda: len(scorer.seen) == 4)
    paired = [(one.messages[0]["content"], one.reply) for one in scorer.seen]
    assert paired == [("first", "reply 0"), ("first", "reply 1"), ("second", "reply 2"), ("second", "reply 3")]

"""What vLLM knows and the gateway does not goes there and back as it came; what is ours does not."""

from __future__ import annotations

import json
from typing import Any

import httpx
import pytest
from serving.gateways import LiveGateway, gateway
from serving.scripted_upstream import CHAT, MODEL, Received, ScriptedUpstream, Wire

CHATS, TEXTS = "/v1/chat/completions", "/v1/completions"
ODD: dict[str, Any] = {
    "temperature": 0.1,
    "seed": 2**62,
    "logit_bias": {"5": -1e-7},
    "structured_outputs": {"regex": "a\u2028|b"},
    "tools": [{"type": "function", "function": {"name": "f", "parameters": {"type": "object"}}}],
    "nobody_knows": [None, {"deep": [[1, 2.5]]}, "\u00e9"],
    "vllm_xargs": {"other": ["x", 1]},
    "user": "u",
    "n": 2,
}


def ask(text: str = "hello", **fields: Any) -> dict[str, Any]:
    return {"model": MODEL, "messages": [{"role": "user", "content": text}], **fields}


def test_a_body_goes_on_unchanged_but_for_the_plan(http: httpx.Client, upstream: ScriptedUpstream) -> None:
    body = ask("toxicity", **ODD, scalpel={"breakers": {"gender_bias": 0.5}})
    assert http.post(CHATS, json=body).status_code == 200
    (received,) = upstream.asked(CHATS)
    sent = received.json()
    plan = json.loads(sent["vllm_xargs"].pop("scalpel"))
    del body["scalpel"]
    assert sent == body
    assert plan["strengths"] == {"toxicity": 1.0, "gender_bias": 0.5}
    assert plan["bank"] == plan["bank"].lower()
    assert "generation_start" not in plan


def test_without_a_strength_a_body_goes_on_as_it_came(http: httpx.Client, upstream: ScriptedUpstream) -> None:
    body = ask(**ODD)
    assert http.post(CHATS, json=body).status_code == 200
    plain = {"model": MODEL, "messages": body["messages"]}
    assert http.post(CHATS, json=plain).status_code == 200
    assert [one.json() for one in upstream.asked(CHATS)] == [body, plain]


def test_a_whole_reply_comes_back_byte_for_byte_with_the_report(
    http: httpx.Client, upstream: ScriptedUpstream
) -> None:
    body = b'{"id" : "x",  "odd":1e5, "choices": [], "text": "}\\u00e9"}\n'

    async def reply(_request: Received, wire: Wire) -> None:
        await wire.whole(200, body, **{"x-vllm-says": "hi", "Set-Cookie": "no=1"})

    upstream.scripts[CHATS] = reply
    answer = http.post(CHATS, json=ask("toxicity"))
    begin = body.rstrip()[:-1]
    assert answer.content.startswith(begin)
    assert answer.content.endswith(b"}\n")
    report = json.loads(answer.content)["scalpel"]
    assert report["applied"]["toxicity"] == {"strength": 1.0, "kind": "breaker", "reason": "gate"}
    assert report["harm_potential"] == {"gender_bias": 0.02, "toxicity": 0.95}
    assert report["tokens_steered"] is None
    assert answer.headers["x-vllm-says"] == "hi"
    assert "set-cookie" not in answer.headers
    assert "toxicity=1.0;reason=gate" in answer.headers["x-scalpel-applied"]


def test_refusals_of_vllm_come_back_in_its_own_words(http: httpx.Client, upstream: ScriptedUpstream) -> None:
    words = b'{"error": {"message": "no such tool", "type": "BadRequestError", "param": null, "code": 400}}'

    async def refuse(_request: Received, wire: Wire) -> None:
        await wire.whole(400, words)

    upstream.scripts[CHATS] = refuse
    for stream in (False, True):
        answer = http.post(CHATS, json=ask(stream=stream))
        assert (answer.status_code, answer.content) == (400, words)
    assert 'scalpel_requests_total{outcome="refused"} 2.0' in http.get("/metrics").text


def test_a_client_cannot_send_a_plan_itself(http: httpx.Client, upstream: ScriptedUpstream) -> None:
    answer = http.post(CHATS, json=ask(vllm_xargs={"scalpel": '{"strengths": {}}'}))
    assert answer.status_code == 400
    assert "plans are made here" in answer.json()["error"]["message"]
    assert upstream.asked(CHATS) == []


def test_profiles_in_the_model_name_are_ours(http: httpx.Client, upstream: ScriptedUpstream) -> None:
    assert http.post(CHATS, json=ask("toxicity") | {"model": f"{MODEL}@off"}).status_code == 200
    assert http.post(CHATS, json=ask("hi") | {"model": f"{MODEL}@strict"}).status_code == 200
    off, strict = upstream.asked(CHATS)
    assert (off.json()["model"], strict.json()["model"]) == (MODEL, MODEL)
    assert off.plan is None
    assert strict.plan is not None
    assert set(strict.plan["strengths"]) == {"toxicity", "gender_bias"}
    answer = http.post(CHATS, json=ask() | {"model": "an-adapter"})
    assert (answer.status_code, answer.json()["error"]["code"]) == (404, "model_not_found")


def test_the_models_are_vllms_under_our_names(http: httpx.Client) -> None:
    cards = http.get("/v1/models").json()["data"]
    assert [card["id"] for card in cards] == [MODEL, f"{MODEL}@off", f"{MODEL}@strict"]
    assert all(card["max_model_len"] == 64 for card in cards)
    assert http.get(f"/v1/models/{MODEL}@off").json()["profile"] == "off"
    assert http.get("/v1/models/other").status_code == 404


def test_what_cannot_be_steered_is_refused_and_tokens_are_passed_on(
    http: httpx.Client, upstream: ScriptedUpstream
) -> None:
    for method, path in (("POST", "/v1/responses"), ("POST", "/v1/breakers"), ("GET", "/v1/chat/completions")):
        answer = http.request(method, path, json={})
        assert (answer.status_code, answer.json()["error"]["code"]) == (404, "endpoint_not_served")
        assert "/v1/completions" in answer.json()["error"]["message"]
    assert http.post("/detokenize", json={"model": f"{MODEL}@off", "tokens": [104, 105]}).json() == {"prompt": "hi"}
    (received,) = upstream.asked("/detokenize")
    assert received.json()["model"] == MODEL


@pytest.mark.parametrize("start", [3, [3], [3, 3]])
def test_one_position_for_all_prompts(http: httpx.Client, upstream: ScriptedUpstream, start: object) -> None:
    body = {"model": MODEL, "prompt": ["toxicity", "b"], "scalpel": {"generation_start": start}}
    assert http.post(TEXTS, json=body).status_code == 200
    (received,) = upstream.asked(TEXTS)
    assert received.plan is not None
    assert received.plan["generation_start"] == 3


def test_different_positions_are_refused(http: httpx.Client) -> None:
    answer = http.post(TEXTS, json={"model": MODEL, "prompt": ["a", "b"], "scalpel": {"generation_start": [1, 2]}})
    assert answer.status_code == 400
    assert "2 different positions" in answer.json()["error"]["message"]


def test_a_body_that_is_not_json_is_ours_to_refuse(http: httpx.Client, upstream: ScriptedUpstream) -> None:
    for content in (b"{", b'{"messages": [], "x": NaN}', b"[" * 5000):
        answer = http.post(CHATS, content=content, headers={"Content-Type": "application/json"})
        assert answer.status_code == 400, content[:40]
    assert http.post(CHATS, content=b"{}", headers={"Content-Type": "text/plain"}).status_code == 415
    assert upstream.asked(CHATS) == []


def test_the_upstreams_key_is_the_gateways(upstream: ScriptedUpstream) -> None:
    with (
        gateway(upstream.url, upstream.bundles, address={"api_key": "theirs"}) as live,
        httpx.Client(base_url=live.url, headers={"Authorization": "Bearer ours"}) as client,
    ):
        assert client.post(CHATS, json=ask()).status_code == 200
    assert {one.headers["authorization"] for one in upstream.received} == {"Bearer theirs"}


def test_a_key_that_the_upstream_does_not_take_is_not_the_clients_fault(
    http: httpx.Client, upstream: ScriptedUpstream
) -> None:
    async def refuse(_request: Received, wire: Wire) -> None:
        await wire.json({"error": "Unauthorized"}, 401)

    upstream.scripts[CHATS] = refuse
    answer = http.post(CHATS, json=ask())
    assert (answer.status_code, answer.json()["error"]["code"]) == (502, "upstream_failed")


def test_tokens_are_counted_as_vllm_says(http: httpx.Client, live: LiveGateway) -> None:
    assert http.post(CHATS, json=ask()).json()["usage"] == CHAT["usage"]
    text = http.get("/metrics").text
    assert 'scalpel_tokens_total{kind="prompt"} 7.0' in text
    assert 'scalpel_tokens_total{kind="completion"} 3.0' in text
    assert live.state.accounts.running == 0

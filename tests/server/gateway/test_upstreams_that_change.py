"""Nothing is served that is not proved: at the start, and after the upstream was away or lost its plugin."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from typing import Any

import httpx
import pytest
from serving.gateways import LiveGateway, address_of, canaried, gateway, other_bundles, proved
from serving.live import wait_until
from serving.scripted_upstream import Received, ScriptedUpstream, Wire, running

from server.gateway.errors import UnprovenError, UpstreamUnavailableError
from server.gateway.proof import WantedUpstream
from server.metrics import Metrics

CHATS = "/v1/chat/completions"
ASK: dict[str, Any] = {"model": "tiny", "messages": [{"role": "user", "content": "toxicity"}]}


def no_plugin(upstream: ScriptedUpstream) -> None:
    upstream.plugin = False


def other_bank(upstream: ScriptedUpstream) -> None:
    upstream.bundles = other_bundles()


def idle(upstream: ScriptedUpstream) -> None:
    upstream.acts = False


def no_model(upstream: ScriptedUpstream) -> None:
    upstream.cards = []


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (no_plugin, "it has not got SCALPEL's plugin and would serve unsteered"),
        (other_bank, r"has bank [0-9a-f]{12}; wanted [0-9a-f]{12}"),
        (idle, r"canary:toxicity: the change has a cosine of 0\.0000 with the declared one"),
        (no_model, "serves no model; wanted one at least"),
    ],
)
def test_an_upstream_that_would_not_do_what_is_reported_is_refused(
    upstream: ScriptedUpstream, change: Callable[[ScriptedUpstream], None], words: str
) -> None:
    bundles = upstream.bundles
    change(upstream)
    with pytest.raises(UnprovenError, match=words):
        proved(address_of(upstream.url), WantedUpstream(bundles=bundles))


def test_the_named_model_has_to_be_there(upstream: ScriptedUpstream) -> None:
    with pytest.raises(UnprovenError, match="serves tiny; wanted large"):
        proved(address_of(upstream.url), WantedUpstream(bundles=upstream.bundles, model="large"))


def test_a_bundle_of_another_model_has_to_act_at_least(upstream: ScriptedUpstream) -> None:
    accepted = frozenset(bundle.name for bundle in upstream.bundles)
    wanted = WantedUpstream(bundles=upstream.bundles, accepted=accepted)
    assert [result.verdict for result in proved(address_of(upstream.url), wanted).results[1:]] == ["accepted"] * 3
    upstream.acts = False
    with pytest.raises(UnprovenError, match="canary:toxicity: changes by 0"):
        proved(address_of(upstream.url), wanted)


def test_nobody_there() -> None:
    with running(ScriptedUpstream(bundles=())) as there:
        url = there.url
    with pytest.raises(UpstreamUnavailableError, match="does not answer"):
        proved(address_of(url), WantedUpstream(bundles=()))


def test_another_kind_of_server(upstream: ScriptedUpstream) -> None:
    async def page(_request: Received, wire: Wire) -> None:
        await wire.whole(200, b"<html>", "text/html")

    upstream.scripts["/v1/models"] = page
    with pytest.raises(UnprovenError, match=r"answers 200: '<html>'; wanted 200 and a JSON object"):
        proved(address_of(upstream.url), WantedUpstream(bundles=upstream.bundles))


def ready(live: LiveGateway) -> httpx.Response:
    return httpx.get(f"{live.url}/health/ready", timeout=20)


def test_an_upstream_that_goes_and_comes_back() -> None:
    upstream = ScriptedUpstream(bundles=canaried())
    with running(upstream):
        going = gateway(upstream.url, upstream.bundles)
        live = going.__enter__()
        assert (ready(live).status_code, ready(live).json()) == (200, {"status": "ok", "reason": ""})
    try:
        wait_until(lambda: ready(live).status_code == 503)
        assert ready(live).json()["status"] == "unhealthy"
        assert "takes no" in ready(live).json()["reason"] or "does not answer" in ready(live).json()["reason"]
        assert httpx.get(f"{live.url}/health").status_code == 200
        answer = httpx.post(f"{live.url}{CHATS}", json=ASK)
        assert (answer.status_code, answer.json()["error"]["code"]) == (503, "upstream_unavailable")
        assert answer.headers["retry-after"] == "1"
        assert "scalpel_upstream_up 0.0" in httpx.get(f"{live.url}/metrics").text
        with running(upstream):
            wait_until(lambda: ready(live).status_code == 200)
            assert httpx.post(f"{live.url}{CHATS}", json=ASK).status_code == 200
    finally:
        going.__exit__(None, None, None)


def test_one_that_comes_back_without_the_plugin_gets_nothing() -> None:
    upstream = ScriptedUpstream(bundles=canaried())
    with running(upstream):
        going = gateway(upstream.url, upstream.bundles)
        live = going.__enter__()
    try:
        wait_until(lambda: ready(live).status_code == 503)
        upstream.plugin = False
        with running(upstream):
            wait_until(lambda: ready(live).json()["status"] == "failed")
            assert "has not got SCALPEL's plugin" in ready(live).json()["reason"]
            answer = httpx.post(f"{live.url}{CHATS}", json=ASK)
            assert (answer.status_code, answer.json()["error"]["code"]) == (503, "upstream_unproven")
            assert upstream.asked(CHATS) == []
            upstream.plugin = True
            wait_until(lambda: ready(live).status_code == 200)
    finally:
        going.__exit__(None, None, None)


def test_one_that_loses_its_plugin_while_it_is_there_is_found_out(upstream: ScriptedUpstream) -> None:
    with gateway(upstream.url, upstream.bundles, check_seconds=0.01) as live:
        upstream.plugin = False
        wait_until(lambda: ready(live).json()["status"] == "failed")


def test_a_plan_that_meets_another_bank_is_no_mistake_of_the_clients(
    live: LiveGateway, upstream: ScriptedUpstream
) -> None:
    upstream.bundles = other_bundles()
    answer = httpx.post(f"{live.url}{CHATS}", json=ASK)
    assert (answer.status_code, answer.json()["error"]["code"]) == (503, "upstream_changed")
    wait_until(lambda: ready(live).json()["status"] == "failed")


def test_an_unhealthy_engine_is_not_ready(live: LiveGateway, upstream: ScriptedUpstream) -> None:
    upstream.health = 503
    wait_until(lambda: ready(live).json()["status"] == "unhealthy")
    assert "its /health answers 503" in ready(live).json()["reason"]


def test_a_request_that_vllm_cannot_cope_with_costs_others_nothing(
    live: LiveGateway, upstream: ScriptedUpstream
) -> None:
    async def fail(_request: Received, wire: Wire) -> None:
        await wire.json({"error": {"message": "oops"}}, 500)

    async def die(_request: Received, wire: Wire) -> None:
        wire.die()

    for script, status in ((fail, 500), (die, 502)):
        upstream.scripts[CHATS] = script
        answer = httpx.post(f"{live.url}{CHATS}", json=ASK)
        assert answer.status_code == status
        assert ready(live).status_code == 200
    assert answer.json()["error"]["code"] == "upstream_failed"
    upstream.scripts.clear()
    assert httpx.post(f"{live.url}{CHATS}", json=ASK).status_code == 200


def test_no_more_requests_than_may_run(upstream: ScriptedUpstream) -> None:
    begun, go = threading.Event(), threading.Event()

    async def wait(_request: Received, wire: Wire) -> None:
        begun.set()
        await asyncio.to_thread(go.wait, 10)
        await wire.json({"choices": []})

    upstream.scripts[CHATS] = wait
    with gateway(upstream.url, upstream.bundles, address={"requests": 1}) as live:
        found: list[httpx.Response] = []
        first = threading.Thread(target=lambda: found.append(httpx.post(f"{live.url}{CHATS}", json=ASK, timeout=20)))
        first.start()
        assert begun.wait(10)
        answer = httpx.post(f"{live.url}{CHATS}", json=ASK)
        assert (answer.status_code, answer.json()["error"]["code"]) == (429, "overloaded")
        # A full pool holds up no question about the upstream.
        assert "vllm:num_requests_running" in httpx.get(f"{live.url}/metrics").text
        go.set()
        first.join(10)
    assert found[0].status_code == 200


def test_vllms_metrics_stand_beside_ours(live: LiveGateway, upstream: ScriptedUpstream) -> None:
    text = httpx.get(f"{live.url}/metrics").text
    assert 'vllm:num_requests_running{engine="0"} 3.0\n' in text
    assert "scalpel_upstream_up 1.0" in text
    assert 'scalpel_selftest_ok{check="plugin"} 1.0' in text
    assert 'scalpel_selftest_ok{check="canary:toxicity"} 1.0' in text


@pytest.mark.parametrize(
    ("status", "text", "there"),
    [
        (500, "vllm:a 1\n", False),
        (200, "<html>\n", False),
        (200, "vllm:a 1\nscalpel_upstream_up 7\n# TYPE scalpel_x counter\n# EOF\n", True),
    ],
)
def test_metrics_that_fail_or_clash(
    live: LiveGateway, upstream: ScriptedUpstream, status: int, text: str, there: bool
) -> None:
    async def script(_request: Received, wire: Wire) -> None:
        await wire.whole(status, text.encode(), "text/plain")

    upstream.scripts["/metrics"] = script
    found = httpx.get(f"{live.url}/metrics").text
    assert ("vllm:a 1\n" in found) == there
    assert "scalpel_upstream_up 1.0" in found
    assert "scalpel_upstream_up 7" not in found
    assert "# EOF" not in found
    counted = httpx.get(f"{live.url}/metrics").text
    assert f"scalpel_upstream_scrape_failures_total {0.0 if there else 1.0}" in counted or not there


def test_names_of_ours_are_ours_only() -> None:
    """What the merge relies on: nothing but `scalpel_` is in the gateway's own registry."""
    assert all(family.name.startswith("scalpel_") for family in Metrics([], [], []).registry.collect())

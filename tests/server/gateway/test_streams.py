"""Streams go through as they come, and one that is not whole never looks whole."""

from __future__ import annotations

import asyncio
import json
import threading
import time
from collections.abc import Callable

import httpx
import pytest
from serving.gateways import LiveGateway, policed
from serving.live import wait_until
from serving.scripted_upstream import Received, ScriptedUpstream, Wire

from server.errors import DrainingError
from server.generation.limits import GenerationLimits

CHATS = "/v1/chat/completions"
ASK = {"model": "tiny", "messages": [{"role": "user", "content": "toxicity"}], "stream": True}
EVENTS = [
    b'data: {"id":"c","choices":[{"index":0,"delta":{"role":"assistant","content":""}}]}\n\n',
    b": keep-alive\n\n",
    b'data: {"id":"c","odd": 1.50,"choices":[{"index":0,"delta":{"content":"\\"usage\\": pot"}}]}\n\n',
    b'data: {"id":"c","choices":[{"index":0,"delta":{"content":"ato"},"finish_reason":"stop"}]}\n\n',
]
USAGE = b'data: {"id":"c","choices":[],"usage":{"prompt_tokens":7,"completion_tokens":5}}\n\n'
DONE = b"data: [DONE]\n\n"


def streaming(pieces: list[bytes]) -> Callable[[Received, Wire], object]:
    async def script(_request: Received, wire: Wire) -> None:
        await wire.begin()
        for piece in pieces:
            await wire.send(piece)
        await wire.end()

    return script


def body_of(http: httpx.Client, **fields: object) -> bytes:
    with http.stream("POST", CHATS, json=ASK | fields) as response:
        assert response.status_code == 200
        assert response.headers["content-type"].startswith("text/event-stream")
        return response.read()


def test_every_event_is_the_upstreams_and_the_first_has_the_report(
    http: httpx.Client, upstream: ScriptedUpstream
) -> None:
    upstream.scripts[CHATS] = streaming([*EVENTS, USAGE, DONE])
    found = body_of(http)
    first, rest = found.split(b"\n\n", 1)
    assert rest == b"".join([*EVENTS[1:], USAGE, DONE])
    report = json.loads(first.removeprefix(b"data: ")).pop("scalpel")
    assert first.startswith(EVENTS[0].rstrip()[:-1])
    assert report["applied"]["toxicity"]["strength"] == 1.0
    assert 'scalpel_requests_total{outcome="completed"} 1.0' in http.get("/metrics").text


@pytest.mark.parametrize("size", [1, 7, 100000])
def test_events_that_come_in_pieces(http: httpx.Client, upstream: ScriptedUpstream, size: int) -> None:
    whole = b"".join([*EVENTS, DONE])
    upstream.scripts[CHATS] = streaming([whole[i : i + size] for i in range(0, len(whole), size)])
    assert body_of(http).split(b"\n\n", 1)[1] == b"".join([*EVENTS[1:], DONE])


def test_nothing_is_held_back(http: httpx.Client, upstream: ScriptedUpstream) -> None:
    """The upstream sends the next event only once the client has the one before."""
    seen = threading.Semaphore(0)

    async def script(_request: Received, wire: Wire) -> None:
        await wire.begin()
        for piece in [*EVENTS, DONE]:
            await wire.send(piece)
            while not seen.acquire(blocking=False):
                await asyncio.sleep(0.002)
        await wire.end()

    upstream.scripts[CHATS] = script
    found = 0
    with http.stream("POST", CHATS, json=ASK) as response:
        for piece in response.iter_raw():
            found += piece.count(b"\n\n")
            for _ in range(piece.count(b"\n\n")):
                seen.release()
    assert found == len(EVENTS) + 1


@pytest.mark.parametrize("way", ["killed", "cut", "ended"])
def test_an_upstream_that_dies_in_mid_stream_gives_every_client_an_error_event(
    http: httpx.Client, upstream: ScriptedUpstream, way: str
) -> None:
    begun, die = threading.Barrier(4, timeout=10), threading.Event()
    died: list[float] = []

    async def script(_request: Received, wire: Wire) -> None:
        await wire.begin()
        await wire.send(EVENTS[0] + EVENTS[2][:20])
        await asyncio.to_thread(die.wait, 10)
        died.append(time.monotonic())
        if way == "killed":
            wire.die()
        elif way == "cut":
            wire.writer.close()
        else:
            await wire.end()

    upstream.scripts[CHATS] = script
    found: list[tuple[float, list[bytes]]] = []

    def client() -> None:
        with http.stream("POST", CHATS, json=ASK) as response:
            pieces = response.iter_raw()
            first = next(pieces)
            begun.wait()
            events = (first + b"".join(pieces)).strip().split(b"\n\n")
            found.append((time.monotonic(), events))

    threads = [threading.Thread(target=client) for _ in range(3)]
    for thread in threads:
        thread.start()
    begun.wait()
    die.set()
    for thread in threads:
        thread.join(10)
    assert len(found) == 3
    for at, events in found:
        assert at - min(died) < 2
        assert len(events) == 2
        error = json.loads(events[1].removeprefix(b"data: "))["error"]
        assert (error["code"], error["type"]) == ("upstream_failed", "server_error")
    text = http.get("/metrics").text
    assert 'scalpel_requests_total{outcome="failed"} 3.0' in text
    assert "scalpel_upstream_failures_total 3.0" in text


def test_an_error_event_of_the_upstream_is_passed_on_and_counted(
    http: httpx.Client, upstream: ScriptedUpstream
) -> None:
    error = b'data: {"error": {"message": "EngineCore is dead", "code": 500}}\n\n'
    upstream.scripts[CHATS] = streaming([EVENTS[0], error, DONE])
    assert body_of(http).endswith(error + DONE)
    assert 'scalpel_requests_total{outcome="failed"} 1.0' in http.get("/metrics").text


@pytest.mark.parametrize("stream", [True, False])
def test_a_client_that_goes_away_ends_its_request_at_the_upstream(
    live: LiveGateway, upstream: ScriptedUpstream, stream: bool
) -> None:
    gone, begun = threading.Event(), threading.Event()

    async def script(_request: Received, wire: Wire) -> None:
        if stream:
            await wire.begin()
            await wire.send(EVENTS[0])
        begun.set()
        await wire.closed()
        gone.set()

    upstream.scripts[CHATS] = script
    client = httpx.Client(base_url=live.url, timeout=20)
    if stream:
        with client.stream("POST", CHATS, json=ASK) as response:
            next(response.iter_raw())
    else:
        with pytest.raises(httpx.ReadTimeout):
            client.post(CHATS, json=ASK | {"stream": False}, timeout=1)
    client.close()
    assert begun.is_set()
    assert gone.wait(5)
    wait_until(lambda: live.state.accounts.running == 0)
    text = httpx.get(f"{live.url}/metrics").text
    assert 'scalpel_requests_total{outcome="cancelled"} 1.0' in text
    assert live.state.watch.up


def test_a_request_that_takes_too_long_ends(upstream: ScriptedUpstream) -> None:
    async def slow(_request: Received, wire: Wire) -> None:
        await wire.begin()
        await wire.send(EVENTS[0])
        await wire.closed()

    upstream.scripts[CHATS] = slow
    with policed(upstream, limits=GenerationLimits(request_seconds=0.5)) as http:
        events = body_of(http).strip().split(b"\n\n")
        assert json.loads(events[-1].removeprefix(b"data: "))["error"]["code"] == "request_timeout"
        upstream.scripts[CHATS] = never
        answer = http.post(CHATS, json=ASK | {"stream": False})
        assert (answer.status_code, answer.json()["error"]["code"]) == (504, "request_timeout")


async def never(_request: Received, wire: Wire) -> None:
    await wire.closed()


def test_what_still_runs_when_the_gateway_stops_is_told(live: LiveGateway, upstream: ScriptedUpstream) -> None:
    async def slow(_request: Received, wire: Wire) -> None:
        await wire.begin()
        await wire.send(EVENTS[0])
        await wire.closed()

    upstream.scripts[CHATS] = slow
    with httpx.stream("POST", f"{live.url}{CHATS}", json=ASK, timeout=20) as response:
        pieces = response.iter_raw()
        next(pieces)
        live.loop.call_soon_threadsafe(live.state.gateway.interrupt_all, DrainingError("the server stopped"))
        rest = b"".join(pieces)
    assert json.loads(rest.removeprefix(b"data: "))["error"]["code"] == "draining"


def test_a_caller_with_a_rate_of_tokens_pays_for_streams_and_sees_no_more_of_it(
    upstream: ScriptedUpstream,
) -> None:
    async def script(request: Received, wire: Wire) -> None:
        asked = (request.json().get("stream_options") or {}).get("include_usage")
        await streaming([*EVENTS, *([USAGE] if asked else []), DONE])(request, wire)

    upstream.scripts[CHATS] = script
    with policed(upstream, {"tokens_per_minute": 20}) as http:
        assert USAGE not in body_of(http)
        assert USAGE in body_of(http, stream_options={"include_usage": True})
        answer = http.post(CHATS, json=ASK)
        assert (answer.status_code, answer.json()["error"]["code"]) == (429, "rate_limit_exceeded")
    options = [one.json().get("stream_options") for one in upstream.asked(CHATS)]
    assert options == [{"include_usage": True}, {"include_usage": True}]

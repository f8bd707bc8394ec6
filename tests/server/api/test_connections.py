"""Clients that are slow on purpose hold neither a slot nor a place for long."""

from __future__ import annotations

import http.client
import json
import socket
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from typing import Any

import httpx
import pytest
from serving.live import Live, live, stub_state, wait_until
from serving.stubs import StubEngine

from server.api.edge.connections import ConnectionLimits
from server.engines.base import EngineStats

BODY: dict[str, Any] = {"model": "scalpel-demo", "messages": [{"role": "user", "content": "hi"}]}
BUNDLES = ("toxicity", "gender_bias", "myth_mask")
DRIP_SECONDS = 0.05
QUICK = ConnectionLimits(connections=4, receive_seconds=0.5, write_seconds=0.5)


@contextmanager
def connected(server: Live, *, receive_buffer: int | None = None) -> Iterator[socket.socket]:
    host, port = server.url.removeprefix("http://").split(":")
    with socket.socket() as client:
        if receive_buffer is not None:
            client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_buffer)
        client.settimeout(30)
        client.connect((host, int(port)))
        yield client


def post(body: dict[str, Any]) -> bytes:
    data = json.dumps(body).encode()
    head = "POST /v1/chat/completions HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n"
    return f"{head}Content-Length: {len(data)}\r\n\r\n".encode() + data


def broken_off(client: socket.socket, *, drips: int) -> bool:
    """Whether the server ends the connection before it has taken so many single bytes."""
    try:
        for _ in range(drips):
            client.sendall(b"X")
            time.sleep(DRIP_SECONDS)
    except (ConnectionResetError, BrokenPipeError):
        return True
    return False


def cut(client: socket.socket) -> bool:
    """Whether the server ends the connection, whatever it sends before."""
    try:
        while client.recv(65536):
            pass
    except ConnectionResetError:
        return True
    return True


def test_a_client_that_reads_a_byte_a_second_loses_its_stream() -> None:
    engine = StubEngine(bundles=BUNDLES, pieces=("x" * 20000,), endless=True)
    state = stub_state(engine=engine)
    with live(state, QUICK) as server, connected(server, receive_buffer=4096) as slow:
        slow.sendall(post(BODY | {"stream": True}))
        wait_until(lambda: engine.running == 1)
        while engine.running:
            assert slow.recv(1)
            time.sleep(0.1)
        wait_until(lambda: state.deployments.held == 0)
        count = state.metrics.registry.get_sample_value
        wait_until(lambda: count("scalpel_requests_total", {"outcome": "cancelled"}) == 1)
        assert httpx.post(f"{server.url}/v1/chat/completions", json=BODY | {"model": "x"}).status_code == 404


def test_a_stream_that_is_read_in_time_is_not_cut() -> None:
    engine = StubEngine(bundles=BUNDLES, endless=True)
    with live(stub_state(engine=engine), QUICK) as server, connected(server) as steady:
        steady.sendall(post(BODY | {"stream": True}))
        end = time.monotonic() + 3 * QUICK.write_seconds
        while time.monotonic() < end:
            assert steady.recv(65536)
        assert engine.running == 1


@pytest.mark.parametrize(
    "sent",
    [b"", b"POST /v1/chat/completions HT", b"POST / HTTP/1.1\r\nHost: x\r\nX-A: b\r\n", post(BODY)[:-5]],
    ids=["nothing", "half a line", "half a head", "half a body"],
)
def test_a_request_that_does_not_come_is_not_waited_for(sent: bytes) -> None:
    state = stub_state()
    with live(state, QUICK) as server, connected(server) as slow:
        slow.sendall(sent)
        assert cut(slow)
        wait_until(lambda: state.lifecycle.in_flight == 0)


def test_bytes_in_drips_do_not_start_the_time_anew() -> None:
    with live(stub_state(), QUICK) as server, connected(server) as slow:
        assert broken_off(slow, drips=int(20 * QUICK.receive_seconds / DRIP_SECONDS))


def test_a_connection_that_is_used_again_is_not_cut() -> None:
    with live(stub_state(), QUICK) as server, httpx.Client(base_url=server.url, timeout=60) as client:
        end = time.monotonic() + 3 * QUICK.receive_seconds
        streams = set()
        while time.monotonic() < end:
            response = client.post("/v1/chat/completions", json=BODY)
            assert response.status_code == 200
            streams.add(response.extensions["network_stream"].get_extra_info("client_addr"))
            time.sleep(0.1)
        assert len(streams) == 1


def test_a_head_that_is_too_long_is_refused() -> None:
    with live(stub_state()) as server, connected(server) as client:
        client.sendall(b"GET /health HTTP/1.1\r\nHost: x\r\nX-Long: " + b"x" * 200_000 + b"\r\n\r\n")
        # It may be cut before we read that.
        with suppress(ConnectionResetError):
            assert b" 400 " in client.recv(100)
    with live(stub_state()) as server:
        assert httpx.get(f"{server.url}/health", headers={"X-Long": "x" * 30_000}).status_code == 200


def test_more_connections_than_allowed_are_told_so() -> None:
    with live(stub_state(), QUICK) as server, ExitStack() as stack:
        held = []
        for _ in range(QUICK.connections):
            client = http.client.HTTPConnection(*server.url.removeprefix("http://").split(":"))
            stack.callback(client.close)
            client.request("GET", "/health")
            client.getresponse().read()
            held.append(client)
        refused = httpx.get(f"{server.url}/health")
        assert (refused.status_code, refused.json()["error"]["code"]) == (503, "too_many_connections")
        assert refused.headers["retry-after"] == "1"
        held[0].close()

        def admitted() -> bool:
            return httpx.get(f"{server.url}/health").status_code == 200

        wait_until(admitted)


@pytest.mark.parametrize("stream", [False, True])
def test_a_client_that_leaves_while_it_waits_leaves_no_place(stream: bool) -> None:
    """On the real engine, with one slot: the second request never runs."""
    from serving.tiny_server import tiny_state

    state = tiny_state(slots=1)

    def stats() -> EngineStats:
        return state.engine.stats()

    long = BODY | {"max_tokens": 200, "temperature": 1.0, "ignore_eos": True, "seed": 1}
    with live(state) as server, connected(server) as first:
        first.sendall(post(long | {"stream": True}))
        wait_until(lambda: stats().running == 1)
        with connected(server) as second:
            second.sendall(post(long | {"n": 3, "stream": stream}))
            wait_until(lambda: stats().waiting == 3 or stats().running == 0)
            second.shutdown(socket.SHUT_RDWR)
        wait_until(lambda: stats().waiting == 0)
        first.shutdown(socket.SHUT_RDWR)
        wait_until(lambda: stats().running == 0)
        wait_until(lambda: state.deployments.held == 0)

"""A server on a real socket, in a thread."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import uvicorn

from server.api import create_app
from server.api.edge.connections import ConnectionLimits
from server.running import uvicorn_settings
from server.state import ServerParts, ServerState, assemble
from serving.bundles import three_bundles
from serving.stubs import StubClassifier, StubEngine, StubScorer


@dataclass(frozen=True)
class Live:
    """A running server."""

    url: str
    state: ServerState


@contextmanager
def live(state: ServerState, limits: ConnectionLimits = ConnectionLimits()) -> Iterator[Live]:
    """Serve until the block ends; fails if the server does not start or stop."""
    settings = uvicorn_settings(create_app(state), limits, host="127.0.0.1", port=0)
    server = uvicorn.Server(settings)
    thread = threading.Thread(target=server.run)
    thread.start()
    try:
        wait_until(lambda: server.started or not thread.is_alive())
        port = server.servers[0].sockets[0].getsockname()[1]
        yield Live(url=f"http://127.0.0.1:{port}", state=state)
    finally:
        server.should_exit = True
        thread.join(30)
        assert not thread.is_alive()


def wait_until(claim: object, seconds: float = 30.0) -> None:
    """Poll until `claim()` is true; the limit only keeps a broken test from hanging."""
    end = time.monotonic() + seconds
    while not claim():
        if time.monotonic() > end:
            raise TimeoutError("what was waited for never happened")
        time.sleep(0.005)


def stub_state(**changes: object) -> ServerState:
    """A server of stubs with three bundles."""
    bundles = three_bundles()
    parts = {
        "engine": StubEngine(bundles=tuple(bundle.name for bundle in bundles)),
        "bundles": bundles,
        "served_name": "scalpel-demo",
        "classifier": StubClassifier(),
        "scorer": StubScorer(),
    }
    return assemble(ServerParts(**(parts | changes)))

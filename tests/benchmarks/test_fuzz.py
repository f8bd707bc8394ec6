"""The fuzzing benchmark: what it counts, and a short run of it."""

from __future__ import annotations

import http.server
import threading
from collections.abc import Iterator

import pytest

from benchmarks.fuzz.__main__ import figures_of, measure, post_paths
from benchmarks.fuzz.sender import Sender, Tally

ANSWERS = {
    "/good": (200, b"{}"),
    "/refused": (400, b'{"error": {"message": "no"}}'),
    "/shapeless": (400, b"no"),
    "/failed": (500, b'{"error": {"message": "oh"}}'),
}


class Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        if self.path == "/gone":
            self.close_connection = True
            return
        status, body = ANSWERS[self.path]
        self.send_response(status)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def base() -> Iterator[str]:
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()
        thread.join()


def test_every_kind_of_answer_is_counted(base: str) -> None:
    tally = Tally()
    sender = Sender(base, tally)
    for path in (*ANSWERS, "/gone"):
        sender.send("GET", path)
    assert tally.statuses == {200: 1, 400: 2, 500: 1, 0: 1}
    assert (tally.requests, tally.failures, tally.broken, tally.hangs) == (5, 1, 2, 0)
    assert len(tally.problems) == 3
    figures = figures_of(tally, 100.0, 103.0, answered=True)
    assert figures["memory.growth"] == pytest.approx(1.03)
    assert figures["status.400"] == 2


def test_paths_with_parameters_take_no_raw_body() -> None:
    document = {
        "paths": {"/b": {"post": {}}, "/a": {"post": {}, "get": {}}, "/c": {"get": {}}, "/d/{x}": {"post": {}}}
    }
    assert post_paths(document) == ["/a", "/b"]


@pytest.mark.slow
def test_nothing_breaks_the_server() -> None:
    figures = measure(600, number=1)
    assert figures["requests"] >= 600
    assert (figures["failures"], figures["hangs"], figures["broken"]) == (0, 0, 0)
    assert figures["good_request_answered"] == 1

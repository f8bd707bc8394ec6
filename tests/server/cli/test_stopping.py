"""`scalpel serve` as a process that is told to stop, or to read anew, while clients are served."""

from __future__ import annotations

import json
import signal
from pathlib import Path

import httpx
import pytest
from serving.live import wait_until
from serving.served_process import ASK, LONG, serve, streaming

pytestmark = pytest.mark.slow


def test_sigterm_in_mid_stream_lets_it_end_and_turns_others_away(tmp_path: Path) -> None:
    with serve(tmp_path, drain_seconds=120, log_format="json") as server, streaming(server) as lines:
        assert server.ready().status_code == 200
        server.process.send_signal(signal.SIGTERM)
        wait_until(lambda: server.ready().status_code == 503)
        assert server.ready().json()["status"] == "draining"
        refused = httpx.post(f"{server.url}/v1/chat/completions", json=ASK)
        assert (refused.status_code, refused.json()["error"]["code"]) == (503, "draining")
        assert refused.headers["retry-after"] == "1"
        rest = [line for line in lines if line]
        assert rest[-1] == "data: [DONE]"
        assert sum('"finish_reason":"length"' in line for line in rest) == LONG["n"]
        said = [json.loads(line) for line in server.stopped().splitlines()]
    assert any("requests have 120 s to end" in line["message"] for line in said)
    done = [line for line in said if line["logger"] == "server.access"]
    assert [line["status"] for line in done] == [503, 200]
    assert done[1]["completion_tokens"] == LONG["n"] * LONG["max_tokens"]


@pytest.mark.parametrize("twice", [False, True], ids=["no grace", "second signal"])
def test_what_is_left_at_the_end_of_the_grace_gets_an_error_event(tmp_path: Path, twice: bool) -> None:
    with serve(tmp_path, drain_seconds=120 if twice else 0) as server, streaming(server) as lines:
        server.process.send_signal(signal.SIGTERM)
        if twice:
            wait_until(lambda: "to end" in server.log.read_text())
            server.process.send_signal(signal.SIGINT)
        rest = [line for line in lines if line]
        error = json.loads(rest[-1].removeprefix("data: "))["error"]
        assert error["code"] == "draining"
        assert "stopped before the reply was finished" in error["message"]
        assert "1 requests were ended" in server.stopped()


def test_sighup_is_not_the_end(tmp_path: Path) -> None:
    with serve(tmp_path) as server:
        server.process.send_signal(signal.SIGHUP)
        assert httpx.post(f"{server.url}/v1/chat/completions", json=ASK | {"max_tokens": 2}).status_code == 200
        assert server.ready().status_code == 200
        server.process.send_signal(signal.SIGTERM)
        server.stopped()

"""`scalpel serve` with its engine in a process of its own: who is told what, and who ends whom."""

from __future__ import annotations

import json
import os
import signal
from pathlib import Path

import httpx
import pytest
from serving.live import wait_until
from serving.served_process import ASK, LONG, serve, streaming

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="there is no /proc to find the child in"),
]


def stat(process_id: int) -> list[str]:
    """Its fields from the state on; none where it is gone."""
    try:
        return Path(f"/proc/{process_id}/stat").read_text().rpartition(")")[2].split()
    except (FileNotFoundError, ProcessLookupError):
        return []


def children(process_id: int) -> list[int]:
    found = [int(path.name) for path in Path("/proc").glob("[0-9]*")]
    return [one for one in found if stat(one)[1:2] == [str(process_id)]]


def alive(process_id: int) -> bool:
    return stat(process_id)[:1] not in ([], ["Z"])


def test_the_engine_has_a_process_unless_it_is_not_to(tmp_path: Path) -> None:
    with serve(tmp_path) as server:
        (child,) = children(server.process.pid)
        server.process.send_signal(signal.SIGTERM)
        server.stopped()
    assert not alive(child)
    with serve(tmp_path, engine={"slots": 2, "process": "same"}) as server:
        assert children(server.process.pid) == []
        assert httpx.post(f"{server.url}/v1/chat/completions", json=ASK).status_code == 200


def test_both_ways_reply_alike(tmp_path: Path) -> None:
    said = []
    for process in ("own", "same"):
        with serve(tmp_path, engine={"slots": 2, "process": process, "deterministic": True}) as server:
            reply = httpx.post(f"{server.url}/v1/chat/completions", json=ASK | {"logprobs": True}, timeout=60).json()
            said.append((reply["choices"], reply["usage"], reply["scalpel"]))
    assert said[0] == said[1]


def test_a_killed_engine_ends_its_streams_and_the_server_is_not_ready_any_more(tmp_path: Path) -> None:
    with serve(tmp_path, log_format="json") as server, streaming(server) as lines:
        (child,) = children(server.process.pid)
        os.kill(child, signal.SIGKILL)
        rest = [line for line in lines if line]
        assert "SIGKILL" in json.loads(rest[-1].removeprefix("data: "))["error"]["message"]
        assert server.ready().status_code == 503
        assert httpx.get(f"{server.url}/health").status_code == 503
        assert httpx.post(f"{server.url}/v1/chat/completions", json=ASK).status_code == 503
        server.process.send_signal(signal.SIGTERM)
        assert server.process.wait(60) == 0
        said = [json.loads(line) for line in server.log.read_text().splitlines()]
    assert any(line["level"] == "critical" and "SIGKILL" in line["message"] for line in said)
    # The child's own lines, in the same format.
    assert any("self-check passed" in line["message"] for line in said)


def test_a_killed_server_leaves_no_engine(tmp_path: Path) -> None:
    with serve(tmp_path) as server, streaming(server):
        (child,) = children(server.process.pid)
        server.process.kill()
        wait_until(lambda: not alive(child))


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_to_the_group_lets_streams_end(tmp_path: Path, number: signal.Signals) -> None:
    with serve(tmp_path, own_group=True, drain_seconds=120) as server, streaming(server) as lines:
        os.killpg(server.process.pid, number)
        rest = [line for line in lines if line]
        assert rest[-1] == "data: [DONE]"
        assert sum('"finish_reason":"length"' in line for line in rest) == LONG["n"]
        server.stopped()

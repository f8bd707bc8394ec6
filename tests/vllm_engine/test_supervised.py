"""`scalpel serve --engine vllm` as an operator starts it: killed in the middle of streams, and stopped."""

from __future__ import annotations

import json
import re
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import pytest
from serving.live import wait_until
from vllm_models import Served, serve_tiny
from vllm_servers import EAGER, NAME

pytestmark = pytest.mark.slow

CHATS = "/v1/chat/completions"
LONG: dict[str, Any] = {
    "model": NAME,
    "messages": [{"role": "user", "content": "hi"}],
    "max_tokens": 450,
    "ignore_eos": True,
    "stream": True,
    "scalpel": {"breakers": {"steer": 1.0}},
}
START_SECONDS = 600
"""A busy machine takes its time."""


@dataclass(frozen=True)
class Running:
    """A gateway process with its vLLM."""

    process: subprocess.Popen[str]
    url: str
    log: Path

    def ready(self) -> httpx.Response:
        return httpx.get(f"{self.url}/health/ready", timeout=30)


@dataclass(frozen=True)
class Process:
    """One of the machine's."""

    id: int
    parent: int
    command: str


def processes() -> list[Process]:
    found = []
    for path in Path("/proc").glob("[0-9]*"):
        try:
            stat = (path / "stat").read_text().rpartition(")")[2].split()
            command = (path / "cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")
        except (FileNotFoundError, ProcessLookupError):
            continue
        if stat[0] != "Z":
            found.append(Process(int(path.name), int(stat[1]), command))
    return found


def below(process_id: int) -> list[Process]:
    """Everything that a process started, and what that started, nearest first."""
    everything, found = processes(), [process_id]
    for known in found:
        found += [one.id for one in everything if one.parent == known]
    return [one for known in found[1:] for one in everything if one.id == known]


def engine_of(gateway: int) -> Process:
    """vLLM's engine core, which its server started."""
    (found,) = [one for one in below(gateway) if "EngineCore" in one.command]
    return found


def server_of(gateway: int) -> Process:
    """vLLM's server: what the guardian started."""
    guardian = below(gateway)[0]
    (found,) = [one for one in below(gateway) if one.parent == guardian.id]
    return found


@contextmanager
def serving(served: Served, directory: Path) -> Iterator[Running]:
    bundles = [text for path in served.bundles for text in ("--bundle", str(path))]
    vllm = [text for argument in EAGER for text in ("--vllm-argument", argument)]
    options = ["--engine", "vllm", "--vllm-python", sys.executable, "--served-model-name", NAME, "--port", "0"]
    command = [sys.executable, "-c", "from server.cli import main; main()", "serve", str(served.directory)]
    log = directory / "log"
    with log.open("w") as out:
        process = subprocess.Popen(
            [*command, *options, *bundles, *vllm, "--classifier", "none"], stdout=out, stderr=out, text=True
        )
    try:
        wait_until(lambda: process.poll() is not None or "address: " in log.read_text(), START_SECONDS)
        found = re.search(r"address: (http://\S+)", log.read_text())
        assert found is not None, log.read_text()[-6000:]
        yield Running(process=process, url=found[1], log=log)
    finally:
        left = below(process.pid)
        process.kill()
        process.wait()
        # The guardian ends the others.
        wait_until(lambda: not {one.id for one in left} & {one.id for one in processes()}, 60)


class Client:
    """One stream, read on a thread."""

    def __init__(self, url: str) -> None:
        self.begun = threading.Event()
        self.lines: list[tuple[float, str]] = []
        self._url = url
        self.thread = threading.Thread(target=self._read)
        self.thread.start()

    def _read(self) -> None:
        with httpx.stream("POST", f"{self._url}{CHATS}", json=LONG, timeout=120) as response:
            for line in response.iter_lines():
                if line:
                    self.lines.append((time.monotonic(), line))
                    self.begun.set()

    @property
    def error(self) -> dict[str, Any] | None:
        """Of its error event."""
        found = [json.loads(line[6:]) for _, line in self.lines if line.startswith('data: {"error"')]
        return found[0]["error"] if found else None


def test_killed_in_mid_stream_and_stopped(served: Served, tmp_path: Path) -> None:
    with serving(served, tmp_path) as running:
        assert "proof: plugin" in running.log.read_text()
        for victim in (server_of, engine_of):
            assert running.ready().status_code == 200
            clients = [Client(running.url) for _ in range(4)]
            assert all(client.begun.wait(60) for client in clients)
            before = {one.id for one in below(running.process.pid)[1:]}
            subprocess.run(["kill", "-9", str(victim(running.process.pid).id)], check=True)
            killed = time.monotonic()
            for client in clients:
                client.thread.join(30)
                assert client.error is not None, client.lines[-3:]
                assert client.lines[-1][0] - killed < 2
            wait_until(lambda: running.ready().status_code == 503, 10)
            wait_until(lambda: running.ready().status_code == 200, START_SECONDS)
            # Nothing of the one that was killed is left.
            assert not before & {one.id for one in processes()}
            answer = httpx.post(f"{running.url}{CHATS}", json=LONG | {"stream": False, "max_tokens": 5}, timeout=60)
            assert answer.json()["scalpel"]["applied"]["steer"]["strength"] == 1.0
        assert "scalpel_upstream_starts 3.0" in httpx.get(f"{running.url}/metrics").text
        left = {one.id for one in below(running.process.pid)}
        running.process.send_signal(signal.SIGTERM)
        assert running.process.wait(60) == 0
        wait_until(lambda: not left & {one.id for one in processes()})
    said = running.log.read_text()
    assert "Traceback" not in "".join(line for line in said.splitlines(True) if " vllm: " not in line)


@pytest.fixture
def served(tmp_path: Path) -> Served:
    return serve_tiny("llama", tmp_path, tokenizer=True)

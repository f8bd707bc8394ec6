"""The server under measurement: a child process on a free loopback port, usually `scalpel serve`; asked over HTTP."""

from __future__ import annotations

import asyncio
import os
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import httpx

from benchmarks.errors import ServedModelError
from benchmarks.history import root

START_SECONDS = 120.0
_STOP_SECONDS = 30.0
_REQUEST_SECONDS = 120.0
_LOG_CHARACTERS = 2000
_SERVE = "from server.cli import main; main()"
SCALPEL_SERVE = (sys.executable, "-c", _SERVE, "serve")
"""The command, without arguments."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ChatRequest:
    """One request as the benchmark asks it."""

    model: str
    """A served name, with or without a profile."""
    messages: Sequence[Mapping[str, str]]
    max_tokens: int
    temperature: float = 0.0
    seed: int | None = None

    def body(self) -> dict[str, Any]:
        """As OpenAI's API takes it."""
        body: dict[str, Any] = {
            "model": self.model,
            "messages": [dict(m) for m in self.messages],
            "max_tokens": self.max_tokens,
            "temperature": self.temperature,
        }
        return body if self.seed is None else body | {"seed": self.seed}


@dataclass(frozen=True, slots=True, kw_only=True)
class ChatReply:
    """What came back."""

    text: str
    strengths: Mapping[str, float]
    """Applied, by bundle, as the response reports it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RunningServer:
    """A server as a child process."""

    base_url: str
    """Of its API, `/v1` included."""
    process_id: int


@contextmanager
def served(arguments: Sequence[str] = (), start_seconds: float = START_SECONDS) -> Iterator[str]:
    """Run `scalpel serve` until the block ends; yields the address of its API.

    Raises:
        ServedModelError: it ended, or was not ready in time; the message ends with its log.
    """
    command = [*SCALPEL_SERVE, *arguments]
    with running_server("scalpel serve", command, health="/health/ready", start_seconds=start_seconds) as server:
        yield server.base_url


@contextmanager
def running_server(
    name: str,
    command: Sequence[str],
    *,
    health: str,
    threads: int = 1,
    start_seconds: float = START_SECONDS,
) -> Iterator[RunningServer]:
    """Run a server until the block ends, on a free loopback port that is added to `command` as `--port`.

    Args:
        name: for messages.
        command: starts the server.
        health: path that answers 200 once the server is ready.
        threads: compute threads that the environment asks for.
        start_seconds: how long to wait for `health`.

    Raises:
        ServedModelError: it ended, or was not ready in time; the message ends with its log.
    """
    port = _free_port()
    environment = os.environ | {
        "OMP_WAIT_POLICY": "PASSIVE",
        "OMP_NUM_THREADS": str(threads),
        "TOKENIZERS_PARALLELISM": "false",
        "HF_HUB_OFFLINE": "1",
    }
    command = [*command, "--port", str(port)]
    with tempfile.TemporaryFile(mode="w+") as log:
        child = subprocess.Popen(command, cwd=root(), env=environment, stdout=log, stderr=subprocess.STDOUT)
        try:
            _wait_until_ready(name, child, f"http://127.0.0.1:{port}{health}", start_seconds)
            yield RunningServer(base_url=f"http://127.0.0.1:{port}/v1", process_id=child.pid)
        except ServedModelError as error:
            log.seek(0)
            raise ServedModelError(f"{error}\n{log.read()[-_LOG_CHARACTERS:]}") from error
        finally:
            _stop(child)


async def ask_all(
    base_url: str, requests: Sequence[ChatRequest], concurrency: int, progress: Callable[[int], None] | None = None
) -> list[ChatReply]:
    """Send all requests, at most `concurrency` at once; replies in the order of the requests.

    Raises:
        ServedModelError: a request failed.
    """
    replies: list[ChatReply | None] = [None] * len(requests)
    pending = iter(enumerate(requests))
    failed: list[BaseException] = []
    limits = httpx.Limits(max_connections=concurrency, max_keepalive_connections=concurrency)
    async with httpx.AsyncClient(
        base_url=base_url, timeout=_REQUEST_SECONDS, limits=limits, trust_env=False
    ) as client:

        async def work() -> None:
            for index, request in pending:
                replies[index] = await _ask(client, request)
                if progress is not None:
                    progress(1)

        try:
            async with asyncio.TaskGroup() as group:
                for _ in range(concurrency):
                    group.create_task(work())
        except* ServedModelError as group_error:
            failed.extend(group_error.exceptions)
    if failed:
        raise failed[0]
    return [reply for reply in replies if reply is not None]


async def _ask(client: httpx.AsyncClient, request: ChatRequest) -> ChatReply:
    try:
        response = await client.post("/chat/completions", json=request.body())
    except httpx.HTTPError as error:
        raise ServedModelError(f"the server did not answer: {type(error).__name__}: {error}") from error
    if response.status_code != httpx.codes.OK:
        raise ServedModelError(f"status {response.status_code}: {response.text[:_LOG_CHARACTERS]}")
    body = response.json()
    applied = body.get("scalpel", {}).get("applied", {})
    return ChatReply(
        text=body["choices"][0]["message"]["content"] or "",
        strengths={name: entry["strength"] for name, entry in applied.items()},
    )


def _wait_until_ready(name: str, child: subprocess.Popen[bytes], url: str, seconds: float) -> None:
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        if child.poll() is not None:
            raise ServedModelError(f"{name} ended with status {child.returncode}")
        try:
            if httpx.get(url, timeout=2.0, trust_env=False).status_code == httpx.codes.OK:
                return
        except httpx.HTTPError:
            time.sleep(0.2)
    raise ServedModelError(f"{name} was not ready within {seconds:g} s")


def _stop(child: subprocess.Popen[bytes]) -> None:
    if child.poll() is None:
        child.send_signal(signal.SIGTERM)
        try:
            child.wait(_STOP_SECONDS)
        except subprocess.TimeoutExpired:
            child.kill()
            child.wait()


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port

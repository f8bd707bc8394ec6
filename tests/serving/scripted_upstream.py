"""A small HTTP server in vLLM's place, on a real socket, for tests of the gateway: its replies are scripted.

What it says of plans is not: the plugin's own catalogue reads them. vLLM itself is in `tests/vllm_engine`.
"""

from __future__ import annotations

import asyncio
import json
import threading
from collections.abc import Awaitable, Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from typing import Any

from breakers.bundles import Bundle
from breakers.errors import PlanError
from breakers.vllm_plugin.catalogue import Catalogue

MODEL = "tiny"
CHAT = {
    "id": "chatcmpl-1",
    "object": "chat.completion",
    "choices": [{"index": 0, "message": {"role": "assistant", "content": "potato"}, "finish_reason": "stop"}],
    "usage": {"prompt_tokens": 7, "completion_tokens": 3, "total_tokens": 10},
}
METRICS = '# HELP vllm:num_requests_running Running.\nvllm:num_requests_running{engine="0"} 3.0\n'


@dataclass(frozen=True)
class Received:
    """A request as it came."""

    method: str
    path: str
    headers: dict[str, str]
    body: bytes

    def json(self) -> Any:
        return json.loads(self.body)

    @property
    def plan(self) -> dict[str, Any] | None:
        """What the plugin would be told."""
        text = (self.json().get("vllm_xargs") or {}).get("scalpel")
        return None if text is None else json.loads(text)


class Wire:
    """The way back to one client."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader = reader
        self.writer = writer

    async def whole(self, status: int, body: bytes, kind: str = "application/json", **headers: str) -> None:
        self._head(status, kind, {"Content-Length": str(len(body)), **headers})
        self.writer.write(body)
        await self.writer.drain()

    async def json(self, body: object, status: int = 200) -> None:
        await self.whole(status, json.dumps(body).encode())

    async def begin(self, status: int = 200, kind: str = "text/event-stream; charset=utf-8") -> None:
        self._head(status, kind, {"Transfer-Encoding": "chunked"})
        await self.writer.drain()

    async def send(self, piece: bytes) -> None:
        self.writer.write(b"%x\r\n%s\r\n" % (len(piece), piece))
        await self.writer.drain()

    async def end(self) -> None:
        self.writer.write(b"0\r\n\r\n")
        await self.writer.drain()

    def die(self) -> None:
        """As where the process is killed."""
        self.writer.transport.abort()

    async def closed(self) -> None:
        """Wait until the client closes the connection."""
        with suppress(ConnectionError):
            assert await self.reader.read() == b""

    def _head(self, status: int, kind: str, headers: dict[str, str]) -> None:
        lines = [f"HTTP/1.1 {status} So", f"Content-Type: {kind}", *(f"{n}: {v}" for n, v in headers.items())]
        self.writer.write("\r\n".join([*lines, "", ""]).encode())


Script = Callable[[Received, Wire], Awaitable[None]]


@dataclass
class ScriptedUpstream:
    """Replies by path; the proof's questions are answered as vLLM with the plugin answers them."""

    bundles: Sequence[Bundle]
    port: int = 0
    plugin: bool = True
    """Without it, plans are ignored."""
    acts: bool = True
    """Whether canaries change anything."""
    scripts: dict[str, Script] = field(default_factory=dict)
    received: list[Received] = field(default_factory=list)
    health: int = 200
    cards: list[dict[str, Any]] = field(
        default_factory=lambda: [{"id": MODEL, "owned_by": "vllm", "max_model_len": 64}]
    )

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def asked(self, path: str) -> list[Received]:
        """Requests of clients, without the gateway's own."""
        return [one for one in self.received if one.path == path and not _is_question(one)]

    async def answer(self, request: Received, wire: Wire) -> None:
        if request.method == "POST" and self.plugin and (refusal := self._refusal(request)) is not None:
            error = {"message": refusal, "type": "BadRequestError", "param": "vllm_xargs", "code": 400}
            await wire.json({"error": error}, 400)
        elif request.path in self.scripts and not _is_question(request):
            await self.scripts[request.path](request, wire)
        elif request.path == "/v1/models":
            await wire.json({"object": "list", "data": self.cards})
        elif request.path == "/health":
            await wire.whole(self.health, b"")
        elif request.path == "/metrics":
            await wire.whole(200, METRICS.encode(), "text/plain; version=0.0.4")
        elif request.path == "/detokenize":
            await wire.json({"prompt": "".join(map(chr, request.json()["tokens"]))})
        elif request.path == "/v1/completions" and _is_question(request):
            await wire.json(self._canary(request))
        else:
            await wire.json(CHAT)

    def _refusal(self, request: Received) -> str | None:
        body = request.json()
        try:
            Catalogue(self.bundles).admit(body.get("vllm_xargs"), 8)
        except PlanError as error:
            return str(error)
        return None

    def _canary(self, request: Received) -> dict[str, Any]:
        body = request.json()
        found = dict.fromkeys(body.get("logprob_token_ids", ()), -2.0)
        strengths = (request.plan or {}).get("strengths", {}) if self.acts else {}
        for bundle in self.bundles:
            canary = bundle.manifest.canary
            for i, change in zip(canary.logit_ids, canary.change, strict=True):
                if i in found and bundle.name in strengths:
                    found[i] += change
        top = {f"token_id:{i}": value for i, value in found.items()}
        return {"choices": [{"index": 0, "text": "", "logprobs": {"top_logprobs": [top]}}]}


def _is_question(request: Received) -> bool:
    """Whether the gateway asks on its own account."""
    body = json.loads(request.body) if request.body else {}
    return request.path == "/v1/completions" and ("logprob_token_ids" in body or body.get("prompt") == [0])


@contextmanager
def running(upstream: ScriptedUpstream) -> Iterator[ScriptedUpstream]:
    """Serve until the block ends; on the port that it had, where it had one. All connections die with it."""
    loop = asyncio.new_event_loop()
    stop, writers = asyncio.Event(), set[asyncio.StreamWriter]()
    started = threading.Event()

    async def connected(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writers.add(writer)
        with suppress(ConnectionError, asyncio.IncompleteReadError):
            while True:
                request = await _read(reader)
                upstream.received.append(request)
                await upstream.answer(request, Wire(reader, writer))
        writers.discard(writer)
        writer.close()

    async def serve() -> None:
        server = await asyncio.start_server(connected, "127.0.0.1", upstream.port)
        upstream.port = server.sockets[0].getsockname()[1]
        started.set()
        await stop.wait()
        server.close()
        for writer in writers:
            writer.transport.abort()
        others = asyncio.all_tasks() - {asyncio.current_task()}
        for task in others:
            task.cancel()
        await asyncio.gather(*others, return_exceptions=True)

    thread = threading.Thread(target=loop.run_until_complete, args=(serve(),))
    thread.start()
    try:
        assert started.wait(10)
        yield upstream
    finally:
        loop.call_soon_threadsafe(stop.set)
        thread.join(10)
        assert not thread.is_alive()
        loop.close()


async def _read(reader: asyncio.StreamReader) -> Received:
    lines = (await reader.readuntil(b"\r\n\r\n")).decode().split("\r\n")
    method, path, _ = lines[0].split(" ")
    headers = {name.lower(): value for name, _, value in (line.partition(": ") for line in lines[1:] if line)}
    return Received(method, path, headers, await reader.readexactly(int(headers.get("content-length", 0))))

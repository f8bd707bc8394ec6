"""The client: clients that send one request after the other and read streams.

It shares its cores with the server, so it does as little as it can while the clock runs: it notes when each piece of
a stream came, and takes the pieces apart afterwards.
"""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import httpx

from benchmarks.errors import ServedModelError

_REQUEST_SECONDS = 300.0
_SHOWN = 500
_END = b"\n\n"
_DATA = b"data: "
_DONE = b"[DONE]"


@dataclass(frozen=True, slots=True)
class StreamedReply:
    """One streamed reply."""

    text: str
    first_token_seconds: float
    """From sending the request to the first event with text."""


@dataclass(frozen=True, slots=True)
class Load:
    """What a load gave."""

    seconds: float
    """From the first request to the last end."""
    replies: tuple[tuple[StreamedReply, ...], ...]
    """By client, in the order of its requests."""


@dataclass(slots=True)
class _Pieces:
    """A stream as it came."""

    sent: float
    pieces: list[tuple[float, bytes]]


async def run_load(base_url: str, bodies: Sequence[Sequence[Mapping[str, Any]]]) -> Load:
    """One client for each sequence of bodies; each sends its next request when the reply before is over.

    Raises:
        ServedModelError: a request failed.
    """
    limits = httpx.Limits(max_connections=len(bodies), max_keepalive_connections=len(bodies))
    encoded = [[json.dumps(body).encode() for body in client] for client in bodies]
    async with httpx.AsyncClient(timeout=_REQUEST_SECONDS, limits=limits, trust_env=False) as client:
        began = time.perf_counter()
        streams = await asyncio.gather(*(_run_client(client, base_url, requests) for requests in encoded))
        seconds = time.perf_counter() - began
    return Load(seconds, tuple(tuple(map(_reply, of_client)) for of_client in streams))


async def _run_client(client: httpx.AsyncClient, base_url: str, requests: Sequence[bytes]) -> list[_Pieces]:
    return [await _stream(client, base_url, request) for request in requests]


async def _stream(client: httpx.AsyncClient, base_url: str, request: bytes) -> _Pieces:
    found = _Pieces(time.perf_counter(), [])
    headers = {"Content-Type": "application/json"}
    try:
        async with client.stream(
            "POST", f"{base_url}/chat/completions", content=request, headers=headers
        ) as response:
            async for piece in response.aiter_raw():
                found.pieces.append((time.perf_counter(), piece))
    except httpx.HTTPError as error:
        raise ServedModelError(f"the server did not answer: {type(error).__name__}: {error}") from error
    if response.status_code != httpx.codes.OK:
        body = b"".join(piece for _, piece in found.pieces)[:_SHOWN]
        raise ServedModelError(f"status {response.status_code}: {body.decode(errors='replace')}")
    return found


def _reply(stream: _Pieces) -> StreamedReply:
    """Take a stream apart.

    Raises:
        ServedModelError: it holds an error, no text, or no reason for its end.
    """
    text, first, finished, held = "", None, False, b""
    for came, piece in stream.pieces:
        *events, held = (held + piece).split(_END)
        for event in events:
            data = event.removeprefix(_DATA)
            if data == _DONE:
                continue
            content, reason = _content(data)
            finished = finished or reason is not None
            if content and first is None:
                first = came
            text += content
    if first is None or not finished:
        raise ServedModelError(f"a stream ended without {'text' if first is None else 'a finish_reason'}")
    return StreamedReply(text, first - stream.sent)


def _content(data: bytes) -> tuple[str, str | None]:
    chunk = json.loads(data)
    if "error" in chunk:
        raise ServedModelError(f"a stream failed: {str(chunk['error'])[:_SHOWN]}")
    content, reason = "", None
    for choice in chunk["choices"]:
        content += choice["delta"].get("content") or ""
        reason = choice.get("finish_reason") or reason
    return content, reason

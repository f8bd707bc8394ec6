"""The connection to vLLM's server: one pool for requests, and a small one that a full pool cannot hold up.

Nothing is sent twice: a request that may have reached the model is not repeated.
"""

from __future__ import annotations

import socket
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType

import httpx

QUESTIONS = 8
"""Connections beside those of requests, for health, proofs, metrics and the texts of token ids."""

_IDLE_SECONDS = 2.0
"""Less than vLLM's server keeps an idle connection, which is 5 s: it must not close one that is about to be used."""

_KEPT_ALIVE = (
    (socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1),
    (socket.IPPROTO_TCP, socket.TCP_NODELAY, 1),
    *(
        (socket.IPPROTO_TCP, getattr(socket, name), value)
        for name, value in (("TCP_KEEPIDLE", 5), ("TCP_KEEPINTVL", 5), ("TCP_KEEPCNT", 3))
        if hasattr(socket, name)
    ),
)
"""A machine that vanished says nothing: the kernel finds out within 20 s."""


@dataclass(frozen=True, slots=True, kw_only=True)
class UpstreamAddress:
    """Where vLLM's server is, and how to speak with it."""

    url: str
    """Without a slash at the end; behind a socket file only its path matters."""
    socket_file: Path | None = None
    """None: over TCP."""
    api_key: str | None = None
    connect_seconds: float = 5.0
    requests: int = 1024
    """At once."""

    @property
    def shown(self) -> str:
        """For messages and the log."""
        return self.url if self.socket_file is None else "the supervised vLLM"


class Upstream:
    """Two pools of connections. Belongs to one event loop; an asynchronous context manager."""

    def __init__(self, address: UpstreamAddress) -> None:
        self.address = address
        seconds = address.connect_seconds
        # A reply may take as long as the request's own limit lets it.
        unlimited = httpx.Timeout(None, connect=seconds)
        self.requests = _client(address, connections=address.requests, timeout=unlimited)
        """For requests to the model."""
        self.questions = _client(address, connections=QUESTIONS, timeout=httpx.Timeout(seconds))
        """For everything else; every answer comes within `connect_seconds` or not at all."""

    async def __aenter__(self) -> Upstream:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.aclose()

    async def aclose(self) -> None:
        """Close all connections."""
        await self.requests.aclose()
        await self.questions.aclose()


def reason_of(error: httpx.HTTPError) -> str:
    """What happened to a connection, in a few words; some of httpx's errors have none."""
    return f"{type(error).__name__}: {error}" if str(error) else type(error).__name__


def _client(address: UpstreamAddress, *, connections: int, timeout: httpx.Timeout) -> httpx.AsyncClient:
    limits = httpx.Limits(
        max_connections=connections, max_keepalive_connections=connections, keepalive_expiry=_IDLE_SECONDS
    )
    path = None if address.socket_file is None else str(address.socket_file)
    transport = httpx.AsyncHTTPTransport(limits=limits, uds=path, socket_options=None if path else _KEPT_ALIVE)
    # As they are: a compressed stream could not be passed on event by event.
    headers = {"Accept-Encoding": "identity", "User-Agent": "scalpel-gateway"}
    if address.api_key is not None:
        headers["Authorization"] = f"Bearer {address.api_key}"
    # Redirects and proxies of the environment could lead to a server that nobody has proved.
    return httpx.AsyncClient(
        base_url=address.url, transport=transport, timeout=timeout, headers=headers, trust_env=False
    )

"""Connections that cannot be held for nothing: a limit on their number, and on how slowly they send and take."""

from __future__ import annotations

import asyncio
import json
from dataclasses import dataclass
from typing import Any

from uvicorn.config import Config
from uvicorn.protocols.http.h11_impl import H11Protocol
from uvicorn.server import ServerState

WRITE_BUFFER = 64 * 1024
"""Bytes that are kept for a client beyond what the kernel keeps, before its stream waits for it."""
HEADER_BYTES = 64 * 1024
"""Of a request's line and headers."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ConnectionLimits:
    """What one connection may take."""

    connections: int = 1024
    receive_seconds: float = 30.0
    """For a request to arrive whole, from its first byte; of the first one, from the connection's start."""
    write_seconds: float = 30.0
    """For a client to take what waits for it, once that is more than the buffer."""


class BoundedProtocol(H11Protocol):
    """uvicorn's HTTP/1.1 on one connection, cut where it holds memory or a place for too long.

    A cut connection is to the application what a client that went away is: its request is cancelled.
    """

    def __init__(
        self,
        limits: ConnectionLimits,
        config: Config,
        server_state: ServerState,
        app_state: dict[str, Any],
        _loop: asyncio.AbstractEventLoop | None = None,
    ) -> None:
        super().__init__(config, server_state, app_state, _loop)
        self._limits = limits
        self._receiving: asyncio.TimerHandle | None = None
        self._writing: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]  # as in uvicorn's own
        """Take it, or turn it away where there are too many."""
        super().connection_made(transport)
        transport.set_write_buffer_limits(high=WRITE_BUFFER)
        if len(self.connections) > self._limits.connections:
            transport.write(_too_many(self._limits.connections))
            transport.close()
            self._writing = self.loop.call_later(self._limits.write_seconds, transport.abort)
            return
        self._await_request()

    def connection_lost(self, exc: Exception | None) -> None:
        """It is over."""
        self._received()
        self._written()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        """Read on; the time runs from a request's first byte to its last."""
        if self.transport.is_closing():
            return
        self._await_request()
        super().data_received(data)
        if self.cycle is not None and not self.cycle.more_body:
            self._received()

    def pause_writing(self) -> None:
        """The buffer is full."""
        super().pause_writing()
        self._await_reader()

    def resume_writing(self) -> None:
        """The client took most of it."""
        super().resume_writing()
        if not self.transport.is_closing():
            self._written()

    def timeout_keep_alive_handler(self) -> None:
        """Nothing more came: close, but not for ever."""
        super().timeout_keep_alive_handler()
        self._await_reader()

    def shutdown(self) -> None:
        """The server stops: close, but not for ever."""
        super().shutdown()
        if self.transport.is_closing():
            self._await_reader()

    def _await_request(self) -> None:
        if self._receiving is None:
            self._receiving = self.loop.call_later(self._limits.receive_seconds, self.transport.abort)

    def _received(self) -> None:
        if self._receiving is not None:
            self._receiving.cancel()
            self._receiving = None

    def _await_reader(self) -> None:
        if self._writing is None:
            self._writing = self.loop.call_later(self._limits.write_seconds, self.transport.abort)

    def _written(self) -> None:
        if self._writing is not None:
            self._writing.cancel()
            self._writing = None


def _too_many(limit: int) -> bytes:
    error = {
        "message": f"{limit} connections are open; this server takes no more",
        "type": "server_error",
        "param": None,
        "code": "too_many_connections",
    }
    body = json.dumps({"error": error}).encode()
    head = (
        "HTTP/1.1 503 Service Unavailable\r\nContent-Type: application/json\r\n"
        f"Content-Length: {len(body)}\r\nRetry-After: 1\r\nConnection: close\r\n\r\n"
    )
    return head.encode() + body

"""Running a configured server in this process until it is told to stop."""

from __future__ import annotations

import asyncio
import functools
import gc
import logging
import signal
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType
from typing import TYPE_CHECKING, Any, cast

import uvicorn
from starlette.types import ASGIApp

from server.config import ServerConfig
from server.errors import ConfigError, DrainingError
from server.logs import configure_logging

if TYPE_CHECKING:
    from server.api.edge.connections import ConnectionLimits
    from server.engines.apart.spawning import ChildProcess
    from server.generation.service import GenerationService
    from server.lifecycle import Lifecycle

logger = logging.getLogger(__name__)

_LAST_EVENTS_SECONDS = 2.0
"""For those that were interrupted to be told."""


def run_server(config: ServerConfig) -> None:
    """Build the server, bind, say where, and serve until SIGINT or SIGTERM.

    Raises:
        ConfigError, BreakersError, ClassifiersError: as `build_server`.
    """
    configure_logging(config.log_format)
    with bind(config.host, config.port) as listener, _engine_process(config) as child:
        # Not before the engine's process has begun: what both import takes longer than all the rest.
        from server.api import create_app
        from server.api.edge.connections import ConnectionLimits
        from server.composition import build_server

        state = build_server(config, child)
        limits = ConnectionLimits(
            connections=config.limits.connections,
            receive_seconds=config.limits.receive_seconds,
            write_seconds=config.limits.write_seconds,
        )
        server = DrainingServer(
            uvicorn_settings(create_app(state), limits),
            lifecycle=state.lifecycle,
            generation=state.generation,
            drain_seconds=config.drain_seconds,
        )
        # What is loaded by now stays. Left to the collector, its full passes would stop all threads to look through
        # every module of the model and of the libraries, again and again.
        gc.collect()
        gc.freeze()
        server.run(sockets=[listener])


@contextmanager
def _engine_process(config: ServerConfig) -> Iterator[ChildProcess | None]:
    """A process for the engine, where it is to have one; ended with the block at the latest."""
    if config.engine.process == "same":
        yield None
        return
    from server.engines.apart.errors import EngineProcessError
    from server.engines.apart.spawning import ChildProcess

    try:
        child = ChildProcess()
    except EngineProcessError as error:
        raise ConfigError(str(error)) from error
    try:
        yield child
    finally:
        child.close()


def uvicorn_settings(app: ASGIApp, limits: ConnectionLimits, **more: Any) -> uvicorn.Config:
    """How uvicorn runs the application."""
    from server.api.edge.connections import HEADER_BYTES, BoundedProtocol

    protocol = cast("type[asyncio.Protocol]", functools.partial(BoundedProtocol, limits))
    return uvicorn.Config(
        app,
        http=protocol,
        h11_max_incomplete_event_size=HEADER_BYTES,
        # Its lines go where all others go, in the same format.
        log_config=None,
        log_level="warning",
        access_log=False,
        ws="none",
        # After the drain: only connections that do not take their last bytes are left.
        timeout_graceful_shutdown=5,
        **more,
    )


class DrainingServer(uvicorn.Server):
    """Says where it listens once it does, and lets requests finish before it stops.

    While it drains it goes on listening, so that new requests get a 503 and not a refused connection. A second
    signal ends the drain at once. SIGHUP has everything read anew that asked for it.
    """

    def __init__(
        self,
        config: uvicorn.Config,
        *,
        lifecycle: Lifecycle,
        generation: GenerationService,
        drain_seconds: float,
    ) -> None:
        super().__init__(config)
        self._lifecycle = lifecycle
        self._generation = generation
        self._drain_seconds = drain_seconds
        self._signals = 0
        self._reloading: set[asyncio.Task[Any]] = set()

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Start, then log the address."""
        await super().startup(sockets)
        if hasattr(signal, "SIGHUP"):
            asyncio.get_running_loop().add_signal_handler(signal.SIGHUP, self._reload)
        for listener in sockets or []:
            host, port = listener.getsockname()[:2]
            shown = f"[{host}]" if ":" in host else host
            logger.info("address: http://%s:%d (API at /v1, metrics at /metrics)", shown, port)

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        """SIGTERM or SIGINT came. It is not raised again at the end: a server that stopped as told ends well."""
        self._signals += 1
        self._lifecycle.drain()

    async def on_tick(self, counter: int) -> bool:
        """Ten times a second: drain where a signal came."""
        if self._signals and not self.should_exit:
            await self._drain()
            self.should_exit = True
        return await super().on_tick(counter)

    async def _drain(self) -> None:
        logger.info("stopping: %d requests have %g s to end", self._lifecycle.in_flight, self._drain_seconds)
        if await self._idle(self._drain_seconds, hurried=True):
            return
        logger.warning("%d requests were ended because the server stops", self._lifecycle.in_flight)
        self._generation.interrupt_all(DrainingError("the server stopped before the reply was finished"))
        await self._idle(_LAST_EVENTS_SECONDS, hurried=False)

    async def _idle(self, seconds: float, *, hurried: bool) -> bool:
        """Wait until no request is left; False where the time, or a second signal, came first."""
        loop = asyncio.get_running_loop()
        end = loop.time() + seconds
        while self._lifecycle.in_flight:
            if loop.time() >= end or (hurried and self._signals > 1):
                return False
            await asyncio.sleep(0.02)
        return True

    def _reload(self) -> None:
        task = asyncio.get_running_loop().create_task(self._lifecycle.reload())
        self._reloading.add(task)
        task.add_done_callback(self._reloading.discard)


def bind(host: str, port: int) -> socket.socket:
    """A bound socket, before anything slow is loaded.

    The protocol is named because asyncio turns Nagle's algorithm off only for sockets that name TCP. With it on, the
    first event of a stream waits for the client's delayed acknowledgement of the headers (40 ms on Linux).

    Raises:
        ConfigError: the address cannot be bound.
    """
    try:
        family = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0][0]
        listener = socket.socket(family, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    except OSError as error:
        raise ConfigError(f"cannot bind to {host}: {error}") from error
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind((host, port))
    except OSError as error:
        listener.close()
        raise ConfigError(f"cannot bind to {host} port {port}: {error.strerror}") from error
    return listener

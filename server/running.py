"""Running a configured server in this process until it is told to stop."""

from __future__ import annotations

import logging
import socket

import uvicorn

from server.config import ServerConfig, is_loopback
from server.errors import ConfigError

logger = logging.getLogger(__name__)


def run_server(config: ServerConfig) -> None:
    """Build the server, bind, say where, and serve until SIGINT or SIGTERM.

    Raises:
        ConfigError, BreakersError, ClassifiersError: as `build_server`.
    """
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(name)s: %(message)s")
    for noisy in ("httpx", "transformers", "asyncio"):
        logging.getLogger(noisy).setLevel(logging.WARNING)
    with bind(config.host, config.port) as listener:
        from server.api import create_app
        from server.composition import build_server

        app = create_app(build_server(config))
        settings = uvicorn.Config(app, log_level="warning", access_log=False, ws="none", timeout_graceful_shutdown=30)
        AnnouncedServer(settings).run(sockets=[listener])


class AnnouncedServer(uvicorn.Server):
    """Says where it listens once it does."""

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Start, then log the address."""
        await super().startup(sockets)
        for listener in sockets or []:
            host, port = listener.getsockname()[:2]
            shown = f"[{host}]" if ":" in host else host
            logger.info("address: http://%s:%d (API at /v1, metrics at /metrics)", shown, port)
            if not is_loopback(host):
                logger.warning("other machines can reach it and no API key is asked for (--insecure-no-keys)")


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

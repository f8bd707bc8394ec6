"""Running a configured gateway in this process until it is told to stop."""

from __future__ import annotations

import gc
from typing import TYPE_CHECKING, cast

from server.api.edge.connections import ConnectionLimits
from server.config import ServerConfig
from server.gateway.app import create_gateway
from server.gateway.composition import built_gateway
from server.logs import configure_logging
from server.running import DrainingServer, bind, uvicorn_settings

if TYPE_CHECKING:
    from server.generation.service import GenerationService


def run_gateway(config: ServerConfig) -> None:
    """Bind, have the upstream prove itself, say where, and serve until SIGINT or SIGTERM.

    Raises:
        ConfigError, BreakersError, ClassifiersError: as `built_gateway`.
    """
    configure_logging(config.log_format)
    with bind(config.host, config.port) as listener, built_gateway(config) as state:
        limits = ConnectionLimits(
            connections=config.limits.connections,
            receive_seconds=config.limits.receive_seconds,
            write_seconds=config.limits.write_seconds,
        )
        server = DrainingServer(
            uvicorn_settings(create_gateway(state), limits),
            lifecycle=state.lifecycle,
            # Of a service the drain calls `interrupt_all` only, and the gateway's has the same.
            generation=cast("GenerationService", state.gateway),
            drain_seconds=config.drain_seconds,
        )
        # What is loaded by now stays; see `server.running`.
        gc.collect()
        gc.freeze()
        server.run(sockets=[listener])

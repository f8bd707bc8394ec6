"""Whether the server takes requests, how many it has, and what it reads anew when told to."""

from __future__ import annotations

import inspect
import logging
from collections.abc import Callable
from typing import Protocol, TypeAlias

logger = logging.getLogger(__name__)

Reload: TypeAlias = Callable[[], object]
"""May return something to await."""


class Drains(Protocol):
    """Who is told that no requests are taken any more."""

    def drain(self) -> None:
        """Turn new requests away from now on."""
        ...


class Lifecycle:
    """Belongs to the event loop, except `drain`, which a signal's handler may call."""

    def __init__(self, readiness: Drains) -> None:
        """`readiness` hears of the drain too."""
        self._readiness = readiness
        self.draining = False
        """Whether new requests are turned away, because the server is about to stop."""
        self.in_flight = 0
        """Requests that are being answered; those for health and metrics do not count."""
        self._reloads: dict[str, Reload] = {}

    def drain(self) -> None:
        """Turn new requests away from now on."""
        self.draining = True
        self._readiness.drain()

    def on_reload(self, what: str, reload: Reload) -> None:
        """Have `reload` called when the process is told to read `what` anew (SIGHUP).

        It changes all or nothing, and raises where it could not; then the others are called all the same.
        """
        self._reloads[what] = reload

    async def reload(self) -> dict[str, Exception | None]:
        """Read everything anew; what became of each."""
        results: dict[str, Exception | None] = {}
        for what, reload in self._reloads.items():
            try:
                pending = reload()
                if inspect.isawaitable(pending):
                    await pending
            except Exception as error:  # one that fails must not keep the others from being read
                logger.exception("%s was not reloaded; what was loaded stays", what)
                results[what] = error
            else:
                logger.info("%s was reloaded", what)
                results[what] = None
        return results

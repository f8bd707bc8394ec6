"""The keys that a running server knows: read at the start, and again when the file changes.

A file that cannot be read any more leaves the known keys in force, loudly: locking everyone out is no safer than
going on with the keys of a moment ago, and the log and a counter say so.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

from server.access.caller import Caller
from server.access.key_file import read_keys, readable_by_others
from server.access.keys import KeyRing
from server.errors import ConfigError

logger = logging.getLogger(__name__)

LOOK_SECONDS = 1.0
"""How often the file is looked at, at most."""


class KeyStore:
    """One file of keys. Belongs to the event loop."""

    def __init__(
        self,
        path: Path,
        *,
        clock: Callable[[], float] = time.monotonic,
        today: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        """Read the file.

        Args:
            path: a file of `scalpel keys create`.
            clock: seconds, monotonic.
            today: the time by which keys expire.

        Raises:
            ConfigError: it cannot be read or trusted.
        """
        self.path = path
        self._clock = clock
        self._today = today
        self._looked = clock()
        self._seen = _identity(path)
        self._ring = KeyRing(read_keys(path))
        self.reloaded: Callable[[bool], None] = lambda _done: None
        """Called after each reading, with whether it worked."""
        if readable_by_others(path):
            logger.warning("%s can be read by other accounts of this machine; wanted mode 600", path)

    @property
    def ring(self) -> KeyRing:
        """The keys in force."""
        return self._ring

    def caller(self, key: str) -> Caller:
        """Whoever sent this key.

        Raises:
            BadKeyError: it lets nobody in.
        """
        self._look()
        return self._ring.caller(key, self._today())

    def reload(self) -> None:
        """Read the file again.

        Raises:
            ConfigError: it cannot be read or trusted; the keys are as they were.
        """
        self._seen = _identity(self.path)
        try:
            self._ring = KeyRing(read_keys(self.path))
        except ConfigError:
            logger.exception("the keys of before stay in force")
            self.reloaded(False)
            raise
        logger.info("keys: %d read from %s", len(self._ring.records), self.path)
        self.reloaded(True)

    def _look(self) -> None:
        now = self._clock()
        if now - self._looked < LOOK_SECONDS:
            return
        self._looked = now
        if _identity(self.path) == self._seen:
            return
        try:
            self.reload()
        except ConfigError:
            # Logged and counted; the next look is at the next change.
            return


def _identity(path: Path) -> tuple[int, ...]:
    """What changes when the file does; empty where there is none."""
    try:
        status = path.stat()
    except OSError:
        return ()
    return (status.st_ino, status.st_mtime_ns, status.st_size, status.st_mode)

"""The child's log in the parent's: same handlers, same format."""

from __future__ import annotations

import logging
from collections.abc import Callable

from server.engines.apart.messages import Log, frame
from server.logs import NOISY


class WireHandler(logging.Handler):
    """Sends lines to the parent. One that the parent has no room for is lost."""

    def __init__(self, send: Callable[..., bool]) -> None:
        super().__init__()
        self._send = send
        self._tracebacks = logging.Formatter()

    def emit(self, record: logging.LogRecord) -> None:
        """Send it."""
        try:
            line = Log(
                logger=record.name,
                level=record.levelno,
                created=record.created,
                message=record.getMessage(),
                exception=self._tracebacks.formatException(record.exc_info) if record.exc_info else None,
            )
            self._send(frame(line), can_be_lost=True)
        except Exception:  # noqa: BLE001 - as every handler: a line that cannot be written stops nobody
            self.handleError(record)


def send_logs(send: Callable[..., bool]) -> None:
    """Have everything that this process logs sent, in place of whatever handlers it has."""
    logging.basicConfig(level=logging.INFO, handlers=[WireHandler(send)], force=True)
    for noisy in NOISY:
        logging.getLogger(noisy).setLevel(logging.WARNING)


def log_again(line: Log) -> None:
    """Log what the child logged."""
    logger = logging.getLogger(line.logger)
    if not logger.isEnabledFor(line.level):
        return
    record = logger.makeRecord(line.logger, line.level, "(engine)", 0, line.message, (), None)
    record.created, record.msecs = line.created, line.created % 1 * 1000
    record.exc_text = line.exception
    logger.handle(record)

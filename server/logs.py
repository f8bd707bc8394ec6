"""Logs: text or JSON lines, each with the id of the request that it is about. Never prompts, replies or keys."""

from __future__ import annotations

import json
import logging
import sys
import time
from contextvars import ContextVar
from dataclasses import dataclass
from typing import Literal, TextIO

NOISY = ("httpx", "transformers", "asyncio")
"""Loggers of others that say less than they could."""

access = logging.getLogger("server.access")
"""One line a request."""


@dataclass(slots=True, kw_only=True)
class RequestRecord:
    """What is noted of an HTTP request on its way, for its line in the log. Belongs to the event loop."""

    request_id: str
    client_request_id: str | None = None
    """What the client called it, checked."""
    key_id: str | None = None
    prompt_tokens: int = 0
    completion_tokens: int = 0
    plan: str | None = None
    """Digest of the plan; of a request with several prompts, the last one's."""


REQUEST: ContextVar[RequestRecord | None] = ContextVar("scalpel_request", default=None)


class _Numbering(logging.Filter):
    """Puts the request's id on each line."""

    def filter(self, record: logging.LogRecord) -> bool:
        """Keep the line, with the id of the request in whose context it was written."""
        if not hasattr(record, "request_id"):
            current = REQUEST.get()
            record.request_id = None if current is None else current.request_id
        return True


class JsonFormatter(logging.Formatter):
    """One JSON object a line; what `extra={"fields": {...}}` holds is part of it."""

    def format(self, record: logging.LogRecord) -> str:
        """As JSON, on one line whatever the message holds."""
        line: dict[str, object] = {
            "time": _utc(record.created),
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": record.getMessage(),
        }
        if getattr(record, "request_id", None) is not None:
            line["request_id"] = record.__dict__["request_id"]
        line |= getattr(record, "fields", {})
        if record.exc_info:
            line["exception"] = self.formatException(record.exc_info)
        elif record.exc_text:
            # Of a line that another process wrote.
            line["exception"] = record.exc_text
        return json.dumps(line, ensure_ascii=False, default=str)


class TextFormatter(logging.Formatter):
    """For people; an id stands at the end, where there is one."""

    def __init__(self) -> None:
        super().__init__("%(asctime)s %(levelname)s %(name)s: %(message)s")

    def formatMessage(self, record: logging.LogRecord) -> str:  # noqa: N802 - logging's name
        """The line without its traceback."""
        text = super().formatMessage(record)
        request_id = getattr(record, "request_id", None)
        return text if request_id is None else f"{text} [{request_id}]"


def configure_logging(log_format: Literal["text", "json"], stream: TextIO | None = None) -> None:
    """Log to `stream`, standard error by default, in place of whatever handlers the process has."""
    handler = logging.StreamHandler(stream or sys.stderr)
    handler.setFormatter(JsonFormatter() if log_format == "json" else TextFormatter())
    handler.addFilter(_Numbering())
    logging.basicConfig(level=logging.INFO, handlers=[handler], force=True)
    for noisy in NOISY:
        logging.getLogger(noisy).setLevel(logging.WARNING)


def log_access(record: RequestRecord, *, method: str, path: str, status: int | None, seconds: float) -> None:
    """The line of a request that is over.

    Args:
        record: what was noted of it.
        method: of HTTP.
        path: the route's; what the client wrote in its place may hold anything.
        status: None where the client left before there was one.
        seconds: since it arrived.
    """
    quiet = path.startswith(("/health", "/metrics"))
    level = logging.DEBUG if quiet else logging.INFO
    if not access.isEnabledFor(level):
        return
    fields: dict[str, object] = {
        "method": method,
        "path": path,
        "status": status,
        "ms": round(1000 * seconds, 3),
        "prompt_tokens": record.prompt_tokens,
        "completion_tokens": record.completion_tokens,
        "plan": record.plan,
        "key_id": record.key_id,
        "client_request_id": record.client_request_id,
    }
    told = {name: value for name, value in fields.items() if value is not None}
    rest = " ".join(f"{name}={value}" for name, value in told.items() if name not in ("method", "path", "status"))
    message = f"{method} {path} {status or '-'} {rest}"
    access.log(level, "%s", message, extra={"fields": told, "request_id": record.request_id})


def _utc(seconds: float) -> str:
    whole = time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(seconds))
    return f"{whole}.{int(seconds % 1 * 1e6):06d}Z"

"""The audit log: who did what that an operator has to be able to look up. Never prompts, replies or secrets.

What has to be audited is written down before it is done, and is not done if it cannot be.
"""

from __future__ import annotations

import contextlib
import json
import logging
import os
import threading
from collections.abc import Callable, Mapping
from contextvars import ContextVar
from dataclasses import dataclass, field
from datetime import UTC, datetime
from enum import StrEnum
from pathlib import Path
from typing import Protocol, TypeAlias

from server.errors import AuditFailedError, ConfigError

logger = logging.getLogger(__name__)

Detail: TypeAlias = Mapping[str, object]
"""What JSON can hold."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Actor:
    """On whose behalf something is done."""

    request_id: str | None = None
    key_id: str | None = None


NOBODY = Actor()
ACTOR: ContextVar[Actor] = ContextVar("scalpel_actor", default=NOBODY)
"""Of the request that this task answers; nobody in particular outside of requests."""


class Action(StrEnum):
    """What is audited."""

    OVERRIDE = "override"
    """A request goes below a floor, as it may."""
    OVERRIDE_REFUSED = "override.refused"
    """A request tried to, and may not."""
    POLICY_RELOAD = "policy.reload"
    BREAKER_ADD = "breaker.add"
    BREAKER_RELOAD = "breaker.reload"
    BREAKER_REMOVE = "breaker.remove"
    BREAKER_SWITCH = "breaker.switch"


@dataclass(frozen=True, slots=True, kw_only=True)
class AuditEntry:
    """One thing that was done, or refused."""

    action: Action
    subject: str
    """What it was done to: a bundle's name, a file."""
    actor: Actor = field(default_factory=lambda: ACTOR.get())
    before: Detail = field(default_factory=dict)
    after: Detail = field(default_factory=dict)

    def line(self, now: datetime) -> str:
        """As one line of JSON, without the line's end."""
        return json.dumps(
            {
                "time": now.isoformat(timespec="milliseconds"),
                "action": self.action.value,
                "subject": self.subject,
                "request_id": self.actor.request_id,
                "key_id": self.actor.key_id,
                "before": dict(self.before),
                "after": dict(self.after),
            }
        )


class AuditLog(Protocol):
    """Where entries go."""

    def record(self, entry: AuditEntry) -> None:
        """Write an entry down; blocks until it is. Can be called from any thread.

        Raises:
            AuditFailedError: it could not be written; what it tells of must not be done.
        """


def audit_breaker_changes(audit: AuditLog) -> Callable[[str, Detail | None, Detail | None], None]:
    """An audit of changes to what is loaded: told of an action (`breaker.add`, ...), what was, and what will be."""

    def tell(action: str, before: Detail | None, after: Detail | None) -> None:
        about = after or before or {}
        audit.record(
            AuditEntry(
                action=Action(action), subject=str(about.get("breaker")), before=before or {}, after=after or {}
            )
        )

    return tell


class ServerLogAudit:
    """Entries among the server's own log messages, for servers without an audit log of their own."""

    def record(self, entry: AuditEntry) -> None:
        """Log an entry."""
        logger.warning("audit: %s", entry.line(datetime.now(UTC)))


class AuditFile:
    """A file of JSON Lines. It is opened for each entry, so it can be moved away to rotate it."""

    def __init__(self, path: Path, *, fsync: bool = True) -> None:
        """Check that it can be written to.

        Args:
            path: made with mode 600 where it does not exist.
            fsync: wait until each entry is on the disk, not only with the operating system.

        Raises:
            ConfigError: it cannot be opened.
        """
        self._path = path
        self._fsync = fsync
        self._lock = threading.Lock()
        try:
            os.close(self._open())
        except OSError as error:
            raise ConfigError(f"the audit log {path} cannot be written to: {error}") from error

    def record(self, entry: AuditEntry) -> None:
        """Append an entry, whole or not at all.

        Raises:
            AuditFailedError: the disk is full, the file is gone, ...
        """
        line = entry.line(datetime.now(UTC)).encode() + b"\n"
        try:
            with self._lock:
                self._append(line)
        except OSError as error:
            logger.exception("the audit log %s could not be written to: %s was not done", self._path, entry.action)
            raise AuditFailedError(
                f"{entry.action.value} has to be audited, and the audit log cannot be written to; it was not done"
            ) from error

    def _append(self, line: bytes) -> None:
        descriptor = self._open()
        try:
            size = os.fstat(descriptor).st_size
            try:
                _write_all(descriptor, line)
                if self._fsync:
                    os.fsync(descriptor)
            except OSError:
                # Best effort: what was refused must not stand there half. The failure itself is what is reported.
                with contextlib.suppress(OSError):
                    os.ftruncate(descriptor, size)
                raise
        finally:
            os.close(descriptor)

    def _open(self) -> int:
        return os.open(self._path, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, 0o600)


def _write_all(descriptor: int, data: bytes) -> None:
    while data:
        data = data[os.write(descriptor, data) :]

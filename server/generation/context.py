"""What travels with a request from its arrival to its end."""

from __future__ import annotations

import time
import uuid
from dataclasses import dataclass, field

from server.access.caller import ANYONE, Caller


@dataclass(frozen=True, slots=True, kw_only=True)
class RequestContext:
    """Who asked, and when. One for each HTTP request, however many prompts and replies it has."""

    request_id: str = field(default_factory=lambda: uuid.uuid4().hex)
    """Ours, unique."""
    caller: Caller = ANYONE
    arrived: float = field(default_factory=time.monotonic)
    """Seconds of a monotonic clock."""
    profile_header: str | None = None
    """What the header `X-Scalpel-Profile` says, unchecked; None without it."""

    def elapsed(self) -> float:
        """Seconds since the arrival."""
        return time.monotonic() - self.arrived


@dataclass(slots=True)
class ReplyClock:
    """When the last piece of a reply went out."""

    last_piece: float | None = None

    def lap(self) -> float | None:
        """Seconds since the previous piece, None at the first one."""
        now = time.monotonic()
        before, self.last_piece = self.last_piece, now
        return None if before is None else now - before

"""A caller: what the rest of the server knows of whoever sent a request."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum


class AccessScope(StrEnum):
    """What a key may do."""

    CHAT = "chat"
    """Send requests to the model."""
    OVERRIDE = "breakers:override"
    """Go below a policy's floor."""
    ADMIN = "admin"
    """Change what is loaded, and how it is used."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Caller:
    """Whoever sent a request."""

    key_id: str | None
    """Public part of the API key; None where no key is asked for."""
    scopes: frozenset[AccessScope]
    label: str | None = None
    """What the operator called the key."""


LOCAL = Caller(key_id=None, scopes=frozenset(AccessScope))
"""Anyone on this machine, on a server without keys that listens on loopback only."""

ANYONE = Caller(key_id=None, scopes=frozenset({AccessScope.CHAT}))
"""Anyone who reaches the port, on a server without keys that other machines can reach."""

"""Who may come in: from a request's headers to a caller, and from its address to what it takes."""

from __future__ import annotations

import ipaddress
from dataclasses import dataclass, field
from enum import StrEnum

from server.access.caller import ANYONE, LOCAL, AccessScope, Caller
from server.access.key_store import KeyStore
from server.access.keys import BadKeyError, KeyProblem
from server.access.rates import RateLimiter

_SAFE = frozenset({"GET", "HEAD", "OPTIONS"})
_ADMIN_ROOTS = ("/v1/admin", "/admin")
_BREAKERS = "/v1/breakers"


class Need(StrEnum):
    """What an address takes."""

    NOTHING = "nothing"
    KEY = "key"
    """Any good key."""
    CHAT = "chat"
    ADMIN = "admin"


_SCOPES = {Need.CHAT: AccessScope.CHAT, Need.ADMIN: AccessScope.ADMIN}


@dataclass(frozen=True, slots=True, kw_only=True)
class Access:
    """How one server lets requests in."""

    keys: KeyStore | None = None
    """None: no key is asked for."""
    anonymous: Caller = LOCAL
    """Whoever comes in without keys."""
    metrics_need_key: bool = False
    rates: RateLimiter = field(default_factory=RateLimiter)

    def caller(self, authorization: list[str], host: str, origin: str | None = None) -> Caller:
        """Whoever sent a request.

        Args:
            authorization: every such header.
            host: the header of that name.
            origin: the header of that name, which browsers send with what a page makes them post.

        Raises:
            BadKeyError: a key is asked for, and there is no good one.
        """
        if self.keys is not None:
            return self.keys.caller(_bearer(authorization))
        # A web page can have a browser on this machine send requests, but cannot hide where the page came from, nor a
        # name of its own that was made to mean this machine.
        foreign = not _names_this_machine(host) or (origin is not None and not _is_of_this_machine(origin))
        return ANYONE if foreign and self.anonymous == LOCAL else self.anonymous

    def need(self, method: str, path: str) -> Need:
        """What a request to this address takes. What is not known takes `chat` at least."""
        if path == "/health" or path.startswith("/health/"):
            return Need.NOTHING
        if path == "/metrics":
            return Need.KEY if self.metrics_need_key else Need.NOTHING
        if path.startswith(_ADMIN_ROOTS) or (path.startswith(_BREAKERS) and method not in _SAFE):
            return Need.ADMIN
        return Need.KEY if method in _SAFE else Need.CHAT


def meets(caller: Caller, need: Need) -> bool:
    """Whether a caller may go there."""
    scope = _SCOPES.get(need)
    return scope is None or scope in caller.scopes


def _bearer(authorization: list[str]) -> str:
    if not authorization:
        raise BadKeyError(KeyProblem.MISSING)
    scheme, _, key = authorization[0].partition(" ")
    if len(authorization) > 1 or scheme.lower() != "bearer":
        raise BadKeyError(KeyProblem.MALFORMED)
    return key.strip()


def _is_of_this_machine(origin: str) -> bool:
    """Whether an Origin header is a page that this machine serves itself."""
    scheme, _, host = origin.partition("://")
    return scheme in ("http", "https") and _names_this_machine(host)


def _names_this_machine(host: str) -> bool:
    """Whether a Host header is an address of loopback, or its name."""
    name = host.rpartition(":")[0] if host.rpartition(":")[2].isdigit() and not host.endswith("]") else host
    if name.lower() == "localhost":
        return True
    try:
        return ipaddress.ip_address(name.removeprefix("[").removesuffix("]")).is_loopback
    except ValueError:
        return False

"""API keys: how they look, how they are kept, and how one is checked.

A key is `sk-scalpel-ID-SECRET`. The id is public: it finds the record, and stands in logs and policies. The secret
has 256 random bits, and the record keeps HMAC-SHA256 of it under a salt of its own. A slow hash (scrypt, argon2)
protects passwords, because they can be guessed; one of 2^256 secrets cannot, and each request would pay for the
slowness. The salt makes a table that was computed for one record useless for any other.
"""

from __future__ import annotations

import hashlib
import hmac
import re
import secrets
from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from enum import StrEnum

from server.access.caller import AccessScope, Caller

PREFIX = "sk-scalpel"
ID_PATTERN = r"[0-9a-f]{12}"
LABEL_PATTERN = r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}"

_KEY = re.compile(rf"{PREFIX}-({ID_PATTERN})-([0-9a-f]{{64}})")


class KeyProblem(StrEnum):
    """Why a request is not let in."""

    MISSING = "missing"
    MALFORMED = "malformed"
    UNKNOWN = "unknown"
    """No such id, or another secret: a caller cannot tell which."""
    REVOKED = "revoked"
    EXPIRED = "expired"
    SCOPE = "scope"
    """A good key that may not do this."""


@dataclass(frozen=True, slots=True, kw_only=True)
class KeyRecord:
    """What is kept of a key; nothing in it lets anyone in."""

    id: str
    label: str
    scopes: frozenset[AccessScope]
    salt: bytes
    digest: bytes
    """HMAC-SHA256 of the secret under the salt."""
    created: datetime
    expires: datetime | None = None
    revoked: datetime | None = None

    @property
    def caller(self) -> Caller:
        """Whoever has this key."""
        return Caller(key_id=self.id, scopes=self.scopes, label=self.label)

    def problem(self, now: datetime) -> KeyProblem | None:
        """Why the key is not good any more."""
        if self.revoked is not None:
            return KeyProblem.REVOKED
        return KeyProblem.EXPIRED if self.expires is not None and self.expires <= now else None


@dataclass(frozen=True, slots=True)
class NewKey:
    """A key at the one moment when it is whole."""

    record: KeyRecord
    key: str = field(repr=False)
    """What its owner sends; kept nowhere."""


class BadKeyError(Exception):
    """A key that lets nobody in."""

    def __init__(self, problem: KeyProblem) -> None:
        super().__init__(problem.value)
        self.problem = problem


def make_key(
    label: str, scopes: Iterable[AccessScope], *, expires: datetime | None = None, now: datetime | None = None
) -> NewKey:
    """A new random key."""
    key_id, secret, salt = secrets.token_hex(6), secrets.token_hex(32), secrets.token_bytes(16)
    record = KeyRecord(
        id=key_id,
        label=label,
        scopes=frozenset(scopes),
        salt=salt,
        digest=digest_of(secret, salt),
        created=now or datetime.now(UTC),
        expires=expires,
    )
    return NewKey(record=record, key=f"{PREFIX}-{key_id}-{secret}")


def digest_of(secret: str, salt: bytes) -> bytes:
    """HMAC-SHA256 of a secret under a salt."""
    return hmac.new(salt, secret.encode(), hashlib.sha256).digest()


class KeyRing:
    """The keys of one reading of the file. Immutable."""

    def __init__(self, records: Iterable[KeyRecord]) -> None:
        self.records: dict[str, KeyRecord] = {record.id: record for record in records}
        # Unknown ids are compared with this one, so that they take as long as known ones.
        self._nobody = make_key("nobody", ()).record

    def caller(self, key: str, now: datetime) -> Caller:
        """Whoever sent this key.

        Raises:
            BadKeyError: it lets nobody in. That it was revoked or has expired learns only who has the whole key.
        """
        parts = _KEY.fullmatch(key)
        if parts is None:
            raise BadKeyError(KeyProblem.MALFORMED)
        known = self.records.get(parts[1])
        record = self._nobody if known is None else known
        same = hmac.compare_digest(digest_of(parts[2], record.salt), record.digest)
        if known is None or not same:
            raise BadKeyError(KeyProblem.UNKNOWN)
        problem = known.problem(now)
        if problem is not None:
            raise BadKeyError(problem)
        return known.caller

"""Rates: how many requests and tokens each caller may use, as token buckets over a clock that tests can set.

A bucket holds what one minute allows and fills evenly. A request takes 1 from the requests, and its prompt from the
tokens; a reply's tokens are taken as they come, so that a long reply leaves a debt, which has to be made good before
the next request. Over time nobody gets more than the rate.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum

from server.errors import RateLimitedError
from server.policy.policy import RateLimits

MINUTE = 60.0
_SLACK = 1e-6
"""Of a token: whoever waits as long as it was told is let in, whatever the clock's last digit says."""


class Limit(StrEnum):
    """What is limited."""

    REQUESTS = "requests"
    TOKENS = "tokens"


@dataclass(slots=True)
class _Bucket:
    level: float
    """May be negative: a debt."""
    at: float

    def fill(self, per_minute: int, now: float) -> None:
        """Bring the level up to now; a limit that was lowered since is the most that it can hold."""
        self.level = min(self.level + (now - self.at) * per_minute / MINUTE, per_minute)
        self.at = now


@dataclass(frozen=True, slots=True, kw_only=True)
class Allowance:
    """Where a caller stands with one limit."""

    limit: int
    """A minute's worth."""
    remaining: int
    reset_seconds: float
    """Until all of it is there again."""


class RateLimiter:
    """The buckets of every caller. Belongs to the event loop; has two buckets for each key that was used."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._buckets: dict[tuple[str | None, Limit], _Bucket] = {}

    def take_request(self, key_id: str | None, limits: RateLimits) -> None:
        """Take one request.

        Raises:
            RateLimitedError: none is left.
        """
        if limits.requests_per_minute is not None:
            self._take(key_id, Limit.REQUESTS, limits.requests_per_minute, 1)

    def take_prompt(self, key_id: str | None, limits: RateLimits, tokens: int) -> None:
        """Take a prompt's tokens. One that is longer than a minute's worth waits for a full bucket.

        Raises:
            RateLimitedError: not so many are left.
        """
        if limits.tokens_per_minute is not None:
            self._take(key_id, Limit.TOKENS, limits.tokens_per_minute, tokens)

    def spend(self, key_id: str | None, limits: RateLimits, tokens: int) -> None:
        """Take tokens of a reply, whether they are there or not."""
        if limits.tokens_per_minute is not None:
            self._bucket(key_id, Limit.TOKENS, limits.tokens_per_minute).level -= tokens

    def allowances(self, key_id: str | None, limits: RateLimits) -> dict[Limit, Allowance]:
        """Where a caller stands; what is not limited is left out."""
        wanted = {Limit.REQUESTS: limits.requests_per_minute, Limit.TOKENS: limits.tokens_per_minute}
        return {
            limit: self._allowance(key_id, limit, per_minute)
            for limit, per_minute in wanted.items()
            if per_minute is not None
        }

    def _allowance(self, key_id: str | None, limit: Limit, per_minute: int) -> Allowance:
        level = self._bucket(key_id, limit, per_minute).level
        return Allowance(
            limit=per_minute,
            remaining=max(0, int(level)),
            reset_seconds=(per_minute - level) / per_minute * MINUTE,
        )

    def _take(self, key_id: str | None, limit: Limit, per_minute: int, amount: int) -> None:
        bucket = self._bucket(key_id, limit, per_minute)
        missing = min(amount, per_minute) - bucket.level
        if missing > _SLACK:
            wait = missing / per_minute * MINUTE
            raise RateLimitedError(
                f"this API key may use {per_minute} {limit.value} a minute; {amount} wanted, "
                f"{max(0, int(bucket.level))} left; try again in {wait:.1f} s",
                retry_after=wait,
                limit=limit.value,
            )
        bucket.level -= amount

    def _bucket(self, key_id: str | None, limit: Limit, per_minute: int) -> _Bucket:
        now = self._clock()
        bucket = self._buckets.setdefault((key_id, limit), _Bucket(per_minute, now))
        bucket.fill(per_minute, now)
        return bucket

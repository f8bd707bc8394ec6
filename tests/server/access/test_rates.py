"""Token buckets by hand, on a clock that stands still."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from server.access.rates import Limit, RateLimiter
from server.errors import RateLimitedError
from server.policy.policy import RateLimits

TEN = RateLimits(requests_per_minute=10, tokens_per_minute=600)
NONE = RateLimits(requests_per_minute=None, tokens_per_minute=None)


class Clock:
    """A clock that tests turn."""

    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def limiter(clock: Clock) -> RateLimiter:
    return RateLimiter(clock)


def test_a_minutes_worth_at_once_then_one_every_six_seconds(clock: Clock, limiter: RateLimiter) -> None:
    for _ in range(10):
        limiter.take_request("a", TEN)
    with pytest.raises(RateLimitedError, match="may use 10 requests a minute") as refused:
        limiter.take_request("a", TEN)
    assert refused.value.retry_after == pytest.approx(6.0)
    assert refused.value.limit == "requests"
    clock.now += 5.9
    with pytest.raises(RateLimitedError):
        limiter.take_request("a", TEN)
    clock.now += refused.value.retry_after - 5.9
    limiter.take_request("a", TEN)
    with pytest.raises(RateLimitedError):
        limiter.take_request("a", TEN)


def test_each_key_has_its_own(limiter: RateLimiter) -> None:
    for _ in range(10):
        limiter.take_request("a", TEN)
    limiter.take_request("b", TEN)
    limiter.take_request(None, TEN)


def test_a_reply_leaves_a_debt(clock: Clock, limiter: RateLimiter) -> None:
    limiter.take_prompt("a", TEN, 500)
    limiter.spend("a", TEN, 400)
    assert limiter.allowances("a", TEN)[Limit.TOKENS].remaining == 0
    # 300 are owed and 100 wanted: 400 tokens at 10 a second.
    with pytest.raises(RateLimitedError) as refused:
        limiter.take_prompt("a", TEN, 100)
    assert refused.value.retry_after == pytest.approx(40.0)
    clock.now += 40
    limiter.take_prompt("a", TEN, 100)


def test_a_prompt_longer_than_a_minutes_worth_waits_for_a_full_bucket(clock: Clock, limiter: RateLimiter) -> None:
    limiter.take_prompt("a", TEN, 10)
    with pytest.raises(RateLimitedError) as refused:
        limiter.take_prompt("a", TEN, 900)
    assert refused.value.retry_after == pytest.approx(1.0)
    clock.now += 1
    limiter.take_prompt("a", TEN, 900)
    with pytest.raises(RateLimitedError) as refused:
        limiter.take_prompt("a", TEN, 1)
    assert refused.value.retry_after == pytest.approx(30.1)


def test_nothing_is_counted_without_a_limit(limiter: RateLimiter) -> None:
    for _ in range(100):
        limiter.take_request("a", NONE)
        limiter.take_prompt("a", NONE, 10**6)
        limiter.spend("a", NONE, 10**6)
    assert limiter.allowances("a", NONE) == {}
    limiter.take_prompt("a", TEN, 600)


def test_a_limit_that_is_lowered_holds_at_once(limiter: RateLimiter) -> None:
    limiter.take_request("a", TEN)
    lowered = RateLimits(requests_per_minute=2, tokens_per_minute=None)
    limiter.take_request("a", lowered)
    limiter.take_request("a", lowered)
    with pytest.raises(RateLimitedError):
        limiter.take_request("a", lowered)


def test_allowances_by_hand(clock: Clock, limiter: RateLimiter) -> None:
    limiter.take_request("a", TEN)
    limiter.take_request("a", TEN)
    standing = limiter.allowances("a", TEN)
    assert (standing[Limit.REQUESTS].limit, standing[Limit.REQUESTS].remaining) == (10, 8)
    assert standing[Limit.REQUESTS].reset_seconds == pytest.approx(12.0)
    assert standing[Limit.TOKENS].remaining == 600


@given(
    per_minute=st.integers(1, 1000),
    steps=st.lists(st.tuples(st.floats(0, 30), st.integers(1, 200)), max_size=60),
)
def test_over_time_nobody_gets_more_than_the_rate(per_minute: int, steps: list[tuple[float, int]]) -> None:
    clock = Clock()
    limiter = RateLimiter(clock)
    limits = RateLimits(requests_per_minute=None, tokens_per_minute=per_minute)
    began, taken = clock.now, 0
    for seconds, tokens in steps:
        clock.now += seconds
        try:
            limiter.take_prompt("a", limits, tokens)
        except RateLimitedError as refused:
            clock.now += refused.retry_after
            limiter.take_prompt("a", limits, tokens)
        taken += tokens
    # The bucket was full at the start, and one prompt may exceed it.
    most = per_minute + (clock.now - began) * per_minute / 60 + max((t for _, t in steps), default=0)
    assert taken <= most or math.isclose(taken, most)
